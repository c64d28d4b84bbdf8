#include "order/generic.h"

namespace accelnn {

#define PUBLISH(dtype, type)                                                                \
  Status argmax_##dtype##_base(const Call& call);                                           \
  Status argmax_##dtype##_base(const Call& call) { return order_rows::argmax<type>(call); } \
  Status topk_##dtype##_base(const Call& call);                                             \
  Status topk_##dtype##_base(const Call& call) { return order_rows::topk<type>(call); }
PUBLISH(f32, float)
PUBLISH(i8, int8_t)
PUBLISH(u8, uint8_t)
PUBLISH(i32, int32_t)
PUBLISH(i64, int64_t)

}  // namespace accelnn
