#include "attention/backward.h"
#include "attention/forward.h"

namespace accelnn {
Status attention_f32_x86_avx2(const Call& call) { return attend::attention(call); }
Status attention_grad_f32_x86_avx2(const Call& call) { return attend::attention_grad(call); }
}  // namespace accelnn
