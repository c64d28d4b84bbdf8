// cross_entropy_grad(logits f32 [N, C], labels i64 [N], dloss f32 [N]) -> dlogits f32 [N, C]:
//   dlogits[n, c] = (softmax(logits[n])[c] - [c == labels[n]]) * dloss[n]
// Shapes and labels as in cross_entropy. Contiguous, any alignment; dlogits may be the memory of logits, no other overlap.
// |err| <= u (|x - max| + ln C + C / 4 + 14) (softmax + [c == label]) |dloss| + 2^-126 |dloss|, u = 2^-24.
#pragma once
#include "pool.h"

#define ACCELNN_OP cross_entropy_grad
#define ACCELNN_TABLE "softmax/cross_entropy_grad.inc"
#include "attr_slots.h"
