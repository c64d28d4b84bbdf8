// The rows of pointwise, the same on every instruction set: <isa>.cpp only says where.
#pragma once
#include "pointwise/generic.h"
#include "here.h"

namespace accelnn {

#define PUBLISH(dtype, full)                                \
  Status ACCELNN_HERE(pointwise_##dtype)(const Call& call); \
  Status ACCELNN_HERE(pointwise_##dtype)(const Call& call) { return pointwise_rows::run<full>(call); }
PUBLISH(f32_plain, false)
PUBLISH(f32, true)
PUBLISH(f16, true)
PUBLISH(bf16, true)
PUBLISH(i8, true)
PUBLISH(u8, true)
PUBLISH(bool, true)

}  // namespace accelnn
