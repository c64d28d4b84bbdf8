#include "matmul/gemm_i8.h"

namespace accelnn {
Status qmatmul_u8_x86_avxvnni(const Call& call) { return qmatmul(call, i8_isa<true>()); }
}  // namespace accelnn
