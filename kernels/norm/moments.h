// Mean and spread of runs of numbers, and the shapes that the family shares.
#pragma once
#include "strips.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

using namespace strips;

constexpr int64_t chunk = 4096;         // floats: 16 KiB stay in L1 for the second pass, and sums stay short

// What an element is worth to `parallel` (pool.h): its nanoseconds on one thread, as measured with data in L3, times 45.
namespace each {
constexpr int64_t rows = 8, rows_uncentered = 6, rows_grad = 12, groups = 10, groups_grad = 10, batch = 14, batch_infer = 7, batch_grad = 24;
}

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

// fetch: half of the lines `ahead` floats further on are called for, those at even vectors.
template <bool centered, bool fetch = false> ACCELNN_INLINE Moments moments_of_chunk(const float* x, int64_t n, int64_t ahead = 0) {
  float mean = 0;
  if constexpr (centered) {
    vf s[4] = {};
    by_fours(n, [&](int64_t i, int u, int k) INLINED { s[u] += zeroed(x + i, k); });
    mean = total(s) / float(n);
  }
  // What the deviations add up to is the rounding error of the mean: it is put right by them.
  vf d[4] = {}, q[4] = {};
  by_fours(n, [&](int64_t i, int u, int k) INLINED {
    if (fetch && (u & 1) == 0) call_for(x + i + ahead);
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
template <bool centered, bool fetch = false> ACCELNN_INLINE Moments moments_of(const float* x, int64_t n, int64_t ahead = 0) {
  Moments m = moments_of_chunk<centered, fetch>(x, n < chunk ? n : chunk, ahead);
  for (int64_t at = chunk; at < n; at += chunk) {
    const Moments next = moments_of_chunk<centered, fetch>(x + at, n - at < chunk ? n - at : chunk, ahead);
    if (centered) m.add(next);
    else m.count += next.count, m.m2 += next.m2;
  }
  return m;
}

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
