// conv2d_wgrad: the gradient of conv2d (without bias and activation) in w.
//   dw[o, c, p, q] = sum over n, i < OH, j < OW of  dy[n, o, i, j] X[n, (o / (O/g)) C/g + c, i sh + p dh - pad_top, j sw + q dw - pad_left]
// where X is x, and 0 outside of it.
//   in:  dy f32[N, O, OH, OW], x f32[N, C, H, W]          out: dw f32[O, C/g, kernel_h, kernel_w]
//   attributes: conv2d's, exact, and kernel_h, kernel_w: R and S, which the shapes of dy and x alone do not tell when the stride exceeds 1.
// All contiguous; dw overlaps no input. An empty sum (N = 0) is 0.
// Error: |err| <= gamma_K (sum |dy| |X|), K = N OH OW. Images are summed in up to 8 parts, a number that the shape alone decides.
// 3x3 and 5x5 at stride 1 as in conv2d_dgrad.h by Winograd, unless `exact` is 1; d_c what a tile of dy sees of x, T tiles:
//   |err| <= gamma_(T+32) |G^T| (sum over tiles (|A| |dy_o| |A^T|) * (|B^T| |d_c| |B|)) |G|
// and 3x3 at a stride of 2 by F(4,2) of its phases, with the same bound for the taps of a phase, d_c what a tile of 4x4 of dy sees of that phase of x.
#pragma once
#define ACCELNN_OP conv2d_wgrad
#define ACCELNN_TABLE "conv2d_grad/conv2d_wgrad.inc"
#include "attr_slots.h"
