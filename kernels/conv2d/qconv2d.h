// qconv2d: conv2d on bytes with exact int32 sums.
//   acc[n, o, i, j] = bias[o] + sum over c, p, q of (X[n, ., ., .] - x_zero) w[o, c, p, q]      indices as in conv2d.h; X is x_zero outside of x
//   v = relu ? max(acc, 0) : acc;   y = v (i32) | float(v) scale[o] (f32) | clamp(out_zero + rint(float(v) scale[o]), 0, 255) (u8), halves to even
//   in:  x u8[N, C, H, W], x_zero u8[], w i8[O, C/g, R, S], scale f32[O], bias? i32[O], out_zero? u8[]       out: y u8|f32|i32 [N, O, OH, OW]
//   attributes: conv2d's nine, and relu (0, 1). A u8 output needs out_zero. scale is not looked at for an i32 output, but is given.
// All contiguous; y overlaps no input. K = C/g R S <= 32768, so that the sum of products fits an int32; adding the bias wraps.
// Bitwise equal on every ISA. A NaN result (scale NaN) becomes 0 in a u8 output.
#pragma once
#define ACCELNN_OP qconv2d
#define ACCELNN_TABLE "conv2d/qconv2d.inc"
#include "attr_slots.h"
