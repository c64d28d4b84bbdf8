#include "matmul/gemm_i8_dot.h"

namespace accelnn {
Status qconv2d_u8_arm_dotprod(const Call& call) { return qconv2d(call, i8_dot_isa<false>()); }
}  // namespace accelnn
