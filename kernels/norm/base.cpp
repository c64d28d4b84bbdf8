#include "norm/generic.h"

namespace accelnn {

Status layer_norm_f32_base(const Call& c) { return norm::layer_norm(c); }
Status layer_norm_grad_f32_base(const Call& c) { return norm::layer_norm_grad(c); }
Status group_norm_f32_base(const Call& c) { return norm::group_norm(c); }
Status group_norm_grad_f32_base(const Call& c) { return norm::group_norm_grad(c); }
Status batch_norm_f32_base(const Call& c) { return norm::batch_norm(c); }
Status batch_norm_grad_f32_base(const Call& c) { return norm::batch_norm_grad(c); }
Status batch_norm_infer_f32_base(const Call& c) { return norm::batch_norm_infer(c); }

}  // namespace accelnn
