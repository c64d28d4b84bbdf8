// group_norm(x f32 [N, C, ...], weight f32 [C]?, bias f32 [C]?) -> y like x, rstd f32 [N, groups], mean f32 [N, groups]:
//   mean and rstd as in layer_norm.h over the C / groups channels of a group and all that follows;   y = (x - mean) rstd weight[c] + bias[c]
// groups = C is instance_norm. C a multiple of groups, at least one element a group; N = 0 is fine. Contiguous, any alignment; y may be x's own memory,
// no other overlap. |err| as in layer_norm.h with n the elements of a group.
#pragma once
#include "pool.h"

#define ACCELNN_OP group_norm
#define ACCELNN_TABLE "norm/group_norm.inc"
#include "attr_slots.h"
