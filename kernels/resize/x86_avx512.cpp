#include "resize/generic.h"

namespace accelnn {

Status resize_f32_x86_avx512(const Call& call);
Status resize_f32_x86_avx512(const Call& call) { return resize_rows::resize(call); }
Status resize_grad_f32_x86_avx512(const Call& call);
Status resize_grad_f32_x86_avx512(const Call& call) { return resize_rows::resize_grad(call); }

}  // namespace accelnn
