// layer_norm(x f32 [R..., D...], weight f32 [D...]?, bias f32 [D...]?) -> y like x, rstd f32 [R...], mean f32 [R...]:
//   mean = sum x / n, rstd = 1 / sqrt(sum (x - mean)^2 / n + eps), y = (x - mean) rstd weight + bias       over the last `dims` dims, n elements
// rms 1: mean = 0 and is no output: rstd = 1 / sqrt(sum x^2 / n + eps), y = x rstd weight + bias.
// n >= 1; no rows at all is fine. Contiguous, any alignment; y may be x's own memory, no other overlap. NaN or inf in a row makes the row NaN.
// Statistics in two passes over at most 4096 elements at a time, merged in double: a large mean costs nothing but the digits that x - mean has lost
// before it came here. With u = 2^-24, d = min(n, 4096) / 16 + 8, z = (x - mean) rstd:
//   |err mean| <= 2 u |mean| + gamma_(d+2) / rstd        |err rstd| <= gamma_(d+8) rstd
//   |err y| <= |weight| (gamma_(d+8) (|z| + 1) + 2 u |mean| rstd) + 2 u |bias|
#pragma once
#include "pool.h"

#define ACCELNN_OP layer_norm
#define ACCELNN_TABLE "norm/layer_norm.inc"
#include "attr_slots.h"
