// The rows of concat, pad and flip, the same on every instruction set: <isa>.cpp only says where.
#pragma once
#include "arrange/generic.h"
#include "every_dtype.h"
#include "here.h"

namespace accelnn {

#define PUBLISH(dtype)                                                                    \
  Status ACCELNN_HERE(concat_##dtype)(const Call& call);                                  \
  Status ACCELNN_HERE(concat_##dtype)(const Call& call) { return arrange::concat(call); } \
  Status ACCELNN_HERE(pad_##dtype)(const Call& call);                                     \
  Status ACCELNN_HERE(pad_##dtype)(const Call& call) { return arrange::pad(call); }       \
  Status ACCELNN_HERE(flip_##dtype)(const Call& call);                                    \
  Status ACCELNN_HERE(flip_##dtype)(const Call& call) { return arrange::flip(call); }
ACCELNN_EVERY_DTYPE(PUBLISH)

}  // namespace accelnn
