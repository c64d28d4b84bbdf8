#include "cross_entropy/generic.h"

namespace accelnn {

Status cross_entropy_f32_x86_avx512(const Call& c) { return entropy::cross_entropy(c); }
Status cross_entropy_grad_f32_x86_avx512(const Call& c) { return entropy::cross_entropy_grad(c); }

}  // namespace accelnn
