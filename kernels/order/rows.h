// The rows of argmax and topk, the same on every instruction set: <isa>.cpp only says where.
#pragma once
#include "order/generic.h"
#include "here.h"

namespace accelnn {

#define PUBLISH(dtype, type)                                                                       \
  Status ACCELNN_HERE(argmax_##dtype)(const Call& call);                                           \
  Status ACCELNN_HERE(argmax_##dtype)(const Call& call) { return order_rows::argmax<type>(call); } \
  Status ACCELNN_HERE(topk_##dtype)(const Call& call);                                             \
  Status ACCELNN_HERE(topk_##dtype)(const Call& call) { return order_rows::topk<type>(call); }
PUBLISH(f32, float)
PUBLISH(i8, int8_t)
PUBLISH(u8, uint8_t)
PUBLISH(i32, int32_t)
PUBLISH(i64, int64_t)

}  // namespace accelnn
