// Rows of any length as vectors and a rest, for kernels that sweep them.
#pragma once
#include "lanes.h"
#include "pool.h"
#include "stream.h"

// On a lambda that is called with a constant and with a variable number of lanes: g++ would inline neither.
#define INLINED __attribute__((always_inline))

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace strips {

template <bool v> struct Flag { static constexpr bool value = v; };
template <class F> ACCELNN_INLINE void with_flag(bool v, const F& f) {
  if (v) f(Flag<true>{});
  else f(Flag<false>{});
}

ACCELNN_INLINE vf zeroed(const float* p, int n) { return n == lanes ? load(p) : load(p, n); }
ACCELNN_INLINE void put_lanes(float* p, vf v, int n) {
  if (n == lanes) store(p, v);
  else store(p, v, n);
}
ACCELNN_INLINE vf only(vf v, int n) { return n == lanes ? v : select(ramp() < n, v, vf{}); }
// f(i, u, k): k lanes from i on, into accumulator u of four.
template <class F> ACCELNN_INLINE void by_fours(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) f(i + u * lanes, u, lanes);
  for (; i + lanes <= n; i += lanes) f(i, 0, lanes);
  if (i < n) f(i, 1, int(n - i));
}
ACCELNN_INLINE float total(const vf* v) { return sum_across((v[0] + v[1]) + (v[2] + v[3]))[0]; }

constexpr int64_t across = 4 * lanes;            // columns that are taken side by side
// f(i, u, k): k lanes from column i on, the u-th vector of a block
template <class F> ACCELNN_INLINE void four_vectors(int64_t width, const F& f) {
  if (width == across) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) f(u * lanes, u, lanes);
    return;
  }
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) {
    const int64_t left = width - u * lanes;
    if (left > 0) f(u * lanes, u, left < lanes ? int(left) : lanes);
  }
}

// How far a call's memory reaches, inputs and results together. Near: the hardware's own prefetching is enough. Ahead: beyond L2 what comes next is called
// for by instructions. Past: results go past the caches too. It pays where a row is swept more than once, so that reading and computing would take turns
// (cross-entropy of 1024 x 32000: 7.8 ms with, 14.9 without; layer norm backward, 32768 x 768: 10.8 and 14.3). Where every sweep is as quick as memory it
// costs: softmax_grad by rows of 512 floats at 40.4 GB/s without, 34.7 with prefetches into L2, 33.5 into L1; a copy 43 and 36 to 39.
struct Near { static constexpr bool ahead = false, past = false; };
struct Ahead { static constexpr bool ahead = true, past = false; };
struct Past { static constexpr bool ahead = true, past = true; };
ACCELNN_INLINE bool goes_past(const void* y, int64_t floats) {
  return floats * int64_t(sizeof(float)) >= past_cache_bytes && reinterpret_cast<uintptr_t>(y) % sizeof(float) == 0;
}
template <class F> ACCELNN_INLINE void with_reach(const void* y, int64_t floats, const F& f, bool may_pass = true) {
  if (may_pass && goes_past(y, floats)) f(Past{});
  else if (floats >= 1 << 18) f(Ahead{});
  else f(Near{});
}

}  // namespace strips
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
