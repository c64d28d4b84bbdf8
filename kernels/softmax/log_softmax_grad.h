// log_softmax_grad(dy f32 [..., C], y f32 [..., C]) -> dx f32 [..., C]:  dx = dy - exp(y) sum dy, the sum along the last axis; y is log_softmax's output.
// C >= 1, no rows at all is fine. Contiguous, any alignment; dx may be the memory of dy or of y, no other overlap.
// |err| <= gamma_(C + 12) (|dy| + exp(y) sum |dy|).
#pragma once
#include "pool.h"

#define ACCELNN_OP log_softmax_grad
#define ACCELNN_TABLE "softmax/log_softmax_grad.inc"
#include "attr_slots.h"
