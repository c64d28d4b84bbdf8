#include "pointwise/generic.h"

namespace accelnn {

#define PUBLISH(dtype, full)                             \
  Status pointwise_##dtype##_x86_avx2(const Call& call); \
  Status pointwise_##dtype##_x86_avx2(const Call& call) { return pointwise_rows::run<full>(call); }
PUBLISH(f32_plain, false)
PUBLISH(f32, true)
PUBLISH(f16, true)
PUBLISH(bf16, true)
PUBLISH(i8, true)
PUBLISH(u8, true)
PUBLISH(bool, true)

}  // namespace accelnn
