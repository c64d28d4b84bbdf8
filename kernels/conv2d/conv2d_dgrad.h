// conv2d_dgrad: the gradient of conv2d (without bias and activation) in x; it is also the transposed convolution.
//   dx[n, c, h, w] = sum over o in the group of c, p < R, q < S of  dy[n, o, (h + pad_top - p dh) / sh, (w + pad_left - q dw) / sw] w[o, c, p, q]
// over those p, q for which both quotients are whole and inside dy.
//   in:  dy f32[N, O, OH, OW], w f32[O, C/g, R, S]        out: dx f32[N, C, in_h, in_w]
//   attributes: conv2d's, and in_h, in_w: H and W of x, which (OH, OW) alone does not tell when the stride exceeds 1. OH, OW must follow from them.
// All contiguous; dx overlaps no input. Every element of dx is written (0 where no output looked).
// Error: |err| <= gamma_K (sum |dy| |w|), K = O/g R S.
#pragma once
#define ACCELNN_OP conv2d_dgrad
#define ACCELNN_TABLE "conv2d/conv2d_dgrad.inc"
#include "attr_slots.h"
