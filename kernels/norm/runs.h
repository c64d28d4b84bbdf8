// Channels whose places lie together: group_norm over a few of them, batch_norm over all samples of one.
#pragma once
#include "norm/channels.h"
#include "norm/rows.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

using namespace ::accelnn::norm_shapes;

// y = (x - mean) scale + shift over one run
template <class P> ACCELNN_INLINE void scale_run(const float* x, float* y, int64_t s, float mean, float scale, float shift, int64_t ahead) {
  write_row<P::past>(y, s, [&](int64_t i, int k) INLINED {
    if constexpr (P::ahead) call_for(x + i + ahead);
    return fma(zeroed(x + i, k) - mean, splat(scale), splat(shift));
  });
}
// dx = ((dy - c1) - z c2) scale
template <class P>
ACCELNN_INLINE void grad_run(const float* dy, const float* x, float* dx, int64_t s, float mean, float rstd, float c1, float c2, float scale, int64_t ahead) {
  write_row<P::past>(dx, s, [&](int64_t i, int k) INLINED {
    if constexpr (P::ahead) call_for(dy + i + ahead), call_for(x + i + ahead);
    return ((zeroed(dy + i, k) - c1) - ((zeroed(x + i, k) - mean) * rstd) * c2) * scale;
  });
}

// Short runs of a channel, `stride` apart, are taken several at a time: across lanes once for all of them. Eight, because runs a power of two apart
// share the eight lines of a set of L1 and L2.
ACCELNN_INLINE int64_t runs_together(int64_t s) { return s >= 512 ? 1 : 8; }

ACCELNN_INLINE Moments moments_of_runs(const float* x, int64_t runs, int64_t stride, int64_t s) {
  if (runs == 1) return moments_of<true>(x, s);
  vf sum[4] = {};
  for (int64_t r = 0; r < runs; r++) by_fours(s, [&](int64_t i, int u, int k) INLINED { sum[u] += zeroed(x + r * stride + i, k); });
  const double n = double(runs * s);
  const float mean = float(double(total(sum)) / n);
  vf d[4] = {}, q[4] = {};
  for (int64_t r = 0; r < runs; r++)
    by_fours(s, [&](int64_t i, int u, int k) INLINED {
      const vf t = only(zeroed(x + r * stride + i, k) - mean, k);
      d[u] += t;
      q[u] = fma(t, t, q[u]);
    });
  const double away = double(total(d)) / n;
  return {n, double(mean) + away, double(total(q)) - away * away * n};
}

struct GradSums { double dy, dyz; };
ACCELNN_INLINE void add_grad_sums(const float* dy, const float* x, int64_t runs, int64_t stride, int64_t s, float mean, float rstd, GradSums* to) {
  for (int64_t at = 0; at < s; at += chunk) {
    vf b[4] = {}, a[4] = {};
    for (int64_t r = 0; r < runs; r++) {
      const float *pdy = dy + r * stride + at, *px = x + r * stride + at;
      by_fours(s - at < chunk ? s - at : chunk, [&](int64_t i, int u, int k) INLINED {
        const vf g = zeroed(pdy + i, k);
        b[u] += g;
        a[u] = fma(g, zeroed(px + i, k) - mean, a[u]);
      });
    }
    to->dy += double(total(b));
    to->dyz += double(total(a)) * double(rstd);
  }
}

// The same of `runs` runs, one behind the other, of up to short_row floats: what it takes to add across lanes overlaps.
template <int runs> ACCELNN_INLINE void grad_sums_of(const float* dy, const float* x, int64_t s, float mean, float rstd, GradSums* to) {
  Sums<runs> a, b;
  by_accumulators(s, [&](int64_t i, int u, int k) INLINED {
#pragma GCC unroll 4
    for (int r = 0; r < runs; r++) {
      const vf g = zeroed(dy + r * s + i, k);
      b.v[r][u] += g;
      a.v[r][u] = fma(g, zeroed(x + r * s + i, k) - mean, a.v[r][u]);
    }
  });
#pragma GCC unroll 4
  for (int r = 0; r < runs; r++) to[r] = {double(b.total(r)), double(a.total(r)) * double(rstd)};
}

// group_norm

struct Groups {
  Channels d;
  int64_t groups;
  const float *weight, *bias;
  double eps;
};

ACCELNN_INLINE Status normalize_groups(const Call& call, const Groups& g, const float* x, float* y, float* rstd, float* mean) {
  const int64_t rows = g.d.n * g.groups, per = g.d.c / g.groups, n = per * g.d.s, parts = rows < 64 ? rows : 64;
  with_reach(y, 2 * rows * n, [&](auto past) INLINED {
    using P = decltype(past);
    parallel(call, parts, rows * n * each::groups, [&](int64_t part) {
      for (int64_t i = rows * part / parts; i < rows * (part + 1) / parts; i++) {
        const Moments m = moments_of<true>(x + i * n, n);
        rstd[i] = m.rstd(g.eps);
        mean[i] = float(m.mean);
        for (int64_t k = 0; k < per; k++) {
          const int64_t c = i % g.groups * per + k, at = i * n + k * g.d.s;
          const float scale = g.weight ? rstd[i] * g.weight[c] : rstd[i], shift = g.bias ? g.bias[c] : 0.0f;
          scale_run<P>(x + at, y + at, g.d.s, mean[i], scale, shift, n > 2048 ? n : 2048);
        }
      }
      if (P::past) finish_past();
    });
  });
  return {};
}

// sums: [N][C], room for them. 8 x 64 x 28 x 28 in 32 groups takes 94 us. Not so, slower: next group called for in the caches too (97), channels summed in
// the loops that write the group before (102; 2 x 256 x 14 x 14: 38 instead of 35, its runs of 196 cut into head, blocks and rest 45), lines of the result
// called for with the sums (111), deviations times rstd in both loops (102).
ACCELNN_INLINE void grad_groups(const Call& call, const Groups& g, const float* dy, const float* x, const float* rstd, const float* mean, float* dx,
                                float* dweight, float* dbias, GradSums* sums) {
  const int64_t rows = g.d.n * g.groups, per = g.d.c / g.groups, n = per * g.d.s, parts = rows < 64 ? rows : 64;
  with_reach(dx, 3 * rows * n, [&](auto past) INLINED {
    using P = decltype(past);
    parallel(call, parts, rows * n * each::groups_grad, [&](int64_t part) {
      for (int64_t i = rows * part / parts; i < rows * (part + 1) / parts; i++) {
        const float* w = g.weight ? g.weight + i % g.groups * per : nullptr;
        GradSums* row = sums + i * per;
        double g_sum = 0, gz_sum = 0;
        for (int64_t k = 0; k < per;) {
          const int64_t at = i * n + k * g.d.s;
          if (g.d.s > short_row) {
            row[k] = {0, 0};
            add_grad_sums(dy + at, x + at, 1, 0, g.d.s, mean[i], rstd[i], &row[k++]);
          } else if (lanes >= 8 && per - k >= 4) {
            grad_sums_of<4>(dy + at, x + at, g.d.s, mean[i], rstd[i], row + k);
            k += 4;
          } else grad_sums_of<1>(dy + at, x + at, g.d.s, mean[i], rstd[i], row + k++);
        }
        for (int64_t k = 0; k < per; k++) {
          g_sum += (w ? double(w[k]) : 1.0) * row[k].dy;
          gz_sum += (w ? double(w[k]) : 1.0) * row[k].dyz;
        }
        for (int64_t k = 0; k < per; k++) {
          const int64_t at = i * n + k * g.d.s;
          const float m = mean[i], r = rstd[i], c1 = float(g_sum / double(n)) * r, c2 = float(gz_sum / double(n)) * r, scale = (w ? w[k] : 1.0f) * r;
          const float *pdy = dy + at, *px = x + at;
          write_row<P::past>(dx + at, g.d.s, [=](int64_t j, int lanes_here) INLINED {
            if constexpr (P::past) call_for(pdy + j + n), call_for(px + j + n);
            const vf z = zeroed(px + j, lanes_here) - m;
            return fma(z, splat(-c2 * r), fma(zeroed(pdy + j, lanes_here), splat(scale), splat(-c1)));
          });
        }
      }
      if (P::past) finish_past();
    });
  });
  for (int64_t c = 0; c < g.d.c && dweight; c++) {
    double a = 0, b = 0;
    for (int64_t i = 0; i < g.d.n; i++) a += sums[i * g.d.c + c].dyz, b += sums[i * g.d.c + c].dy;
    dweight[c] = float(a);
    if (dbias) dbias[c] = float(b);
  }
}

// batch_norm: sum(part, samples, channels), finish(channels), apply(samples, channels). Where one part has all samples of its channels, all three follow
// each other while the channels are in the cache.
template <class Sum, class Finish, class Apply>
ACCELNN_INLINE void by_channel(const Call& call, const Channels& d, int64_t worth, const Sum& sum, const Finish& finish, const Apply& apply) {
  const int64_t blocks = d.blocks(), parts = d.run_parts(), step = d.together();
  const auto end_of = [&](int64_t block) { return (block + 1) * step < d.c ? (block + 1) * step : d.c; };
  if (parts == 1) {
    parallel(call, blocks, worth, [&](int64_t b) {
      sum(0, 0, d.n, b * step, end_of(b));
      finish(b * step, end_of(b));
      apply(0, d.n, b * step, end_of(b));
    });
    return;
  }
  parallel(call, blocks * parts, worth / 2, [&](int64_t i) {
    const int64_t p = i % parts, b = i / parts;
    sum(p, d.n * p / parts, d.n * (p + 1) / parts, b * step, end_of(b));
  });
  finish(0, d.c);
  parallel(call, blocks * parts, worth / 2, [&](int64_t i) {
    const int64_t p = i % parts, b = i / parts;
    apply(d.n * p / parts, d.n * (p + 1) / parts, b * step, end_of(b));
  });
}

// The same past the caches, where one sweep after another leaves memory idle half of the time (relay.h): in one loop a channel is read for the first time and
// the one before it, by now in L3, is computed and written. In turn, chunk by chunk, with what comes next called for: 51 % of a copy's speed, 50 channel by
// channel. 32 x 64 x 112 x 112 in two runs: 8.0 and 6.7 ms (66 and 71 %) with what is read called for into L1 too, 9.2 and 7.3 without; with the channel before
// called for into L2 as well 8.2 and 6.9, into L2 alone 9.9, into L1 10.1. Gradient: 12.5 and 13.4 ms (63 and 53 %) with all of it, 13.6 and 13.7 without;
// without the channel before 15.4 and 12.6; that alone 16.0, into L1 14.3.
ACCELNN_INLINE bool relays_channels(const Channels& d, const float* y, int64_t arrays) {
  return d.together() == 1 && d.run_parts() == 1 && d.s % lanes == 0 && reinterpret_cast<uintptr_t>(y) % vector_bytes == 0 &&
      goes_past(y, arrays * d.n * d.width());
}
constexpr int64_t channels_relayed = 8;         // in a part: the first is only read, the last only written
// sweep(channel that is read, first place in memory, where the next sweep reads, places, Flag<reads>, Flag<writes the channel before>), finish(channel)
template <class Sweep, class Finish>
ACCELNN_INLINE void relay_channels(const Call& call, const Channels& d, int64_t worth, const Sweep& sweep, const Finish& finish) {
  const int64_t parts = (d.c + channels_relayed - 1) / channels_relayed, pieces = (d.s + chunk - 1) / chunk;
  const int64_t piece = (d.s / lanes + pieces - 1) / pieces * lanes;
  parallel(call, parts, worth, [&](int64_t p) {
    const int64_t begin = d.c * p / parts, end = d.c * (p + 1) / parts;
    for (int64_t c = begin; c <= end; c++) {
      for (int64_t n = 0; n < d.n; n++)
        for (int64_t at = 0; at < d.s; at += piece) {
          const int64_t places = d.s - at < piece ? d.s - at : piece, from = (n * d.c + c) * d.s + at;
          const int64_t next = at + piece < d.s ? from + piece : n + 1 < d.n ? ((n + 1) * d.c + c) * d.s
              : c + 1 < end                                                  ? (c + 1) * d.s
                                                                             : from;
          if (c == begin) sweep(c, from, next, places, Flag<true>{}, Flag<false>{});
          else if (c < end) sweep(c, from, next, places, Flag<true>{}, Flag<true>{});
          else sweep(c, from, next, places, Flag<false>{}, Flag<true>{});
        }
      if (c < end) finish(c);
    }
    finish_past();
  });
}
template <bool reads, bool writes, class V, class R> ACCELNN_INLINE void sweep_channels(float* y, int64_t places, const V& value, const R& read) {
  Seam none;                                    // rows begin on vectors and have no rest
  if constexpr (reads && writes) sweep_together(y, places, true, none, value, read);
  else if constexpr (reads) sweep_together(places, read);
  else write_row<true>(y, places, value);
}

// How far ahead the last sweep over a block of channels calls for what comes next: for the next block at the same sample, most likely this thread's too,
// while both lie in L2; otherwise for what follows in memory.
ACCELNN_INLINE int64_t ahead_of_block(const Channels& d, int64_t arrays) {
  const int64_t block = d.together() * d.s;
  return d.run_parts() == 1 && d.n * block * arrays * int64_t(sizeof(float)) <= 640 << 10 ? block : 2048;
}

// to: [parts][C]
ACCELNN_INLINE void sum_runs(const Channels& d, const float* x, Moments* to, int64_t part, int64_t n0, int64_t n1, int64_t c0, int64_t c1) {
  const int64_t step = runs_together(d.s);
  for (int64_t c = c0; c < c1; c++) to[part * d.c + c] = {0, 0, 0};
  for (int64_t n = n0; n < n1; n += step)
    for (int64_t c = c0; c < c1; c++) {
      const Moments m = moments_of_runs(x + (n * d.c + c) * d.s, n1 - n < step ? n1 - n : step, d.c * d.s, d.s);
      if (to[part * d.c + c].count > 0) to[part * d.c + c].add(m);
      else to[part * d.c + c] = m;
    }
}

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
