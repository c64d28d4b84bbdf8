#include "pointwise/generic.h"

namespace accelnn {

#define PUBLISH(dtype)                                   \
  Status pointwise_##dtype##_x86_avx2(const Call& call); \
  Status pointwise_##dtype##_x86_avx2(const Call& call) { return pointwise_rows::run(call); }
PUBLISH(f32)
PUBLISH(f16)
PUBLISH(bf16)
PUBLISH(i8)
PUBLISH(u8)
PUBLISH(bool)

}  // namespace accelnn
