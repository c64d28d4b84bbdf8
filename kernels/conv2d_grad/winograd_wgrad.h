// dw of 3x3 at stride 1 by Winograd: the products of all tiles are added up before the way back, which is done once for a chunk of tiles.
#pragma once
#include "conv2d_grad/outer_tile.h"
#include "conv2d_grad/winograd.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace winograd_grad {

// G^T q G for a vector of channels (n real): dw[lane * 9 + tap], added to what is there.
inline void weights_out(const float* products, int64_t plane, int n, float* dw, bool add) {
  vf e[18], g[9];             // [tap row][column of products]
#pragma GCC unroll 6
  for (int c = 0; c < size; c++) {
    vf q[size];
#pragma GCC unroll 6
    for (int r = 0; r < size; r++) q[r] = load(products + (r * size + c) * plane);
    weights_back(q, 1, e + c, size);
  }
#pragma GCC unroll 3
  for (int r = 0; r < 3; r++) weights_back(e + r * size, 1, g + r * 3, 1);
  float tap[9 * lanes];
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) store(tap + k * lanes, g[k]);
  if (!add) return transpose(tap, lanes, 9, n, dw, 9);
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 9; k++) dw[i * 9 + k] += tap[k * lanes + i];
}

inline Status wgrad(const Call& call, const conv::Geometry& g) {
  const TensorView &dy = call.in[0], &x = call.in[1], &dw = call.out[0];
  const WinogradLayout l = conv_grad::wgrad_winograd_layout(g);
  constexpr int64_t wide = conv_grad::panel_width;
  char* const work = static_cast<char*>(call.work);
  float *const seen = reinterpret_cast<float*>(work + l.v_x), *const out = reinterpret_cast<float*>(work + l.v_y);
  const int64_t panels = conv::divide_up(g.c, wide), out_tiles = even_tiles(g.o, panels), flops = 2 * g.n * g.o * g.pixels * g.k;

  for (int64_t first = 0; first < l.strips; first += l.chunk) {
    const int64_t strips = conv::at_most(l.chunk, l.strips - first), count = strips * l.tw;
    parallel(call, l.parts, flops / 8, [&](int64_t part) {
      float* const pixels = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t i = part * strips / l.parts; i < (part + 1) * strips / l.parts; i++) {
        const int64_t image = (first + i) / l.th, top = (first + i) % l.th * m, at = i * l.tw;
        turn({x.as<float>() + image * g.c * g.h * g.w, g.c, g.h, g.w}, top - g.top, -g.left, size, l.width, pixels, l.x_row);
        transform_seen(pixels, l.width, l.x_row, g.c, l.tw, seen + at * l.x_row, l.x_plane);
        turn({dy.as<float>() + image * g.o * g.pixels, g.o, g.oh, g.ow}, top, 0, m, l.width, pixels, l.y_row);
        transform_out(pixels, l.width, l.y_row, g.o, l.tw, out + at * l.y_row, l.y_plane);
      }
    });
    const int64_t units = out_tiles * panels;
    parallel(call, l.parts, flops / 2, [&](int64_t part) {
      float* const products = reinterpret_cast<float*>(work + l.part + part * l.slice + l.products);
      for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
        const int64_t c = unit / out_tiles * wide, o = tile_start(g.o, out_tiles, unit % out_tiles), channels = conv::at_most(wide, g.c - c);
        const int64_t outs = tile_start(g.o, out_tiles, unit % out_tiles + 1) - o;
        for (int64_t j = 0; j < channels; j += tile_columns)
          for (int64_t point = 0; point < points; point++) {
            const float *const y1 = out + point * l.y_plane + o, *const x1 = seen + point * l.x_plane + c + j;
            outer_tile(outs, channels - j, {1, count, y1, l.y_row, 0, x1, l.x_row, 0, products + point * l.p_plane + j, wide, false});
          }
        for (int64_t i = 0; i < outs; i++)
          for (int64_t j = 0; j < channels; j += lanes)
            weights_out(products + i * wide + j, l.p_plane, int(conv::at_most(lanes, channels - j)), dw.as<float>() + ((o + i) * g.c + c + j) * 9, first > 0);
      }
    });
  }
  return {};
}

}  // namespace winograd_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
