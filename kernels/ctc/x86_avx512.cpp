#include "ctc/generic.h"

namespace accelnn {

Status ctc_loss_f32_x86_avx512(const Call& c) { return ctc::ctc_loss(c); }
Status ctc_loss_grad_f32_x86_avx512(const Call& c) { return ctc::ctc_loss_grad(c); }

}  // namespace accelnn
