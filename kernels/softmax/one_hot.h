// one_hot(labels i64 [...]), attribute classes -> y f32 [..., classes]:  y = 1 where the last index is the label, else 0.
// classes >= 1. A label outside [0, classes) is an error that names its position; nothing is written then.
// Contiguous, no overlap, any alignment. Exact.
// On a device, which cannot stop a kernel, such a label has a row of zeros.
#pragma once
#include "pool.h"

#define ACCELNN_OP one_hot
#define ACCELNN_TABLE "softmax/one_hot.inc"
#include "attr_slots.h"
