#include "generic.h"

namespace accelnn {

Status softmax_f32_x86_avx512(const Call& c) { return softmax::softmax(c); }
Status log_softmax_f32_x86_avx512(const Call& c) { return softmax::log_softmax(c); }
Status softmax_grad_f32_x86_avx512(const Call& c) { return softmax::softmax_grad(c); }
Status cross_entropy_f32_x86_avx512(const Call& c) { return softmax::cross_entropy(c); }
Status cross_entropy_grad_f32_x86_avx512(const Call& c) { return softmax::cross_entropy_grad(c); }
Status one_hot_i64_x86_avx512(const Call& c) { return softmax::one_hot(c); }

}  // namespace accelnn
