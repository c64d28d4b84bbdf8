// batch_norm_grad(dy f32, x f32 [N, C, ...], rstd f32 [C], mean f32 [C], weight f32 [C]?) -> dx like x, dweight f32 [C], dbias f32 [C]:
//   z = (x - mean) rstd:  dbias = sum dy, dweight = sum dy z, dx = (dy - dbias / count - z dweight / count) rstd weight,  sums over N and all places
// All three outputs always. Contiguous, any alignment; dx may be the memory of dy or of x, no other overlap.
// |err| as layer_norm_grad.h with a channel for a row: d as in batch_norm.h, and of the sums gamma_(d+8)
// for gamma_(R+4).
#pragma once
#include "pool.h"

#define ACCELNN_OP batch_norm_grad
#define ACCELNN_TABLE "norm/batch_norm_grad.inc"
#include "attr_slots.h"
