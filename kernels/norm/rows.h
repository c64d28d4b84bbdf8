// Rows that are normalized each by itself, with a weight for every element of a row. Rows come in a period: row i has the weights of i % period
// (one for layer_norm; as many as there are groups for group_norm over few places).
#pragma once
#include "norm/relayed.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

struct Rows {
  int64_t count, n, period;
  const float *weight, *bias;           // [period][n], or null
  bool centered;
  double eps;
};

// Short rows are taken several at a time: weights are read once for all of them, and the steps from a sum to a reciprocal deviation, some 100 cycles one
// after the other, overlap (512 rows of 768: 98 us one by one, 66 together). Inputs and results of all of them stay in L1.
constexpr int64_t short_row = 1024;
template <int n> struct Count { static constexpr int value = n; };

// f(i, u, k): k lanes from i on, into accumulator u of two; of four where vectors are short, so that no sum is longer than n / 16.
constexpr int accumulators = lanes >= 8 ? 2 : 4;
template <class F> ACCELNN_INLINE void by_accumulators(int64_t n, const F& f) {
  if constexpr (accumulators == 4) return by_fours(n, f);
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    f(i, 0, lanes);
    f(i + lanes, 1, lanes);
  }
  for (; i + lanes <= n; i += lanes) f(i, 0, lanes);
  if (i < n) f(i, 1, int(n - i));
}
template <int rows> struct Sums {
  vf v[rows][accumulators] = {};
  ACCELNN_INLINE float total(int r) const {
    vf sum = v[r][0] + v[r][1];
    if constexpr (accumulators == 4) sum = sum + (v[r][2] + v[r][3]);
    return sum_across(sum)[0];
  }
};

// As moments_of_chunk, of `rows` rows at a time; the sums of a row do not depend on how many.
template <int rows, bool centered, class P> ACCELNN_INLINE void moments_of_rows(const float* x, int64_t n, double eps, float* mean, float* rstd) {
  const float* next = x + rows * n;     // half of it comes meanwhile, the other half while the results are written
  float m[rows] = {};
  if constexpr (centered) {
    Sums<rows> s;
    by_accumulators(n, [&](int64_t i, int u, int k) INLINED {
      if constexpr (P::ahead && rows == 4) call_for(next + i);
#pragma GCC unroll 4
      for (int r = 0; r < rows; r++) s.v[r][u] += zeroed(x + r * n + i, k);
    });
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) m[r] = s.total(r) / float(n);
  }
  Sums<rows> d, q;
  by_accumulators(n, [&](int64_t i, int u, int k) INLINED {
    if constexpr (P::ahead && rows > 1) call_for(next + (rows / 4) * n + i);
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
      vf t = zeroed(x + r * n + i, k);
      if constexpr (centered) {
        t = only(t - m[r], k);
        d.v[r][u] += t;
      }
      q.v[r][u] = fma(t, t, q.v[r][u]);
    }
  });
#pragma GCC unroll 4
  for (int r = 0; r < rows; r++) {
    const double away = centered ? double(d.total(r)) / double(n) : 0;
    rstd[r] = Moments{double(n), 0, double(q.total(r)) - away * away * double(n)}.rstd(eps);
    mean[r] = float(double(m[r]) + away);
  }
}

template <int rows, bool weighted, bool biased, class P, bool half = false>
ACCELNN_INLINE void normalize(const float* x, float* y, int64_t n, const float* mean, const float* rstd, const float* w, const float* b, int64_t ahead) {
  const auto one = [&](const float* from, int64_t i, int k, float m, float s, vf weight, vf bias) INLINED {
    const vf z = zeroed(from + i, k) - m;
    if constexpr (weighted && biased) return fma(z * s, weight, bias);
    else if constexpr (weighted) return z * s * weight;
    else if constexpr (biased) return fma(z, splat(s), bias);
    else return z * s;
  };
  if constexpr (rows == 1) {
    const float m = *mean, s = *rstd;
    write_row<P::past>(y, n, [&](int64_t i, int k) INLINED {
      if (P::ahead && (!half || (i & lanes))) call_for(x + i + ahead);
      return one(x, i, k, m, s, weighted ? zeroed(w + i, k) : vf{}, biased ? zeroed(b + i, k) : vf{});
    });
  } else {                              // past the caches: only rows that begin on a vector
    float m[rows], s[rows];
    for (int r = 0; r < rows; r++) m[r] = mean[r], s[r] = rstd[r];
    const auto column = [&](int64_t i, int k) INLINED {
      const vf weight = weighted ? zeroed(w + i, k) : vf{}, bias = biased ? zeroed(b + i, k) : vf{};
#pragma GCC unroll 4
      for (int r = 0; r < rows; r++) {
        if (P::ahead && r >= rows / 2) call_for(x + r * n + i + ahead);
        const vf v = one(x + r * n, i, k, m[r], s[r], weight, bias);
        float* to = y + r * n + i;
        if (k < lanes) store(to, v, k);
        else if (P::past) store_past(to, v);
        else store(to, v);
      }
    };
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) column(i, lanes);
    if (i < n) column(i, int(n - i));
  }
}

ACCELNN_INLINE Rows rows_of(const TensorView& x, int64_t dims) {
  Rows r = {1, 1, 1, nullptr, nullptr, true, 0};
  for (int i = 0; i < x.rank; i++) (i < x.rank - dims ? r.count : r.n) *= x.shape[i];
  return r;
}
ACCELNN_INLINE Status normalize_rows(const Call& call, const Rows& r, const float* x, float* y, float* rstd, float* mean) {
  const bool relayed = r.period == 1 && relays(r.count, r.n, relayed_row, 2);
  const int64_t parts = relayed ? 16 : r.count < 64 ? r.count
                                                    : 64;
  const bool lies_on_vectors = r.n % lanes == 0 && reinterpret_cast<uintptr_t>(y) % vector_bytes == 0;
  const bool by_several = r.period == 1 && (lies_on_vectors || !goes_past(y, 2 * r.count * r.n));
  with_flag(r.weight, [&](auto weighted) INLINED {
    with_flag(r.bias, [&](auto biased) INLINED {
      with_reach(y, 2 * r.count * r.n, [&](auto past) INLINED {
        using W = decltype(weighted);
        using B = decltype(biased);
        using P = decltype(past);
        parallel(call, parts, r.count * r.n * (r.centered ? each::rows : each::rows_uncentered), [&](int64_t part) {
          if constexpr (P::past)
            if (relayed) {
              const int64_t begin = r.count * part / parts, end = r.count * (part + 1) / parts;
              if (r.centered) return relay_rows<true, W::value, B::value>(x, y, r.n, begin, end, r.eps, r.weight, r.bias, rstd, mean);
              return relay_rows<false, W::value, B::value>(x, y, r.n, begin, end, r.eps, r.weight, r.bias, rstd, mean);
            }
          const int64_t end = r.count * (part + 1) / parts, few = r.n > 2048 ? r.n : 2048;
          for (int64_t i = r.count * part / parts; i < end;) {
            const float* from = x + i * r.n;
            float* to = y + i * r.n;
            const int64_t at = r.period == 1 ? 0 : i % r.period * r.n;
            const float *w = W::value ? r.weight + at : nullptr, *b = B::value ? r.bias + at : nullptr;
            float m[4], s[4];
            const auto several = [&](auto how) INLINED {
              constexpr int rows = decltype(how)::value;
              if (r.centered) moments_of_rows<rows, true, P>(from, r.n, r.eps, m, s);
              else moments_of_rows<rows, false, P>(from, r.n, r.eps, m, s);
              normalize<rows, W::value, B::value, P>(from, to, r.n, m, s, w, b, rows == 1 ? few : rows * r.n);
              return rows;
            };
            int rows = 1;
            if (r.n > short_row || lanes < 8) {
              const Moments one = r.centered ? moments_of<true, P::ahead>(from, r.n, r.n) : moments_of<false, P::ahead>(from, r.n, r.n);
              m[0] = float(one.mean), s[0] = one.rstd(r.eps);
              normalize<1, W::value, B::value, P, true>(from, to, r.n, m, s, w, b, r.n);
            } else if (by_several && lanes >= 16 && r.n <= short_row / 2 && end - i >= 4) rows = several(Count<lanes >= 16 ? 4 : 1>{});
            else if (by_several && end - i >= 2) rows = several(Count<2>{});
            else several(Count<1>{});
            for (int k = 0; k < rows; k++) {
              rstd[i + k] = s[k];
              if (mean) mean[i + k] = m[k];
            }
            i += rows;
          }
          if (P::past) finish_past();
        });
      });
    });
  });
  return {};
}

// What flows back

struct GradRow { float mean, rstd, c1, c2; };       // c1 = rstd mean g, c2 = rstd mean (g z)

// Sum g and sum g (x - mean) of `rows` rows; a row's sums do not depend on how many.
template <int rows, bool weighted, bool fetch>
ACCELNN_INLINE void sums_of_rows(const float* dy, const float* x, const float* w, int64_t n, bool centered, GradRow* row, int64_t ahead) {
  double g_sum[rows] = {}, gz_sum[rows] = {};
  for (int64_t at = 0; at < n; at += chunk) {
    Sums<rows> s, q;
    float mean[rows];
    for (int r = 0; r < rows; r++) mean[r] = row[r].mean;
    const auto one = [&](int64_t i, int u, int k) INLINED {
      const vf weight = weighted ? zeroed(w + at + i, k) : vf{};
#pragma GCC unroll 4
      for (int r = 0; r < rows; r++) {
        if (fetch && r < (rows + 1) / 2) call_for(dy + r * n + at + i + ahead), call_for(x + r * n + at + i + ahead);
        vf g = zeroed(dy + r * n + at + i, k);
        if constexpr (weighted) g = g * weight;
        s.v[r][u] += g;
        q.v[r][u] = fma(g, zeroed(x + r * n + at + i, k) - mean[r], q.v[r][u]);
      }
    };
    by_accumulators(n - at < chunk ? n - at : chunk, one);
    for (int r = 0; r < rows; r++) g_sum[r] += double(s.total(r)), gz_sum[r] += double(q.total(r));
  }
  for (int r = 0; r < rows; r++) {
    const double share = double(row[r].rstd) / double(n);
    row[r].c1 = centered ? float(g_sum[r] * share) : 0.0f;
    row[r].c2 = float(gz_sum[r] * share * double(row[r].rstd));
  }
}

// Several rows at a time: the sums over rows are read and written once for all of them.
template <int rows, bool weighted, int params, class P>
ACCELNN_INLINE void grad_of_rows(const float* dy, const float* x, float* dx, int64_t stride, const GradRow* given, const float* w, float* dw, float* db,
                                 int64_t n, int64_t ahead) {
  GradRow row[rows];
  for (int r = 0; r < rows; r++) row[r] = given[r];
  const auto columns = [&](int64_t i, int k) INLINED {
    const vf weight = weighted ? zeroed(w + i, k) : vf{};
    vf dweight = params > 0 ? zeroed(dw + i, k) : vf{}, dbias = params > 1 ? zeroed(db + i, k) : vf{};
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
      const float *pdy = dy + r * stride + i, *px = x + r * stride + i;
      if (P::ahead && r >= rows / 2) call_for(pdy + ahead), call_for(px + ahead);
      const vf g = zeroed(pdy, k), z = (zeroed(px, k) - row[r].mean) * row[r].rstd;
      if (params > 0) dweight = fma(g, z, dweight);
      if (params > 1) dbias += g;
      const vf v = fma(z, splat(-row[r].c2), fma(weighted ? g * weight : g, splat(row[r].rstd), splat(-row[r].c1)));
      float* to = dx + r * stride + i;
      if (k < lanes) store(to, v, k);
      else if (P::past) store_past(to, v);
      else store(to, v);
    }
    if (k < lanes) {
      if (params > 0) store(dw + i, dweight, k);
      if (params > 1) store(db + i, dbias, k);
    } else {
      if (params > 0) store(dw + i, dweight);
      if (params > 1) store(db + i, dbias);
    }
  };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) columns(i, lanes);
  if (i < n) columns(i, int(n - i));
}

struct RowGrads { const float *dy, *x, *rstd, *mean; };

// Sums over rows into partial: [parts][params][period n].
template <int params> ACCELNN_INLINE void grad_rows(const Call& call, const Rows& r, const RowGrads& t, float* dx, float* partial, int64_t parts) {
  const int64_t width = r.period * r.n, samples = r.count / r.period;
  const bool relayed = r.period == 1 && relays(r.count, r.n, relayed_grad_row, 3);
  // Whole vectors past the caches need rows that begin on them.
  const bool on_vectors = relayed || (r.n % lanes == 0 && reinterpret_cast<uintptr_t>(dx) % vector_bytes == 0);
  with_flag(r.weight, [&](auto weighted) INLINED {
    with_reach(dx, 3 * r.count * r.n, [&](auto past) INLINED {
      using W = decltype(weighted);
      using P = decltype(past);
      parallel(call, parts, r.count * r.n * each::rows_grad, [&](int64_t part) {
        float *dw = partial + part * params * width, *db = dw + width;
        if (params) std::memset(dw, 0, size_t(params * width) * sizeof(float));
        const int64_t first = samples * part / parts, last = samples * (part + 1) / parts, ahead = 4 * r.period * r.n;
        if constexpr (P::past)
          if (relayed) return relay_grad_rows<W::value, params>(t.dy, t.x, t.rstd, r.centered ? t.mean : nullptr, dx, r.n, first, last, r.weight, dw, db);
        for (int64_t s = first; s < last; s += 4)
          for (int64_t g = 0; g < r.period; g++) {
            const int64_t rows = last - s < 4 ? last - s : 4, stride = r.period * r.n, at = s * stride + g * r.n;
            const float* w = W::value ? r.weight + g * r.n : nullptr;
            float *dwg = dw + g * r.n, *dbg = db + g * r.n;
            GradRow row[4];
            for (int64_t k = 0; k < rows; k++) {
              const int64_t i = (s + k) * r.period + g;
              row[k] = {t.mean ? t.mean[i] : 0.0f, t.rstd[i], 0, 0};
            }
            if (rows == 4) {
              if (lanes >= 8 && r.period == 1 && r.n <= short_row) {
                sums_of_rows<4, W::value, P::ahead>(t.dy + at, t.x + at, w, r.n, r.centered, row, ahead);
              } else {
                for (int64_t k = 0; k < 2; k++)
                  sums_of_rows<1, W::value, P::ahead>(t.dy + at + k * stride, t.x + at + k * stride, w, r.n, r.centered, row + k, ahead);
                for (int64_t k = 2; k < 4; k++)
                  sums_of_rows<1, W::value, false>(t.dy + at + k * stride, t.x + at + k * stride, w, r.n, r.centered, row + k, ahead);
              }
              grad_of_rows<4, W::value, params, P>(t.dy + at, t.x + at, dx + at, stride, row, w, dwg, dbg, r.n, ahead);
              continue;
            }
            for (int64_t k = 0; k < rows; k++) {
              const int64_t from = at + k * stride;
              sums_of_rows<1, W::value, false>(t.dy + from, t.x + from, w, r.n, r.centered, row + k, ahead);
              grad_of_rows<1, W::value, params, P>(t.dy + from, t.x + from, dx + from, stride, row + k, w, dwg, dbg, r.n, ahead);
            }
          }
        if (P::past) finish_past();
      }); }, on_vectors);
  });
}

// Adds `parts` arrays of `width` floats, `stride` apart, in their order.
ACCELNN_INLINE void add_parts(const Call& call, const float* partial, int64_t parts, int64_t stride, float* y, int64_t width) {
  constexpr int64_t block = 1024;
  parallel(call, (width + block - 1) / block, parts * width, [&](int64_t part) {
    const int64_t begin = part * block, n = width - begin < block ? width - begin : block;
    write_row<false>(y + begin, n, [&](int64_t i, int k) INLINED {
      vf sum = {};
      for (int64_t p = 0; p < parts; p++) sum += zeroed(partial + p * stride + begin + i, k);
      return sum;
    });
  });
}

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
