#include "softmax/generic.h"
#include "softmax/wide.h"

namespace accelnn {

Status softmax_f32_base(const Call& c) { return softmax::softmax(c); }
Status log_softmax_f32_base(const Call& c) { return softmax::log_softmax_wide(c); }
Status softmax_grad_f32_base(const Call& c) { return softmax::softmax_grad_wide(c); }
Status log_softmax_grad_f32_base(const Call& c) { return softmax::log_softmax_grad_wide(c); }
Status softmax_axis_f32_base(const Call& c) { return softmax::softmax_axis(c); }
Status softmax_axis_grad_f32_base(const Call& c) { return softmax::softmax_axis_grad(c); }
Status one_hot_i64_base(const Call& c) { return softmax::one_hot(c); }

}  // namespace accelnn
