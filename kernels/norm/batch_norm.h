// batch_norm(x f32 [N, C, ...], weight f32 [C]?, bias f32 [C]?) -> y like x, rstd f32 [C], mean f32 [C], var f32 [C]:
//   mean and rstd as in layer_norm.h over N and all places of a channel, count >= 2 of them;   y = (x - mean) rstd weight[c] + bias[c]
//   var = sum (x - mean)^2 / (count - 1): what running statistics are made of
// Contiguous, any alignment; y may be x's own memory, no other overlap.
// |err| of y, rstd, mean as in layer_norm.h with d = min(count, 4096) / 16 + 72;  of var: gamma_(d+8) var.
#pragma once
#include "pool.h"

#define ACCELNN_OP batch_norm
#define ACCELNN_TABLE "norm/batch_norm.inc"
#include "attr_slots.h"
