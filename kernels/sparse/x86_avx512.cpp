#include "sparse/generic.h"

namespace accelnn {
Status matmul_sparse_f32_x86_avx512(const Call& call) { return matmul_sparse(call, sparse_isa_f32()); }
Status matmul_sparse_int8_f32_x86_avx512(const Call& call) { return matmul_sparse(call, sparse_isa_int8()); }
}  // namespace accelnn
