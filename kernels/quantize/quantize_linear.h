// quantize_linear(x f32 [...], scale f32, zero u8|i8), attribute axis -> q of zero's dtype, x's shape
//   q = clamp(rint(x / scale) + zero, least, greatest of the dtype);  a true division, rint rounds half to even
// scale and zero have one shape: [] (one pair for the tensor; axis is not looked at) or [C], C = x's size along axis (< 0 counts from the end).
// NaN (of x, or of 0 / 0) gives the zero point, inf saturates. Contiguous, no overlap, any alignment, any size 0. Exact: the same bits in every row.
#pragma once
#include "pool.h"

#define ACCELNN_OP quantize_linear
#define ACCELNN_TABLE "quantize/quantize_linear.inc"
#include "attr_slots.h"
