#include "softmax/wide.h"

namespace accelnn {

Status softmax_f32_arm_neon(const Call& c) { return softmax::softmax_wide(c); }
Status log_softmax_f32_arm_neon(const Call& c) { return softmax::log_softmax_wide(c); }
Status softmax_grad_f32_arm_neon(const Call& c) { return softmax::softmax_grad_wide(c); }
Status log_softmax_grad_f32_arm_neon(const Call& c) { return softmax::log_softmax_grad_wide(c); }
Status softmax_axis_f32_arm_neon(const Call& c) { return softmax::softmax_axis(c); }
Status softmax_axis_grad_f32_arm_neon(const Call& c) { return softmax::softmax_axis_grad(c); }

}  // namespace accelnn
