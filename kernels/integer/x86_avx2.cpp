#include "integer/generic.h"

namespace accelnn {

#define PUBLISH(dtype, type)                           \
  Status integer_##dtype##_x86_avx2(const Call& call); \
  Status integer_##dtype##_x86_avx2(const Call& call) { return integer_rows::run<type>(call); }
PUBLISH(i8, int8_t)
PUBLISH(u8, uint8_t)
PUBLISH(i32, int32_t)
PUBLISH(i64, int64_t)
PUBLISH(bool, bool)

}  // namespace accelnn
