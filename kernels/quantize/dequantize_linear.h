// dequantize_linear(q u8|i8|i32 [...], scale f32, zero? of q's dtype), attribute axis -> x f32, q's shape
//   x = float(q - zero) * scale;  the difference is exact, then one rounding to float (i32 only) and one of the product. zero left out: 0.
// Shapes of scale and zero as in quantize_linear. Contiguous, no overlap, any alignment, any size 0. Exact: the same bits in every row.
#pragma once
#include "pool.h"

#define ACCELNN_OP dequantize_linear
#define ACCELNN_TABLE "quantize/dequantize_linear.inc"
#include "attr_slots.h"
