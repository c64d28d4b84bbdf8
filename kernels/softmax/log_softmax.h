// log_softmax(x f32 [..., C]) -> y f32 [..., C]:  y = (x - max) - log(sum exp(x - max)) along the last axis.
// Shapes, aliasing, NaN and inf as in softmax; -inf beside finite numbers stays -inf.
// |err| <= u (2 |y| + 2 |x - max| + 5 ln C + C / 4 + 8), u = 2^-24.
#pragma once
#include "pool.h"

#define ACCELNN_OP log_softmax
#define ACCELNN_TABLE "softmax/log_softmax.inc"
#include "attr_slots.h"
