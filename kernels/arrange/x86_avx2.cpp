#include "arrange/generic.h"

namespace accelnn {

#define PUBLISH(dtype)                                                                 \
  Status concat_##dtype##_x86_avx2(const Call& call);                                  \
  Status concat_##dtype##_x86_avx2(const Call& call) { return arrange::concat(call); } \
  Status pad_##dtype##_x86_avx2(const Call& call);                                     \
  Status pad_##dtype##_x86_avx2(const Call& call) { return arrange::pad(call); }       \
  Status flip_##dtype##_x86_avx2(const Call& call);                                    \
  Status flip_##dtype##_x86_avx2(const Call& call) { return arrange::flip(call); }
PUBLISH(f32)
PUBLISH(f16)
PUBLISH(bf16)
PUBLISH(i8)
PUBLISH(u8)
PUBLISH(i32)
PUBLISH(i64)
PUBLISH(bool)

}  // namespace accelnn
