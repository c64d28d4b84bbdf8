// Weights [O, C/g, R, S] in the layouts of conv2d_nhwc.h. Panels only move numbers; Winograd's U = G w G^T is computed in double and rounded once.
#pragma once
#include "conv2d_nhwc/conv2d_nhwc.h"
#include "conv2d_nhwc/transforms.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// One panel: outputs o..o + n - 1, rows (p, q, c).
inline void pack_taps(const float* w, int64_t per_group, int64_t r, int64_t s, int64_t n, float* to) {
  const int64_t each = per_group * r * s;
  for (int64_t tap = 0; tap < r * s; tap++)
    for (int64_t c = 0; c < per_group; c++, to += 16) {
      const float* const from = w + c * r * s + tap;
      for (int64_t j = 0; j < n; j++) to[j] = from[j * each];
      for (int64_t j = n; j < 16; j++) to[j] = 0.0f;
    }
}

// Channel c of one panel, rows (point, c): 16 filters of R x R taps side by side in vectors of doubles.
typedef double vd __attribute__((vector_size(vector_bytes), may_alias));
constexpr int doubles = vector_bytes / 8;
template <class T, int R> void pack_points(const double (*filters)[16], int64_t channels, int64_t c, float* to) {
  constexpr int S = T::size;
  for (int j = 0; j < 16; j += doubles) {
    vd half[S * R];                     // G w, column by column
    for (int k = 0; k < R; k++) {
      vd g[R], column[S];
      for (int i = 0; i < R; i++) std::memcpy(&g[i], filters[i * R + k] + j, sizeof(vd));
      T::weights(g, column);
      for (int i = 0; i < S; i++) half[i * R + k] = column[i];
    }
    for (int i = 0; i < S; i++) {
      vd u[S];
      T::weights(half + i * R, u);
      for (int k = 0; k < S; k++)
        for (int lane = 0; lane < doubles; lane++) to[((i * S + k) * channels + c) * 16 + j + lane] = float(u[k][lane]);
    }
  }
}

// Exchanged: row c of output j is its group's channel c ^ j (winograd_lanes.h).
template <class T, int R> void pack_winograd(const float* w, int64_t channels, int64_t n, float* to, bool exchanged = false) {
  double filters[R * R][16] = {};
  for (int64_t c = 0; c < channels; c++) {
    for (int64_t j = 0; j < n; j++)
      for (int i = 0; i < R * R; i++) filters[i][j] = w[(j * channels + (exchanged ? c ^ j % channels : c)) * R * R + i];
    pack_points<T, R>(filters, channels, c, to);
  }
}

inline void pack_folded(const float* w, int64_t channels, int64_t n, float* to) {
  for (int64_t a = 0; a < 2; a++)
    for (int64_t b = 0; b < 2; b++)
      for (int64_t c = 0; c < channels; c++) {
        double filters[16][16] = {};
        for (int64_t i = 0; i < 4; i++)
          for (int64_t k = 0; k < 4; k++)
            for (int64_t j = 0; j < n; j++) {
              const int64_t r = 2 * i + a, s = 2 * k + b;
              if (r < 7 && s < 7) filters[i * 4 + k][j] = w[((j * channels + c) * 7 + r) * 7 + s];
            }
        pack_points<Points6<3>, 4>(filters, 4 * channels, (2 * a + b) * channels + c, to);
      }
}

// Phase (a, b) of 3x3 taps at a stride of 2: taps (2i + a, 2k + b); rows (point, phase, c), without those that are always zero.
inline void pack_strided(const float* w, int64_t channels, int64_t n, float* to) {
  using T = Strided5;
  constexpr int S = T::size;
  float points[S * S * 16];
  for (int64_t c = 0; c < channels; c++)
    for (int a = 0; a < 2; a++)
      for (int b = 0; b < 2; b++) {
        double filters[4][16] = {};
        for (int i = 0; i < 2 - a; i++)
          for (int k = 0; k < 2 - b; k++)
            for (int64_t j = 0; j < n; j++) filters[i * 2 + k][j] = w[(j * channels + c) * 9 + (2 * i + a) * 3 + 2 * k + b];
        pack_points<T, 2>(filters, 1, 0, points);
        int64_t row = 0;
        for (int point = 0; point < S * S; row += T::depth(point++)) {
          if ((a && point / S == S - 1) || (b && point % S == S - 1)) continue;
          const int64_t phase = a * (point % S < S - 1 ? 2 : 1) + b;
          std::memcpy(to + ((row + phase) * channels + c) * 16, points + point * 16, 64);
        }
      }
}

inline void conv2d_pack_into(const Call& call, const float* w, int64_t o, int64_t per_group, int64_t r, int64_t s, int64_t groups, int algorithm, float* to) {
  const conv::PackedShape shape = conv::packed_shape(algorithm, o, per_group, r, s, groups);
  const int64_t parts = algorithm == conv::panels ? groups : 1, mine = o / parts, each = shape.panels / conv::at_least(parts, 1);
  const int64_t effort = conv::by_tiles(algorithm) ? 40 : 2;
  parallel(call, shape.panels, shape.panels * shape.taps * 16 * effort, [&](int64_t panel) {
    const int64_t first = panel % each * 16, n = conv::at_most(16, mine - first);
    const float* const from = w + (panel / each * mine + first) * per_group * r * s;
    float* const p = to + panel * shape.taps * 16;
    switch (algorithm) {
      case conv::winograd2: return pack_winograd<Points4<2>, 3>(from, per_group, n, p);
      case conv::winograd4: return pack_winograd<Points6<4>, 3>(from, per_group, n, p, conv::in_lanes(groups, o));
      case conv::winograd5: return pack_winograd<Points6<2>, 5>(from, per_group, n, p);
      case conv::strided: return pack_strided(from, per_group, n, p);
      case conv::folded: return pack_folded(from, per_group, n, p);
      default: return pack_taps(from, per_group, r, s, n, p);
    }
  });
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
