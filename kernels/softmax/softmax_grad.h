// softmax_grad(dy f32 [..., C], y f32 [..., C]) -> dx f32 [..., C]:  dx = (dy - sum dy y) y, the sum along the last axis; y is softmax's output.
// C >= 1, no rows at all is fine. Contiguous, any alignment; dx may be the memory of dy or of y, no other overlap.
// |err| <= gamma_(C + 2) (|dy| + sum |dy y|) |y|.
#pragma once
#include "pool.h"

#define ACCELNN_OP softmax_grad
#define ACCELNN_TABLE "softmax/softmax_grad.inc"
#include "attr_slots.h"
