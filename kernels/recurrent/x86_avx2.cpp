#include "recurrent/backward.h"
#include "recurrent/wgrad_generic.h"

namespace accelnn {
Status recurrent_f32_x86_avx2(const Call& call) { return recurrent(call); }
Status recurrent_grad_f32_x86_avx2(const Call& call) { return recurrent_grad(call); }
Status recurrent_wgrad_f32_x86_avx2(const Call& call) { return recurrent_wgrad(call); }
}  // namespace accelnn
