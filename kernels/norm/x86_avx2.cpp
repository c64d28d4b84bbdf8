#include "norm/generic.h"

namespace accelnn {

Status layer_norm_f32_x86_avx2(const Call& c) { return norm::layer_norm(c); }
Status layer_norm_grad_f32_x86_avx2(const Call& c) { return norm::layer_norm_grad(c); }

}  // namespace accelnn
