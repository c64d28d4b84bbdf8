#include "matmul/gemm_i8_dot.h"

namespace accelnn {
Status qmatmul_u8_arm_dotprod(const Call& call) { return qmatmul(call, i8_dot_isa<true>()); }
}  // namespace accelnn
