// topk(x [.., n]) -> values [.., k], places i64 [.., k]: the k largest (largest = 0: smallest) elements of every row, in order, and where they stand.
//
//   values[r, j] = x[r, places[r, j]];  equal elements in the order of their places (so a whole row sorted, k = n, is sorted stably)
//
// k: what the outputs' shape says, 0 <= k <= n. NaN counts as larger than everything, all NaNs as equal, -0 as 0: as torch's topk and sort.
// x: f32, i8, u8, i32 or i64; values: x's dtype. Contiguous, no memory shared. n < 2^31. Any alignment. Exact.
#pragma once
#include "op.h"

#define ACCELNN_OP topk
#define ACCELNN_TABLE "order/topk.inc"
#include "attr_slots.h"

namespace accelnn {

constexpr int64_t topk_few = 128;            // up to here one pass with a short sorted list is faster than sorting the row
// Rows are shared out to this many parts: each needs room for two copies of a row of keys.
ACCELNN_INLINE int64_t topk_parts(int64_t rows, int64_t n, bool whole) {
  const int64_t most = whole && n > 4096 ? 4 : 64;
  return rows < most ? rows : most;
}

}  // namespace accelnn
