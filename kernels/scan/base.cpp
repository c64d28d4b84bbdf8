#include "scan/generic.h"

namespace accelnn {

#define PUBLISH(dtype, type)                        \
  Status cumulate_##dtype##_base(const Call& call); \
  Status cumulate_##dtype##_base(const Call& call) { return scan_rows::cumulate<type>(call); }
PUBLISH(f32, float)
PUBLISH(i32, int32_t)
PUBLISH(i64, int64_t)
PUBLISH(f64, double)

}  // namespace accelnn
