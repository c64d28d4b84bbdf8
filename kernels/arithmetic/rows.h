// The rows, the same on every instruction set: <isa>.cpp only says where.
#pragma once
#include "here.h"
#include "arithmetic/generic.h"

namespace accelnn {

#define PUBLISH(dtype, type)                                 \
  Status ACCELNN_HERE(arithmetic_##dtype)(const Call& call); \
  Status ACCELNN_HERE(arithmetic_##dtype)(const Call& call) { return arithmetic_rows::run<type>(call); }
PUBLISH(i8, int8_t)
PUBLISH(u8, uint8_t)
PUBLISH(i32, int32_t)
PUBLISH(i64, int64_t)
PUBLISH(bool, bool)

}  // namespace accelnn
