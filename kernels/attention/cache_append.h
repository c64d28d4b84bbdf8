// cache_append(x f32 [B, G, L, D], cache f32, bf16 or i8 [B, G, S, D], position i64 [B], scale? f32 [B, G, S]) -> cache', scale'? like cache and scale
//
//   cache'[b, g, position[b] + l] = x[b, g, l], every other row as it was. bf16: rounded to nearest even. i8 (which needs scale): a row's scale becomes
//   s = max(max |x|, 1e-30) / 127 and its numbers rint(x / s), half to even, so that s q is within s / 2 of x. A row with a NaN or an infinity
//   gets the scale NaN and zeros: whoever reads it sees the NaN.
//   0 <= position[b] and position[b] + L <= S, else an error and nothing is written.
//
// Any strides; outputs contiguous. An output may be its input's own memory (then L rows of an item and head are all that is touched); no other overlap.
// Correctly rounded, bitwise the same everywhere: one row of the table, since a step of decoding writes kilobytes.
#pragma once
#include "op.h"

#define ACCELNN_OP cache_append
#define ACCELNN_TABLE "attention/cache_append.inc"
#include "attr_slots.h"

namespace accelnn {
Status check_append_positions(const Call&);      // values, which are there only when it runs
}  // namespace accelnn
