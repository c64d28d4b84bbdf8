// dx at a stride of 2: rows of tiles of dy are transformed; then, a panel of 32 channels at a time, the weights' 81 numbers (for 9) meet blocks of tiles.
#pragma once
#include "conv2d_grad/conv2d_dgrad.h"
#include "conv2d_grad/strided.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace strided_grad {

// G w' G^T of n channels (lanes beyond are zeros): to[plane * distance + lane].
inline void transform_weights(const float* w, int n, float* to, int64_t distance) {
  float tap[9 * lanes] = {};
  transpose_all(w, 9, n, 9, tap, lanes);
  vf e[R * 3];                          // [row][tap column]
#pragma GCC unroll 3
  for (int s = 0; s < 3; s++) weights(load(tap + (6 + s) * lanes), load(tap + s * lanes), load(tap + (3 + s) * lanes), e + s, 3);
#pragma GCC unroll 9
  for (int i = 0; i < R; i++) {
    vf u[R];
    weights(e[i * 3 + 2], e[i * 3], e[i * 3 + 1], u, 1);
#pragma GCC unroll 9
    for (int j = 0; j < R; j++) store(to + plane_of(i, j) * distance, u[j]);
  }
}

// B^T d B of 5x5 numbers of dy, a vector of outputs, n of them real.
inline void transform_seen(const float* from, int64_t down, int64_t right, int n, float* to, int64_t plane) {
  vf e[S * S];
#pragma GCC unroll 5
  for (int j = 0; j < S; j++) {
    vf d[S];
#pragma GCC unroll 5
    for (int i = 0; i < S; i++) d[i] = n == lanes ? load(from + i * down + j * right) : load(from + i * down + j * right, n);
    T::in(d, 1, e + j, S);
  }
#pragma GCC unroll 5
  for (int i = 0; i < S; i++) {
    vf q[S];
    T::in(e + i * S, 1, q, 1);
#pragma GCC unroll 5
    for (int j = 0; j < S; j++) store(to + (i * S + j) * plane, q[j]);
  }
}

// Nine numbers to eight pixels: every second one, from the first on, sees one tap.
ACCELNN_INLINE void pixels_of(const vf* q, int step, vf* o, int to) {
  T::out(q, step, o + to, 2 * to);
  const vf odd[S] = {q[5 * step], q[6 * step], q[7 * step], q[8 * step], vf{}};
  T::out(odd, 1, o, 2 * to);
}
// The 81 products of a tile to its 8x8 pixels, for a vector of channels.
inline void back(const float* products, int64_t plane, vf bias, float* to, int64_t down, int64_t right) {
  constexpr int side = 2 * M;
  vf e[side * R];                       // [row][column of products]
#pragma GCC unroll 9
  for (int j = 0; j < R; j++) {
    vf q[R];
#pragma GCC unroll 9
    for (int i = 0; i < R; i++) q[i] = load(products + plane_of(i, j) * plane);
    pixels_of(q, 1, e + j, R);
  }
#pragma GCC unroll 8
  for (int r = 0; r < side; r++) {
    vf q[side];
    pixels_of(e + r * R, 1, q, 1);
#pragma GCC unroll 8
    for (int c = 0; c < side; c++) store(to + r * down + c * right, q[c] + bias);
  }
}

inline Status dgrad(const Call& call, const conv::Geometry& g) {
  constexpr int64_t wide = conv_grad::panel_width, side = 2 * M;
  const float *const dy = call.in[0].as<float>(), *const w = call.in[1].as<float>(), *const bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  float* const dx = call.out[0].as<float>();
  const WinogradLayout l = conv_grad::strided_dgrad_layout(g);
  char* const work = static_cast<char*>(call.work);
  float* const v = reinterpret_cast<float*>(work + l.v_y);
  const int64_t panels = conv::divide_up(g.c, wide), flops = 2 * g.n * g.o * g.pixels * g.k, u_plane = g.o * wide;

  for (int64_t first = 0; first < l.strips; first += l.chunk) {
    const int64_t strips = conv::at_most(l.chunk, l.strips - first);
    parallel(call, l.parts, flops / 16, [&](int64_t part) {
      float* const pixels = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t i = part * strips / l.parts; i < (part + 1) * strips / l.parts; i++) {
        const int64_t image = (first + i) / l.th, row = (first + i) % l.th;
        turn({dy + image * l.y_image, g.o, g.oh, g.ow}, row * M, 1, 0, S, l.width, pixels, l.y_row);
        for (int64_t t = 0; t < l.tw; t++)
          for (int64_t o = 0; o < g.o; o += lanes)
            transform_seen(pixels + t * M * l.y_row + o, l.width * l.y_row, l.y_row, int(conv::at_most(lanes, g.o - o)), v + (i * l.tw + t) * l.y_row + o,
                           l.y_plane);
      }
    });
    const int64_t units = panels * l.blocks;
    parallel(call, l.parts, flops / 2, [&](int64_t part) {
      char* const slice = work + l.part + part * l.slice;
      float *const pixels = reinterpret_cast<float*>(slice), *const u = reinterpret_cast<float*>(slice + l.panel);
      float* const products = reinterpret_cast<float*>(slice + l.products);
      int64_t there = -1;                                     // the panel whose weights are transformed
      for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
        const int64_t panel = unit / l.blocks, c = panel * wide, block = unit % l.blocks, channels = conv::at_most(wide, g.c - c);
        const int64_t covered = channels > lanes ? conv::round_up(channels, tile_columns) : lanes;
        if (there != panel)
          for (int64_t o = 0; o < g.o; o++)
            for (int64_t j = 0; j < covered; j += lanes)
              transform_weights(w + (o * g.c + c + j) * 9, int(conv::at_least(conv::at_most(lanes, channels - j), 0)), u + o * wide + j, u_plane);
        there = panel;
        for (int64_t i = block * strips / l.blocks, end = (block + 1) * strips / l.blocks; i < end; i += l.block) {
          const int64_t count = conv::at_most(l.block, end - i) * l.tw, tiles = tiles_of(count), width = l.tw * side;
          for (int64_t point = 0, plane = 0; point < points; point++)
            for (int phase = 0; phase < T::depth(int(point)); phase++, plane++)
              for (int64_t t = 0; t < tiles; t++) {
                const int64_t t0 = tile_start(count, tiles, t), rows = tile_start(count, tiles, t + 1) - t0;
                const float* const a = v + point * l.y_plane + (i * l.tw + t0) * l.y_row;
                float* const to = products + plane * l.p_plane + t0 * wide;
                for (int64_t j = 0; j < covered; j += tile_columns) {
                  const int columns = int(conv::at_most(tile_columns, covered - j));
                  f32_tile(int(rows), {g.o, a, l.y_row, u + plane * u_plane + j, wide, panel_columns, to + j, wide, columns, nullptr}, {});
                }
              }
          for (int64_t t = 0; t < count; t++)
            for (int64_t j = 0; j < channels; j += lanes) {
              const vf b = bias ? load(bias + c + j, int(conv::at_most(lanes, channels - j))) : vf{};
              back(products + t * wide + j, l.p_plane, b, pixels + (t / l.tw * side * width + t % l.tw * side) * wide + j, width * wide, wide);
            }
          for (int64_t k = 0; k < count / l.tw; k++) {
            const int64_t image = (first + i + k) / l.th, h = (first + i + k) % l.th * side;
            for (int64_t r = 0; r < side && h + r < g.h; r++)
              transpose_all(pixels + (k * side + r) * width * wide, wide, g.w, channels, dx + image * l.x_image + (c * g.h + h + r) * g.w, g.h * g.w);
          }
        }
      }
    });
  }
  return {};
}

}  // namespace strided_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
