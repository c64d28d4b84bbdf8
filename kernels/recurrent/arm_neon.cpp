#include "recurrent/backward.h"

namespace accelnn {
Status recurrent_f32_arm_neon(const Call& call) { return recurrent(call); }
Status recurrent_grad_f32_arm_neon(const Call& call) { return recurrent_grad(call); }
}  // namespace accelnn
