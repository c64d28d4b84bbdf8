// avg_pool2d(x f32 [N, C, H, W]) -> y f32 [N, C, OH, OW]          (windows: window.h)
//   y = sum of the window, row by row, / count;  count = kernel_h * kernel_w with count_include_pad, else the number of pixels inside the image
// Contiguous, y does not overlap x; any alignment. |err| <= gamma_(K+1) * mean|x| over the window, K = kernel_h * kernel_w. NaN and inf propagate.
#pragma once
#include "pool.h"

#define ACCELNN_OP avg_pool2d
#define ACCELNN_TABLE "pool2d/avg_pool2d.inc"
#include "attr_slots.h"
