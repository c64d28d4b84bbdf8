// The rows of copy and cast, the same on every instruction set: <isa>.cpp only says where.
#pragma once
#include "copy/generic.h"
#include "here.h"

namespace accelnn {

// A copy looks at the size of an element only.
#define PUBLISH(dtype, bits, type)                                                     \
  Status ACCELNN_HERE(copy_##dtype)(const Call& call);                                 \
  Status ACCELNN_HERE(copy_##dtype)(const Call& call) { return run_copy<bits>(call); } \
  Status ACCELNN_HERE(cast_##dtype)(const Call& call);                                 \
  Status ACCELNN_HERE(cast_##dtype)(const Call& call) { return run_cast<type>(call); }
PUBLISH(f32, uint32_t, float)
PUBLISH(f16, uint16_t, half)
PUBLISH(bf16, uint16_t, bfloat)
PUBLISH(i8, uint8_t, int8_t)
PUBLISH(u8, uint8_t, uint8_t)
PUBLISH(i32, uint32_t, int32_t)
PUBLISH(i64, uint64_t, int64_t)
PUBLISH(bool, uint8_t, boolean)

}  // namespace accelnn
