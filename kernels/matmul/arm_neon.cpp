#include "matmul/generic.h"

namespace accelnn {
Status matmul_f32_arm_neon(const Call& call) { return matmul(call); }
}  // namespace accelnn
