// Mean and spread of runs of numbers, and the shapes that the family shares.
#pragma once
#include "lanes.h"
#include "pool.h"
#include "stream.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

#define INLINED __attribute__((always_inline))

template <bool v> struct Flag { static constexpr bool value = v; };
template <class F> ACCELNN_INLINE void with_flag(bool v, const F& f) {
  if (v) f(Flag<true>{});
  else f(Flag<false>{});
}

ACCELNN_INLINE vf zeroed(const float* p, int n) { return n == lanes ? load(p) : load(p, n); }
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
ACCELNN_INLINE float total(const vf* v) { return sum_of((v[0] + v[1]) + (v[2] + v[3])); }

constexpr int64_t chunk = 4096;         // floats: 16 KiB stay in L1 for the second pass, and sums stay short

// Merged in double: as many merges as there are chunks cost no digit of a float.
struct Moments {
  double count, mean, m2;               // m2 = sum (x - mean)^2
  ACCELNN_INLINE void add(const Moments& b) {
    const double n = count + b.count, d = b.mean - mean;
    mean += d * (b.count / n);
    m2 += b.m2 + d * d * (count * b.count / n);
    count = n;
  }
  ACCELNN_INLINE float rstd(double eps) const { return float(1.0 / __builtin_sqrt(m2 / count + eps)); }
};

template <bool centered> ACCELNN_INLINE Moments moments_of_chunk(const float* x, int64_t n) {
  float mean = 0;
  if constexpr (centered) {
    vf s[4] = {};
    by_fours(n, [&](int64_t i, int u, int k) INLINED { s[u] += zeroed(x + i, k); });
    mean = total(s) / float(n);
  }
  // What the deviations add up to is the rounding error of the mean: it is put right by them.
  vf d[4] = {}, q[4] = {};
  by_fours(n, [&](int64_t i, int u, int k) INLINED {
    vf t = zeroed(x + i, k);
    if constexpr (centered) {
      t = only(t - mean, k);
      d[u] += t;
    }
    q[u] = fma(t, t, q[u]);
  });
  if (!centered) return {double(n), 0, double(total(q))};
  const double away = double(total(d)) / double(n);
  return {double(n), double(mean) + away, double(total(q)) - away * away * double(n)};
}
template <bool centered> ACCELNN_INLINE Moments moments_of(const float* x, int64_t n) {
  Moments m = moments_of_chunk<centered>(x, n < chunk ? n : chunk);
  for (int64_t at = chunk; at < n; at += chunk) {
    const Moments next = moments_of_chunk<centered>(x + at, n - at < chunk ? n - at : chunk);
    if (centered) m.add(next);
    else m.count += next.count, m.m2 += next.m2;
  }
  return m;
}

// Whether results of so many floats, from inputs of so many, are worth writing past the caches.
ACCELNN_INLINE bool goes_past(const void* y, int64_t floats) {
  return floats * int64_t(sizeof(float)) >= past_cache_bytes && reinterpret_cast<uintptr_t>(y) % sizeof(float) == 0;
}

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
