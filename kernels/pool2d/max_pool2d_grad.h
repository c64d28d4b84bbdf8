// max_pool2d_grad(dy f32 [N, C, OH, OW], index i32 [N, C, OH, OW]), attributes in_h, in_w -> dx f32 [N, C, in_h, in_w]
//   dx[n, c, k / in_w, k % in_w] = sum of dy[n, c, oh, ow] over all (oh, ow) with index k, in the order of oh, ow;  0 where there is none
// An index outside [0, in_h * in_w) is an error (dx is then undefined). One inside the plane but outside its own window is followed.
// Contiguous, dx overlaps neither input; any alignment.
// |err| <= gamma_m sum|dy|, m = number of windows over a pixel: exact where windows do not overlap.
#pragma once
#include "pool.h"

#define ACCELNN_OP max_pool2d_grad
#define ACCELNN_TABLE "pool2d/max_pool2d_grad.inc"
#include "attr_slots.h"
