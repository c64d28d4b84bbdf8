#include "conv2d/generic.h"

namespace accelnn {

Status conv2d_f32_arm_neon(const Call& call) { return conv2d_f32(call); }

}  // namespace accelnn
