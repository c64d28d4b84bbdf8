// unfold_planes: the slabs of planes that a kernel of `kernel` planes looks at, side by side (im2col along one dimension whose elements are planes).
//   y[n, i, c, t, p] = x[n, c, i stride + t dilation - front, p], 0 outside of x;   OD = floor((D + front + back - (kernel - 1) dilation - 1) / stride) + 1
//   in:  x f32[N, C, D, P]          out: y f32[N, OD, C, kernel, P]
// A convolution over three dimensions is one over two whose channels are those of the slab: [N OD, C kernel, H, W].
// Contiguous, any alignment, no overlap. N, C, D, P may be 0; OD is at least 1. Exact.
#pragma once
#include "pool.h"

#define ACCELNN_OP unfold_planes
#define ACCELNN_TABLE "planes/unfold_planes.inc"
#include "attr_slots.h"
