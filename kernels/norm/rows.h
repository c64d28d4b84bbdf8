// Rows that are normalized each by itself, with a weight for every element of a row. Rows come in a period: row i has the weights of i % period
// (one for layer_norm; as many as there are groups for group_norm over few places).
#pragma once
#include "norm/moments.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

struct Rows {
  int64_t count, n, period;
  const float *weight, *bias;           // [period][n], or null
  bool centered;
  double eps;
};

template <bool weighted, bool biased, bool past>
ACCELNN_INLINE void normalize_row(const float* x, float* y, int64_t n, float mean, float rstd, const float* w, const float* b, int64_t ahead) {
  write_row<past>(y, n, [&](int64_t i, int k) INLINED {
    if constexpr (past) call_for(x + i + ahead);
    vf z = zeroed(x + i, k) - mean;
    if constexpr (weighted && biased) z = fma(z * rstd, zeroed(w + i, k), zeroed(b + i, k));
    else if constexpr (weighted) z = z * rstd * zeroed(w + i, k);
    else if constexpr (biased) z = fma(z, splat(rstd), zeroed(b + i, k));
    else z = z * rstd;
    return z;
  });
}

ACCELNN_INLINE Rows rows_of(const TensorView& x, int64_t dims) {
  Rows r = {1, 1, 1, nullptr, nullptr, true, 0};
  for (int i = 0; i < x.rank; i++) (i < x.rank - dims ? r.count : r.n) *= x.shape[i];
  return r;
}
ACCELNN_INLINE Status normalize_rows(const Call& call, const Rows& r, const float* x, float* y, float* rstd, float* mean) {
  const int64_t parts = r.count < 64 ? r.count : 64;
  with_flag(r.weight, [&](auto weighted) INLINED {
    with_flag(r.bias, [&](auto biased) INLINED {
      with_flag(goes_past(y, 2 * r.count * r.n), [&](auto past) INLINED {
        using W = decltype(weighted);
        using B = decltype(biased);
        using P = decltype(past);
        parallel(call, parts, r.count * r.n * 6, [&](int64_t part) {
          // The next row is on its way while this one is written; short rows are called for some KB before.
          const int64_t ahead = r.n > 2048 ? r.n : 2048;
          for (int64_t i = r.count * part / parts; i < r.count * (part + 1) / parts; i++) {
            const float* from = x + i * r.n;
            const Moments m = r.centered ? moments_of<true>(from, r.n) : moments_of<false>(from, r.n);
            const float s = m.rstd(r.eps), c = float(m.mean);
            rstd[i] = s;
            if (mean) mean[i] = c;
            const int64_t at = r.period == 1 ? 0 : i % r.period * r.n;
            normalize_row<W::value, B::value, P::value>(from, y + i * r.n, r.n, c, s, W::value ? r.weight + at : nullptr,
                                                        B::value ? r.bias + at : nullptr, ahead);
          }
          if (P::value) finish_past();
        });
      });
    });
  });
  return {};
}

// What flows back

struct GradRow {
  const float *dy, *x;
  float* dx;
  float mean, rstd, c1, c2;             // mean g, mean g z
};

template <bool weighted> ACCELNN_INLINE void sums_of_row(GradRow* row, const float* w, int64_t n, bool centered) {
  double g_sum = 0, gz_sum = 0;
  for (int64_t at = 0; at < n; at += chunk) {
    vf s[4] = {}, q[4] = {};
    const float *dy = row->dy + at, *x = row->x + at, *weight = w + at;
    by_fours(n - at < chunk ? n - at : chunk, [&](int64_t i, int u, int k) INLINED {
      vf g = zeroed(dy + i, k);
      if constexpr (weighted) g = g * zeroed(weight + i, k);
      s[u] += g;
      q[u] = fma(g, (zeroed(x + i, k) - row->mean) * row->rstd, q[u]);
    });
    g_sum += double(total(s));
    gz_sum += double(total(q));
  }
  row->c1 = centered ? float(g_sum / double(n)) : 0.0f;
  row->c2 = float(gz_sum / double(n));
}

// Several rows at a time: the sums over rows are read and written once for all of them.
template <int rows, bool weighted, int params, bool past>
ACCELNN_INLINE void grad_of_rows(const GradRow* row, const float* w, float* dw, float* db, int64_t n, int64_t ahead) {
  const auto columns = [&](int64_t i, int k) INLINED {
    const vf weight = weighted ? zeroed(w + i, k) : vf{};
    vf dweight = params > 0 ? zeroed(dw + i, k) : vf{}, dbias = params > 1 ? zeroed(db + i, k) : vf{};
#pragma GCC unroll 4
    for (int j = 0; j < rows; j++) {
      const GradRow& r = row[j];
      const vf dy = zeroed(r.dy + i, k), z = (zeroed(r.x + i, k) - r.mean) * r.rstd;
      if constexpr (past) call_for(r.dy + i + ahead), call_for(r.x + i + ahead);
      if (params > 0) dweight = fma(dy, z, dweight);
      if (params > 1) dbias += dy;
      const vf g = weighted ? dy * weight : dy, dx = ((g - r.c1) - z * r.c2) * r.rstd;
      if (k < lanes) store(r.dx + i, dx, k);
      else if (past) store_past(r.dx + i, dx);
      else store(r.dx + i, dx);
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
  // Whole vectors past the caches need rows that begin on them.
  const bool past_cache = goes_past(dx, 3 * r.count * r.n) && r.n % lanes == 0 && reinterpret_cast<uintptr_t>(dx) % vector_bytes == 0;
  with_flag(r.weight, [&](auto weighted) INLINED {
    with_flag(past_cache, [&](auto past) INLINED {
      using W = decltype(weighted);
      using P = decltype(past);
      parallel(call, parts, r.count * r.n * 12, [&](int64_t part) {
        float *dw = partial + part * params * width, *db = dw + width;
        if (params) std::memset(dw, 0, size_t(params * width) * sizeof(float));
        const int64_t first = samples * part / parts, last = samples * (part + 1) / parts, ahead = 4 * r.period * r.n;
        for (int64_t s = first; s < last; s += 4)
          for (int64_t g = 0; g < r.period; g++) {
            const int64_t rows = last - s < 4 ? last - s : 4;
            const float* w = W::value ? r.weight + g * r.n : nullptr;
            GradRow row[4];
            for (int64_t k = 0; k < rows; k++) {
              const int64_t i = (s + k) * r.period + g;
              row[k] = {t.dy + i * r.n, t.x + i * r.n, dx + i * r.n, t.mean ? t.mean[i] : 0.0f, t.rstd[i], 0, 0};
              sums_of_row<W::value>(&row[k], w, r.n, r.centered);
            }
            float *dwg = dw + g * r.n, *dbg = db + g * r.n;
            if (rows == 4) grad_of_rows<4, W::value, params, P::value>(row, w, dwg, dbg, r.n, ahead);
            else
              for (int64_t k = 0; k < rows; k++) grad_of_rows<1, W::value, params, P::value>(row + k, w, dwg, dbg, r.n, ahead);
          }
        if (P::value) finish_past();
      });
    });
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
