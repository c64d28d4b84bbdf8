#include "attention/append.h"
#include "attention/backward.h"
#include "attention/decode.h"
#include "attention/forward.h"
#include "attention/paged.h"
#include "attention/rotate.h"

namespace accelnn {
Status attention_f32_base(const Call& call) { return attend::attention(call); }
Status attention_decode_f32_base(const Call& call) { return attend::decode(call, true); }
Status attention_grad_f32_base(const Call& call) { return attend::attention_grad(call); }
Status attention_paged_f32_base(const Call& call) { return attend::paged(call); }
Status cache_append_f32_base(const Call& call) { return attend::cache_append(call); }
Status rotary_f32_base(const Call& call) { return attend::rotary(call); }
}  // namespace accelnn
