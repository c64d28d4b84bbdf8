// Rows past the caches that stay in L1 from sweep to sweep: row r is read and summed in the loop that writes row r - 1 (relay.h).
#pragma once
#include "norm/moments.h"
#include "relay.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

// Two rows, weight and bias in 32 KiB of L1; with the gradient's sums more lies in L2, and still gains (8192 x 4096: 71 % of a copy's speed, 59 without).
constexpr int64_t relayed_row = 1536, relayed_grad_row = 8192;
ACCELNN_INLINE bool relays(int64_t rows, int64_t n, int64_t longest, int arrays) {
  return n >= 4 * lanes && n <= longest && rows >= 512 && rows * n * arrays * int64_t(sizeof(float)) >= past_cache_bytes;
}

// Rows [begin, end): y = (x - mean) rstd weight + bias. weight and bias: null where the flags say so.
template <bool centered, bool weighted, bool biased>
ACCELNN_INLINE void relay_rows(const float* x, float* y, int64_t n, int64_t begin, int64_t end, double eps, const float* w, const float* b, float* rstd,
                               float* mean) {
  const bool past = holds_floats(y);
  float m = 0, s = 0;                   // of the row that is written
  relay(begin, end, y + end * n, [&](int64_t r, Seam& seam, auto writes) INLINED {
    const float *here = x + within(r, begin, end) * n, *before = x + (r - 1) * n;
    float* to = y + (r - 1) * n;
    vf sum[4] = {}, d[4] = {}, q[4] = {};
    const auto read = [&](int64_t i, int u, int k) INLINED {
      call_for(here + i + relay_ahead);
      const vf v = zeroed(here + i, k);
      if constexpr (centered) sum[u] += v;
      else q[u] = fma(v, v, q[u]);
    };
    const auto result = [&](int64_t i, int k) INLINED {
      const vf z = zeroed(before + i, k) - m;
      if constexpr (weighted && biased) return fma(z * s, zeroed(w + i, k), zeroed(b + i, k));
      else if constexpr (weighted) return z * s * zeroed(w + i, k);
      else if constexpr (biased) return fma(z, splat(s), zeroed(b + i, k));
      else return z * s;
    };
    if constexpr (decltype(writes)::value) sweep_together(to, n, past, seam, result, read);
    else sweep_together(n, read);
    if (r == end) return;
    double away = 0;
    m = 0;
    if constexpr (centered) {
      m = total(sum) / float(n);
      by_fours(n, [&](int64_t i, int u, int k) INLINED {
        const vf t = only(zeroed(here + i, k) - m, k);
        d[u] += t;
        q[u] = fma(t, t, q[u]);
      });
      away = double(total(d)) / double(n);
    }
    s = Moments{double(n), 0, double(total(q)) - away * away * double(n)}.rstd(eps);
    m = float(double(m) + away);
    rstd[r] = s;
    if (mean) mean[r] = m;
  });
}

// Rows [begin, end) of a gradient: dx, and what they add to dw and db.
template <bool weighted, int params>
ACCELNN_INLINE void relay_grad_rows(const float* dy, const float* x, const float* rstd, const float* mean, float* dx, int64_t n, int64_t begin, int64_t end,
                                    const float* w, float* dw, float* db) {
  const bool past = holds_floats(dx);
  float c1 = 0, c2 = 0;                 // rstd mean g and rstd mean (g z) of the row that is written
  relay(begin, end, dx + end * n, [&](int64_t r, Seam& seam, auto writes) INLINED {
    const int64_t row = within(r, begin, end), before = within(r - 1, begin, end);
    const float *gh = dy + row * n, *xh = x + row * n, *gb = dy + before * n, *xb = x + before * n;
    const float mh = mean ? mean[row] : 0.0f, mb = mean ? mean[before] : 0.0f, sb = rstd[before];
    float* to = dx + before * n;
    vf g_sum[4] = {}, gz_sum[4] = {};
    const auto read = [&](int64_t i, int u, int k) INLINED {
      call_for(gh + i + 2 * relay_ahead), call_for(xh + i + 2 * relay_ahead);
      vf g = zeroed(gh + i, k);
      if constexpr (weighted) g = g * zeroed(w + i, k);
      g_sum[u] += g;
      gz_sum[u] = fma(g, zeroed(xh + i, k) - mh, gz_sum[u]);
    };
    const auto result = [&](int64_t i, int k) INLINED {
      call_near(gb + i + relay_near / 4), call_near(xb + i + relay_near / 4);
      const vf g = zeroed(gb + i, k), z = (zeroed(xb + i, k) - mb) * sb;
      const vf dweight = params > 0 ? fma(g, z, zeroed(dw + i, k)) : vf{}, dbias = params > 1 ? zeroed(db + i, k) + g : vf{};
      if (params > 0) put_lanes(dw + i, dweight, k);
      if (params > 1) put_lanes(db + i, dbias, k);
      return fma(z, splat(-c2), fma(weighted ? g * zeroed(w + i, k) : g, splat(sb), splat(-c1)));
    };
    if constexpr (decltype(writes)::value) sweep_together(to, n, past, seam, result, read);
    else sweep_together(n, read);
    const double share = double(rstd[row]) / double(n);
    c1 = mean ? float(double(total(g_sum)) * share) : 0.0f;
    c2 = float(double(total(gz_sum)) * share * double(rstd[row]));
  });
}

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
