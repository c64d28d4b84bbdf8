// Rows that are swept several times, over arrays larger than the caches. One sweep after another, memory rests while the processor computes and the
// processor while memory answers. Here sweeps of neighbouring rows run in one loop, a block of four vectors of each in turn: while row r is read for the
// first time, the row before it is written. Measured, shares of a copy's speed, against sweeps in turn with prefetches: rms_norm of 768 floats 97 % (70),
// layer_norm 101 (72), its gradient 97 (70), softmax of 4096 82 (62).
// Rows of norms that leave L1 before their second sweep gain nothing (4096 floats: layer_norm 53 %, in turn 65 %): lines from L2 for the second sweep,
// weight and bias compete with those from memory. A copy of the rows in a buffer of its own changed nothing there (52 %).
#pragma once
#include "strips.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace strips {

// Floats ahead of the first sweep that are called for into L2, and of the others into L1.
constexpr int64_t relay_ahead = 2048, relay_near = 512;
ACCELNN_INLINE void call_near(const float* p) { __builtin_prefetch(p, 0, 3); }

template <class F> ACCELNN_INLINE void four_from(int64_t i, const F& f) {
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) f(i + u * lanes, u, lanes);
}
// What by_fours does from i on, a multiple of four vectors.
template <class F> ACCELNN_INLINE void by_fours_from(int64_t i, int64_t n, const F& f) {
  for (; i + 4 * lanes <= n; i += 4 * lanes) four_from(i, f);
  for (; i + lanes <= n; i += lanes) f(i, 0, lanes);
  if (i < n) f(i, 1, int(n - i));
}
// The line that ends one row and begins the next: put together here and sent whole. Stored plainly by both, it would come from memory first, and every store
// behind it would wait, some 100 ns a row.
struct Seam {
  alignas(vector_bytes) float line[lanes];
  int filled = 0;
};
// read(i, u, k)... in by_fours' order; the row y becomes value(i, k): past the caches, in whole vectors where its memory has them.
template <class V, class... R> ACCELNN_INLINE void sweep_together(float* y, int64_t n, bool past, Seam& seam, const V& value, const R&... read) {
  const int64_t head = int64_t(-reinterpret_cast<uintptr_t>(y) / sizeof(float)) & (lanes - 1), both = (n - head) / (4 * lanes) * (4 * lanes);
  if (head) {
    const vf v = value(0, int(head));
    store(seam.filled ? seam.line + seam.filled : y, v, int(head));
    if (seam.filled) store_past(y - seam.filled, load(seam.line));
    seam.filled = 0;
  }
  const auto write = [&](int64_t i, int, int k) INLINED {
    if (past) store_past(y + i, value(i, k));
    else store(y + i, value(i, k));
  };
  for (int64_t i = 0; i < both; i += 4 * lanes) {
    four_from(head + i, write);         // first: what is read may take the place of what is written from
    (four_from(i, read), ...);
  }
  int64_t i = head + both;
  for (; i + lanes <= n; i += lanes) write(i, 0, lanes);
  if (i < n) {
    seam.filled = past ? int(n - i) : 0;
    store(past ? seam.line : y + i, value(i, int(n - i)), int(n - i));
  }
  (by_fours_from(both, n, read), ...);
}
template <class... R> ACCELNN_INLINE void sweep_together(int64_t n, const R&... read) {
  const int64_t all = n / (4 * lanes) * (4 * lanes);
  for (int64_t i = 0; i < all; i += 4 * lanes) (four_from(i, read), ...);
  (by_fours_from(all, n, read), ...);
}

// Where memory is not even that of floats, no vector in it is whole.
ACCELNN_INLINE bool holds_floats(const float* y) { return reinterpret_cast<uintptr_t>(y) % sizeof(float) == 0; }

// row(r, seam, Flag<writes>) for every r of [begin, end]: the first sweep takes row r (any, if there is none), the last writes row r - 1, of at least four
// vectors; the last of them ends at y_end.
template <class F> ACCELNN_INLINE void relay(int64_t begin, int64_t end, float* y_end, const F& row) {
  Seam seam;
  row(begin, seam, Flag<false>{});
  for (int64_t r = begin + 1; r <= end; r++) row(r, seam, Flag<true>{});
  if (seam.filled) store(y_end - seam.filled, load(seam.line), seam.filled);
  finish_past();
}
// A row that is there: dummies at both ends compute what nobody reads.
ACCELNN_INLINE int64_t within(int64_t r, int64_t begin, int64_t end) { return r < begin ? begin : r < end ? r
                                                                                                          : end - 1; }

}  // namespace strips
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
