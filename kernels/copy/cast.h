// cast: every element in another dtype.
//
//   y[i0, i1, ...] = convert(x[i0, i1, ...])
//
// to floats: the nearest value, halves to even (integers to f16 and bf16 by way of f32); beyond f16's range: infinity; NaN stays NaN.
// to integers: from floats truncated toward zero and saturated, NaN gives 0; from integers modulo 2^bits (as numpy and C do).
// to bool: x != 0, so NaN gives true. From bool: 1 or 0.
// x: any strides >= 0. y: x's shape, contiguous, no memory shared with x; its dtype may be x's own. Empty: nothing is written.
// The same bits on every ISA and device (a NaN stays a NaN, not its payload).
#pragma once
#include "op.h"

namespace accelnn {
Status cast_seldom(const Call&);      // shared.cpp: from or to a dtype that nothing is tuned for
}  // namespace accelnn
