// conv2d_dgrad: the gradient of conv2d (without bias and activation) in x; it is also the transposed convolution.
//   dx[n, c, h, w] = bias[c] + sum over o in the group of c, p < R, q < S of  dy[n, o, (h + pad_top - p dh) / sh, (w + pad_left - q dw) / sw] w[o, c, p, q]
// over those p, q for which both quotients are whole and inside dy.
//   in:  dy f32[N, O, OH, OW], w f32[O, C/g, R, S], bias? f32[C]        out: dx f32[N, C, in_h, in_w]
//   attributes: conv2d's, exact, and in_h, in_w: H and W of x, which (OH, OW) alone does not tell when the stride exceeds 1; 0: whatever dx has.
//   OH, OW must follow from H and W as in conv2d.
// All contiguous; dx overlaps no input. Every element of dx is written (the bias alone where no output looked).
// Error: |err| <= gamma_(K+1) (sum |dy| |w| + |bias|), K = O/g R S.
// 3x3 and 5x5 at stride 1 with at least 16 channels and outputs a group and enough pixels (layout.h: by_winograd) go by Winograd's F(4,3) and F(2,5),
// points 0, +-2/3, +-3/2, infinity, unless `exact` is 1. Then, tile by tile, d_o what a tile of dx sees of dy, w' turned by 180 degrees:
//   |err| <= gamma_(O/g+32) |A^T| (sum_o (|G| |w'_oc| |G^T|) * (|B^T| |d_o| |B|)) |A|;  NaN and infinities reach every pixel of their tile.
// 3x3 at a stride of 2 with a border of one above and on the left, one group, go by F(4,2) of their phases (layout.h: by_strided), points +-5/4, +-1/2,
// infinity, unless `exact` is 1: a tile is 8x8 pixels, w' the taps of a pixel's phase (strided.h), and the bound is the same, d_o 5x5 numbers of dy.
#pragma once
#define ACCELNN_OP conv2d_dgrad
#define ACCELNN_TABLE "conv2d_grad/conv2d_dgrad.inc"
#include "attr_slots.h"
