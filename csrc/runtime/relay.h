// Rows that are swept several times, over arrays larger than the caches. One sweep after another, memory rests while the processor computes and the
// processor while memory answers. Here sweeps of neighbouring rows run in one loop, a block of four vectors of each in turn: while row r is read for the
// first time, the row before it is computed and the one before that is written. Measured, shares of a copy's speed, against sweeps in turn with prefetches:
// rms_norm of 768 floats 98 % (70), layer_norm 101 (72), its gradient 97 (70), softmax of 1000 78 (44) and of 32000 79 (60).
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
// read(i, u, k)... in by_fours' order; write(i, u, k) to the row y, whole vectors where its memory has them.
template <class W, class... R> ACCELNN_INLINE void sweep_together(const float* y, int64_t n, const W& write, const R&... read) {
  const int64_t head = int64_t(-reinterpret_cast<uintptr_t>(y) / sizeof(float)) & (lanes - 1);
  call_for_end(y + n);
  const int64_t both = n > head ? (n - head) / (4 * lanes) * (4 * lanes) : 0;
  for (int64_t i = 0; i < both; i += 4 * lanes) {
    (four_from(i, read), ...);
    four_from(head + i, write);
  }
  (by_fours_from(both, n, read), ...);
  if (head) write(0, 0, int(head < n ? head : n));
  int64_t i = head + both;
  for (; i + lanes <= n; i += lanes) write(i, 0, lanes);
  if (i < n) write(i, 1, int(n - i));
}
template <class... R> ACCELNN_INLINE void sweep_together(int64_t n, const R&... read) {
  const int64_t all = n / (4 * lanes) * (4 * lanes);
  for (int64_t i = 0; i < all; i += 4 * lanes) (four_from(i, read), ...);
  (by_fours_from(all, n, read), ...);
}

// Where memory is not even that of floats, no vector in it is whole.
ACCELNN_INLINE bool holds_floats(const float* y) { return reinterpret_cast<uintptr_t>(y) % sizeof(float) == 0; }
ACCELNN_INLINE void put_past(float* p, vf v, int k, bool past) {
  if (k < lanes) store(p, v, k);
  else if (past) store_past(p, v);
  else store(p, v);
}

// row(r, Flag<writes>) for every r of [begin, end + lag): the first sweep takes row r (any, if there is none), the last writes row r - lag.
template <int lag, class F> ACCELNN_INLINE void relay(int64_t begin, int64_t end, const F& row) {
  for (int64_t r = begin; r < begin + lag; r++) row(r, Flag<false>{});
  for (int64_t r = begin + lag; r < end + lag; r++) row(r, Flag<true>{});
  finish_past();
}
// A row that is there: dummies at both ends compute what nobody reads.
ACCELNN_INLINE int64_t within(int64_t r, int64_t begin, int64_t end) { return r < begin ? begin : r < end ? r
                                                                                                          : end - 1; }

}  // namespace strips
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
