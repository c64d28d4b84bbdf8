// conv2d: cross-correlation with zero padding, NCHW.
//   y[n, o, i, j] = act( residual[n, o, i, j] + bias[o] + sum over c < C/g, p < R, q < S of
//                                  X[n, (o / (O/g)) C/g + c, i sh + p dh - pad_top, j sw + q dw - pad_left] w[o, c, p, q] )
// where X is x, and 0 outside of it.   OH = floor((H + pad_top + pad_bottom - (R - 1) dh - 1) / sh) + 1, OW alike.
//   in:  x f32[N, C, H, W], w f32[O, C/g, R, S], bias? f32[O], residual? like y         out: y f32[N, O, OH, OW]
//   attributes: strides, pads (each side its own), dilations >= 1, groups (divides C and O), activation (matmul/activation.h),
//   exact: 1 leaves Winograd out.
// All contiguous; y may be the residual's own memory and overlaps nothing else. R and S are at least 1. N, O, C may be 0 (no channels:
// y = act(bias)). No alignment is asked for.
// Error before the activation: |err| <= gamma_(K+3) (sum |X| |w| + |residual| + |bias|), K = C/g R S; where Winograd may run (not exact; 3x3 or 5x5 at
// stride 1, 7x7 at stride 2 of up to 4 channels) at most conv2d_nhwc's bound of a tile (conv2d_nhwc/conv2d_nhwc.h).
// NaN propagates. Padding is multiplied like data: where an infinite weight meets padding, y is NaN (the reference too).
#pragma once
#define ACCELNN_OP conv2d
#define ACCELNN_TABLE "conv2d/conv2d.inc"
#include "attr_slots.h"
