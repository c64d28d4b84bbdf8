#include "sparse/generic.h"

namespace accelnn {
Status matmul_sparse_int8_f32_x86_vnni(const Call& call) { return matmul_sparse(call, sparse_isa_int8()); }
}  // namespace accelnn
