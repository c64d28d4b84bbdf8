// conv2d_dgrad: the gradient of conv2d (without bias and activation) in x; it is also the transposed convolution.
//   dx[n, c, h, w] = bias[c] + sum over o in the group of c, p < R, q < S of  dy[n, o, (h + pad_top - p dh) / sh, (w + pad_left - q dw) / sw] w[o, c, p, q]
// over those p, q for which both quotients are whole and inside dy.
//   in:  dy f32[N, O, OH, OW], w f32[O, C/g, R, S], bias? f32[C]        out: dx f32[N, C, in_h, in_w]
//   attributes: conv2d's, exact, and in_h, in_w: H and W of x, which (OH, OW) alone does not tell when the stride exceeds 1; 0: whatever dx has.
//   OH, OW must follow from H and W as in conv2d.
// All contiguous; dx overlaps no input. Every element of dx is written (the bias alone where no output looked).
// Error: |err| <= gamma_(K+1) (sum |dy| |w| + |bias|), K = O/g R S.
// 3x3 at stride 1 (no dilation or groups) with at least 16 channels and outputs and enough pixels goes by Winograd's F(4,3), points 0, +-2/3, +-3/2,
// infinity, unless `exact` is 1. Then, tile by tile, d_o what a tile of dx sees of dy, w' turned by 180 degrees:
//   |err| <= gamma_(O+32) |A^T| (sum_o (|G| |w'_oc| |G^T|) * (|B^T| |d_o| |B|)) |A|;  NaN and infinities reach every pixel of their tile.
// With dilation or groups, and 5x5, the rows that end in _last go by conv2d_nhwc's Winograd (layout.h: last_layout), with its bound for dy and the
// turned weights, and 8 roundings more, of weights transformed in floats.
#pragma once
#define ACCELNN_OP conv2d_dgrad
#define ACCELNN_TABLE "conv2d_grad/conv2d_dgrad.inc"
#include "attr_slots.h"
