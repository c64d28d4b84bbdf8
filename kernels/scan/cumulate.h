// cumulate(x) -> y: running sums or products along one axis.
//
//   y[o, a, i] = f over b <= a of x[o, b, i]        exclusive 1: over b < a (0, or 1, at the beginning);   reverse 1: over b >= a, or b > a
//
// kind: 0 sum, 1 product. x: f32, f64, i32 or i64 (modulo 2^bits), contiguous. y: x's shape and dtype, no memory shared with x. Any alignment. Empty is fine.
// Order: fixed by shape and row. |err| of a sum: gamma_n times the running sum of |x|; of a product gamma_n |y| (no bound where one over- or
// underflows on the way). NaN stays from where it comes on.
#pragma once
#include "op.h"

#define ACCELNN_OP cumulate
#define ACCELNN_TABLE "scan/cumulate.inc"
#include "attr_slots.h"
