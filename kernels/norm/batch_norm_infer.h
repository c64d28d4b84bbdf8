// batch_norm_infer(x f32 [N, C, ...], mean f32 [C], var f32 [C], weight f32 [C]?, bias f32 [C]?) -> y like x:
//   y = (x - mean[c]) / sqrt(var[c] + eps) weight[c] + bias[c]
// Contiguous, any alignment; y may be x's own memory, no other overlap. var + eps < 0 gives NaN.
// |err| <= u (4 |x - mean| |weight| / sqrt(var + eps) + 2 |bias|).
#pragma once
#include "pool.h"

#define ACCELNN_OP batch_norm_infer
#define ACCELNN_TABLE "norm/batch_norm_infer.inc"
#include "attr_slots.h"
