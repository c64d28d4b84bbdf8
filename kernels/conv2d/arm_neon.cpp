#include "conv2d/generic.h"
#include "conv2d/pixels.h"

namespace accelnn {

Status conv2d_f32_arm_neon(const Call& call) { return conv2d_f32(call); }
Status conv2d_f32_arm_neon_pixels(const Call& call) { return conv2d_pixels(call); }

}  // namespace accelnn
