// max_pool2d_gather(g f32 [N, C, H, W], index i32 [N, C, OH, OW]) -> out f32 [N, C, OH, OW]:  out[n, c, oh, ow] = g[n, c, k / W, k % W], k the index.
// The derivative of max_pool2d_grad by dy (and of max_pool2d along g); it carries the window so that its own derivative can be written.
// An index outside [0, H * W) is an error (out is then undefined). Contiguous, out overlaps neither input; any alignment. Exact.
#pragma once
#include "pool.h"

#define ACCELNN_OP max_pool2d_gather
#define ACCELNN_TABLE "pool2d/max_pool2d_gather.inc"
#include "attr_slots.h"
