// avg_pool2d_grad(dy f32 [N, C, OH, OW]), attributes in_h, in_w -> dx f32 [N, C, in_h, in_w]
//   dx[n, c, h, w] = sum of dy[n, c, oh, ow] / count(oh, ow) over the windows that hold (h, w), in an order set by shapes alone; 0 where none
// count: as in avg_pool2d. Contiguous, dx does not overlap dy; any alignment. |err| <= gamma_(m+1) sum|dy / count|, m = windows over the pixel.
#pragma once
#include "pool.h"

#define ACCELNN_OP avg_pool2d_grad
#define ACCELNN_TABLE "pool2d/avg_pool2d_grad.inc"
#include "attr_slots.h"
