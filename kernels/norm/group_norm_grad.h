// group_norm_grad(dy f32, x f32 [N, C, ...], rstd f32 [N, groups], mean f32 [N, groups], weight f32 [C]?) -> dx like x, dweight f32 [C], dbias f32 [C]:
//   as layer_norm_grad.h, with rows that are groups, weight[c], and sums over n and all places of a channel. params: 0 dx alone, 1 with dweight, 2 with
//   dbias too. Contiguous, any alignment; dx may be the memory of dy or of x, no other overlap.
// |err| as there with n the elements of a group and R = N + d + 32.
#pragma once
#include "pool.h"

#define ACCELNN_OP group_norm_grad
#define ACCELNN_TABLE "norm/group_norm_grad.inc"
#include "attr_slots.h"
