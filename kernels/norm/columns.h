// Channels of few places: columns of a matrix [N, C S], as many as fit a few vectors side by side. Also x[N, C], and images whose channels lie together.
#pragma once
#include "norm/channels.h"
#include "norm/moments.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

using namespace ::accelnn::norm_shapes;

constexpr int64_t row_chunk = 64;         // 64 rows of four vectors: 16 KiB at most stay in L1 for the second pass

// Over rows [n0, n1) of columns [i0, i1): the mean of each and the sum of squares around it, in double, merged chunk by chunk.
ACCELNN_INLINE void column_moments(const float* x, int64_t stride, int64_t n0, int64_t n1, int64_t i0, int64_t i1, double* mean, double* m2) {
  for (int64_t i = i0; i < i1; i++) mean[i] = m2[i] = 0;
  for (int64_t n = n0; n < n1; n += row_chunk) {
    const int64_t rows = n1 - n < row_chunk ? n1 - n : row_chunk, before = n - n0;
    for (int64_t i = i0; i < i1; i += across) {
      const int64_t width = i1 - i < across ? i1 - i : across;
      const float* from = x + n * stride + i;
      vf sum[4] = {}, d[4] = {}, q[4] = {};
      for (int64_t r = 0; r < rows; r++) four_vectors(width, [&](int64_t j, int u, int k) INLINED { sum[u] += zeroed(from + r * stride + j, k); });
      for (int u = 0; u < 4; u++) sum[u] = sum[u] * (1.0f / float(rows));
      for (int64_t r = 0; r < rows; r++)
        four_vectors(width, [&](int64_t j, int u, int k) INLINED {
          const vf t = zeroed(from + r * stride + j, k) - sum[u];
          d[u] += t;
          q[u] = fma(t, t, q[u]);
        });
      float parts[3][across];
      for (int u = 0; u < 4; u++) store(parts[0] + u * lanes, sum[u]), store(parts[1] + u * lanes, d[u]), store(parts[2] + u * lanes, q[u]);
      const double share = double(rows) / double(before + rows), both = double(before) * share;
      for (int64_t j = 0; j < width; j++) {
        const double away = double(parts[1][j]) / double(rows), here = double(parts[0][j]) + away, gap = here - mean[i + j];
        mean[i + j] += gap * share;
        m2[i + j] += double(parts[2][j]) - away * away * double(rows) + gap * gap * both;
      }
    }
  }
}

// Over the same: sum dy, sum dy z, added up in double chunk by chunk.
ACCELNN_INLINE void column_grad_sums(const float* dy, const float* x, int64_t stride, int64_t n0, int64_t n1, int64_t i0, int64_t i1, const float* mean,
                                     const float* rstd, double* dy_sum, double* dyz_sum) {
  for (int64_t i = i0; i < i1; i++) dy_sum[i] = dyz_sum[i] = 0;
  for (int64_t n = n0; n < n1; n += row_chunk) {
    const int64_t rows = n1 - n < row_chunk ? n1 - n : row_chunk;
    for (int64_t i = i0; i < i1; i += across) {
      const int64_t width = i1 - i < across ? i1 - i : across, at = n * stride + i;
      vf m[4] = {}, s[4] = {}, a[4] = {}, b[4] = {};
      four_vectors(width, [&](int64_t j, int u, int k) INLINED { m[u] = zeroed(mean + i + j, k), s[u] = zeroed(rstd + i + j, k); });
      for (int64_t r = 0; r < rows; r++)
        four_vectors(width, [&](int64_t j, int u, int k) INLINED {
          const vf g = zeroed(dy + at + r * stride + j, k);
          b[u] += g;
          a[u] = fma(g, (zeroed(x + at + r * stride + j, k) - m[u]) * s[u], a[u]);
        });
      float parts[2][across];
      for (int u = 0; u < 4; u++) store(parts[0] + u * lanes, b[u]), store(parts[1] + u * lanes, a[u]);
      for (int64_t j = 0; j < width; j++) dy_sum[i + j] += double(parts[0][j]), dyz_sum[i + j] += double(parts[1][j]);
    }
  }
}

// sum(part, rows, columns) into a part's own room, finish(), apply(rows)
template <class Sum, class Finish, class Apply>
ACCELNN_INLINE void by_column(const Call& call, const Channels& d, int64_t worth, const Sum& sum, const Finish& finish, const Apply& apply) {
  const int64_t parts = d.column_parts(), panels = d.panels(), width = d.width();
  parallel(call, parts * panels, worth / 2, [&](int64_t i) {
    const int64_t p = i / panels, begin = i % panels * 1024, end = begin + 1024 < width ? begin + 1024 : width;
    sum(p, d.n * p / parts, d.n * (p + 1) / parts, begin, end);
  });
  finish();
  const int64_t bands = d.n < 64 ? d.n : 64;
  parallel(call, bands, worth / 2, [&](int64_t i) { apply(d.n * i / bands, d.n * (i + 1) / bands); });
}

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
