// F(4,3) where a group has 4 or 8 channels in and out: a vector of channels goes through all three steps in L1, one tile after the other. The products of
// a point are those of channelwise.h: channel i of every group spread over its lanes. 36 x 4 (8) products and shuffles for 16 outputs instead of 144 (288).
#pragma once
#include "conv2d_nhwc/channelwise.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// sum over i of channel i (of lane l's group) times u[i][l], for one point of a tile; v: the point's vectors of the group or groups.
template <int CG, int I> ACCELNN_INLINE vf lane_products(vf v, const float* group, const float* u, vf sum) {
  sum = fma(spread<CG, I>(v, group), load(u + I * panel_columns), sum);
  if constexpr (I + 1 < CG) return lane_products<CG, I + 1>(v, group, u, sum);
  else return sum;
}

template <int CG> Status conv2d_winograd_lanes(const Call& call, const conv::Geometry& g, const conv::Winograd& p, const WinogradCall<Points6<4>>& w) {
  using T = Points6<4>;
  constexpr int S = T::size, P = S * S, M = T::m;
  constexpr int step = CG > lanes ? CG : lanes;          // channels that are transformed together: whole groups
  const int64_t rows = g.n * p.th, parts = conv::at_most(rows, 16);
  parallel(call, parts, nhwc_flops(g) / 2, [&](int64_t part) {
    alignas(64) static const float none[16] = {};
    for (int64_t line = tile_start(rows, parts, part); line < tile_start(rows, parts, part + 1); line++) {
      const int64_t n = line / p.th, h = w.start(line % p.th, g.dh), top = h - g.top;
      const int down = w.inside(h, g.oh, g.dh);
      for (int64_t c = 0; c < g.c; c += step)
        for (int64_t j = 0; j < p.tw; j++) {
          const int64_t column = w.start(j, g.dw), left = column - g.left;
          const int right = w.inside(column, g.ow, g.dw);
          const float* pixel[P];
          for (int i = 0; i < S; i++)
            for (int k = 0; k < S; k++) {
              const int64_t y = top + i * g.dh, x = left + k * g.dw;
              pixel[i * S + k] = y >= 0 && y < g.h && x >= 0 && x < g.w ? w.x + ((n * g.h + y) * g.w + x) * g.c + c : none;
            }
          alignas(64) float v[P * step], products[P * lanes];
          for (int q = 0; q < step && c + q < g.c; q += lanes) transform_vector<T>(pixel, q, int(conv::at_most(lanes, g.c - c - q)), v + q, step);
          for (int q = 0; q < step && c + q < g.c; q += lanes) {
            const int64_t o = c + q;
            const float* const u = w.packed + o / panel_columns * (P * CG * panel_columns) + o % panel_columns;
#pragma GCC unroll 4
            for (int point = 0; point < P; point++)
              store(products + point * lanes, lane_products<CG, 0>(load(v + point * step + q), v + point * step, u + point * CG * panel_columns, vf{}));
            const int64_t at = ((n * g.oh + h) * g.ow + column) * g.o + o;
            if (down == M && right == M && o + lanes <= g.o) w.back_whole(products, at, o);
            else w.back(products, at, o, down, right);
          }
        }
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
