// dx of 3x3 at stride 1 by Winograd. Strips of dy are transformed; then, a panel of 32 channels at a time, the weights, whose transform (4 times as many
// numbers) never leaves L2, meet blocks of tiles.
#pragma once
#include "conv2d_grad/winograd.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace winograd_grad {

// U of channels c.. (n of them) for output o: to[point * plane + lane], taps turned by 180 degrees.
inline void transform_weights(const float* w, int n, float* to, int64_t plane) {
  float tap[9 * lanes] = {};
  transpose(w, 9, n, 9, tap, lanes);
  vf g[9], half[18];          // [row of U][tap column]
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) g[k] = load(tap + (8 - k) * lanes);
#pragma GCC unroll 3
  for (int s = 0; s < 3; s++) weights_in(g + s, 3, half + s, 3);
#pragma GCC unroll 6
  for (int i = 0; i < size; i++) {
    vf u[size];
    weights_in(half + i * 3, 1, u, 1);
#pragma GCC unroll 6
    for (int j = 0; j < size; j++) store(to + (i * size + j) * plane, u[j]);
  }
}

// Products [point][tile][32] of one tile, `n` channels from the first lane on, to pixels of the tile: to[(r * width + c) * 32].
ACCELNN_INLINE void back(const float* products, int64_t plane, vf bias, float* to, int64_t width) {
  vf e[m * size];             // [row][column of products]
#pragma GCC unroll 6
  for (int c = 0; c < size; c++) {
    vf q[size];
#pragma GCC unroll 6
    for (int r = 0; r < size; r++) q[r] = load(products + (r * size + c) * plane);
    F43::out(q, 1, e + c, size);
  }
#pragma GCC unroll 4
  for (int r = 0; r < m; r++) {
    vf q[m];
    F43::out(e + r * size, 1, q, 1);
#pragma GCC unroll 4
    for (int c = 0; c < m; c++) store(to + (r * width + c) * conv_grad::panel_width, q[c] + bias);
  }
}

inline Status dgrad(const Call& call, const conv::Geometry& g) {
  const TensorView &dy = call.in[0], &w = call.in[1], &bias = call.in[2], &dx = call.out[0];
  const WinogradLayout l = conv_grad::dgrad_winograd_layout(g);
  constexpr int64_t wide = conv_grad::panel_width;
  char* const work = static_cast<char*>(call.work);
  float* const v = reinterpret_cast<float*>(work + l.v_y);
  const int64_t panels = conv::divide_up(g.c, wide), flops = 2 * g.n * g.o * g.pixels * g.k;

  for (int64_t first = 0; first < l.strips; first += l.chunk) {
    const int64_t strips = conv::at_most(l.chunk, l.strips - first);
    parallel(call, l.parts, flops / 16, [&](int64_t part) {
      float* const pixels = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t i = part * strips / l.parts; i < (part + 1) * strips / l.parts; i++) {
        const int64_t image = (first + i) / l.th, top = (first + i) % l.th * m - (2 - g.top);
        turn({dy.as<float>() + image * g.o * g.pixels, g.o, g.oh, g.ow}, top, g.left - 2, size, l.width, pixels, l.y_row);
        transform_seen(pixels, l.width, l.y_row, g.o, l.tw, v + i * l.tw * l.y_row, l.y_plane);
      }
    });
    const int64_t units = panels * l.groups;
    parallel(call, l.parts, flops / 2, [&](int64_t part) {
      char* const slice = work + l.part + part * l.slice;
      float *const pixels = reinterpret_cast<float*>(slice), *const u = reinterpret_cast<float*>(slice + l.panel);
      float* const products = reinterpret_cast<float*>(slice + l.products);
      for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
        const int64_t c = unit / l.groups * wide, group = unit % l.groups, channels = conv::at_most(wide, g.c - c);
        for (int64_t o = 0; o < g.o; o++)
          for (int64_t j = 0; j < wide; j += lanes)
            transform_weights(w.as<float>() + (o * g.c + c + j) * 9, int(conv::at_least(conv::at_most(lanes, channels - j), 0)), u + o * wide + j, g.o * wide);
        const int64_t end = (group + 1) * strips / l.groups;
        for (int64_t i = group * strips / l.groups; i < end; i += l.block) {
          const int64_t count = conv::at_most(l.block, end - i) * l.tw, tiles = tiles_of(count);
          for (int64_t point = 0; point < points; point++)
            for (int64_t t = 0; t < tiles; t++) {
              const int64_t t0 = tile_start(count, tiles, t), t1 = tile_start(count, tiles, t + 1);
              const float *const a = v + point * l.y_plane + (i * l.tw + t0) * l.y_row, *const b = u + point * g.o * wide;
              float* const c0 = products + point * l.p_plane + t0 * wide;
              for (int64_t j = 0; j < wide; j += tile_columns)
                f32_tile(int(t1 - t0), {g.o, a, l.y_row, b + j, wide, panel_columns, c0 + j, wide, int(tile_columns), nullptr}, {});
            }
          const int64_t width = l.tw * m;
          for (int64_t t = 0; t < count; t++)
            for (int64_t j = 0; j < wide && j < channels; j += lanes) {
              const vf b = bias.absent() ? vf{} : load(bias.as<float>() + c + j, int(conv::at_most(lanes, channels - j)));
              back(products + t * wide + j, l.p_plane, b, pixels + ((t / l.tw * m * width) + t % l.tw * m) * wide + j, width);
            }
          for (int64_t k = 0; k < count / l.tw; k++) {
            const int64_t image = (first + i + k) / l.th, h = (first + i + k) % l.th * m;
            for (int64_t r = 0; r < m && h + r < g.h; r++)
              transpose(pixels + (k * m + r) * width * wide, wide, g.w, channels, dx.as<float>() + ((image * g.c + c) * g.h + h + r) * g.w, g.h * g.w);
          }
        }
      }
    });
  }
  return {};
}

}  // namespace winograd_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
