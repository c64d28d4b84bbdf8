// max_pool2d(x f32|u8 [N, C, H, W]) -> y of x's dtype [N, C, OH, OW], index? i32 [N, C, OH, OW]          (windows: window.h)
//   y = max of the window;  index = h * W + w of the first maximum in row order, or of the first NaN: a NaN wins. H * W < 2^31.
// Padding never wins: it is left out, not filled with a number. Both outputs contiguous, no overlap with x or each other; any alignment.
// Exact, the same bits in every row (-0 and +0 are equal: the first one stays).
#pragma once
#include "pool.h"

#define ACCELNN_OP max_pool2d
#define ACCELNN_TABLE "pool2d/max_pool2d.inc"
#include "attr_slots.h"
