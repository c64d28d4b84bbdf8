#include "norm/generic.h"

namespace accelnn {

Status layer_norm_f32_base(const Call& c) { return norm::layer_norm(c); }
Status layer_norm_grad_f32_base(const Call& c) { return norm::layer_norm_grad(c); }

}  // namespace accelnn
