// fold_planes: the transpose of unfold_planes, which is its gradient and the way back of a transposed convolution.
//   x[n, c, d, p] = sum over t < kernel of y[n, (d + front - t dilation) / stride, c, t, p], where the quotient is whole and below OD
//   in:  y f32[N, OD, C, kernel, P]          out: x f32[N, C, size, P];   OD must follow from `size` as in unfold_planes
// Contiguous, any alignment, no overlap. Added up in the order of t: |err| <= gamma_kernel sum |y|.
#pragma once
#include "pool.h"

#define ACCELNN_OP fold_planes
#define ACCELNN_TABLE "planes/fold_planes.inc"
#include "attr_slots.h"
