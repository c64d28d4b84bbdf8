// softmax_axis_grad(dy f32, y f32), attributes axis, log -> dx like y:  (dy - sum dy y) y (log 0) or dy - exp(y) sum dy (log 1), sums along dim `axis`;
// y is softmax_axis' output. |err| <= gamma_(C + 2) (|dy| + sum |dy y|) |y|, with log: gamma_(C + 12) (|dy| + exp(y) sum |dy|).
// Contiguous, any alignment; dx may be the memory of dy or of y, no other overlap.
#pragma once
#include "pool.h"

#define ACCELNN_OP softmax_axis_grad
#define ACCELNN_TABLE "softmax/softmax_axis_grad.inc"
#include "attr_slots.h"
