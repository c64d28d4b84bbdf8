#include "matmul/bf16_generic.h"
#include "matmul/generic.h"
#include "matmul/gemm_i8.h"

namespace accelnn {
Status matmul_f32_x86_avx2(const Call& call) { return matmul(call); }
Status matmul_bf16_x86_avx2(const Call& call) { return matmul_bf16(call); }
Status qmatmul_u8_x86_avx2(const Call& call) { return qmatmul(call, i8_isa<true>()); }
}  // namespace accelnn
