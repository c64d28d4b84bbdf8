#include "copy/generic.h"

namespace accelnn {

// A copy looks at the size of an element only.
#define PUBLISH(dtype, bits, type)                                                  \
  Status copy_##dtype##_x86_avx2(const Call& call);                                 \
  Status copy_##dtype##_x86_avx2(const Call& call) { return run_copy<bits>(call); } \
  Status cast_##dtype##_x86_avx2(const Call& call);                                 \
  Status cast_##dtype##_x86_avx2(const Call& call) { return run_cast<type>(call); }
PUBLISH(f32, uint32_t, float)
PUBLISH(f16, uint16_t, half)
PUBLISH(bf16, uint16_t, bfloat)
PUBLISH(i8, uint8_t, int8_t)
PUBLISH(u8, uint8_t, uint8_t)
PUBLISH(i32, uint32_t, int32_t)
PUBLISH(i64, uint64_t, int64_t)
PUBLISH(bool, uint8_t, boolean)

}  // namespace accelnn
