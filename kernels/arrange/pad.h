// pad(x) -> y: every dim made longer or shorter at both ends.
//
//   y[i] = x[j]   with   j[d] = source_d(i[d] - low[d]),   the constant where one of them has no source
//
// mode 0 constant: source(k) = k / step where 0 <= k, step divides k and k / step < n; nothing elsewhere: y = value. With step > 1 that puts step - 1
//   constants between neighbours (the gradient of a slice).
// mode 1 reflect: about the first and the last element, which are not repeated; low, high <= n - 1.
// mode 2 edge: the first, the last element again.   mode 3 wrap: k modulo n; so low = s, high = -s rolls by s, and low = 0, high = (r - 1) n repeats r times.
// n: x's size of the dim. high is what y's shape makes it; low and high may be negative (they cut). Modes 1 to 3 want n >= 1 where y is not empty, step = 1.
// low: one a dim; step: one a dim, or none (all 1). value: the nearest of x's dtype (integers: truncated).
// Any dtype. Contiguous, y shares no memory with x. Any alignment, rank 1 to 8. Bitwise exact.
#pragma once
#include "op.h"

#define ACCELNN_OP pad
#define ACCELNN_TABLE "arrange/pad.inc"
#include "attr_slots.h"

namespace accelnn {

namespace pad_mode {
enum Mode : int64_t { constant = 0,
                      reflect = 1,
                      edge = 2,
                      wrap = 3,
                      count_ };
}

}  // namespace accelnn
