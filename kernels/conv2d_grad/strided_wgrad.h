// dw at a stride of 2: what tiles see and the tiles themselves at their points, the products of all tiles, chunk by chunk, and the way back.
#pragma once
#include "conv2d_grad/conv2d_wgrad.h"
#include "conv2d_grad/outer_tile.h"
#include "conv2d_grad/strided.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace strided_grad {

// A d A^T of 4x4 pixels, a vector of outputs, n of them real.
inline void transform_outputs(const float* from, int64_t down, int64_t right, int n, float* to, int64_t plane) {
  vf e[S * M];                          // [point][column]
#pragma GCC unroll 4
  for (int j = 0; j < M; j++) {
    vf d[M];
#pragma GCC unroll 4
    for (int i = 0; i < M; i++) d[i] = n == lanes ? load(from + i * down + j * right) : load(from + i * down + j * right, n);
    evaluate(d, 1, e + j, M);
  }
#pragma GCC unroll 5
  for (int i = 0; i < S; i++) {
    vf q[S];
    evaluate(e + i * M, 1, q, 1);
#pragma GCC unroll 5
    for (int j = 0; j < S; j++) store(to + (i * S + j) * plane, q[j]);
  }
}

// The sums of one output and a vector of channels, n of them real, to their taps. Those of plane p lie at rows[p].
inline void taps_back(const float* const* rows, int64_t c, int n, float* dw) {
  vf e[3 * R];                          // [tap row][column of products]
#pragma GCC unroll 9
  for (int j = 0; j < R; j++) {
    vf q[R];
#pragma GCC unroll 9
    for (int i = 0; i < R; i++) q[i] = load(rows[plane_of(i, j)] + c);
    taps(q, 1, e + j, R);
  }
  float tap[9 * lanes];
#pragma GCC unroll 3
  for (int r = 0; r < 3; r++) {
    vf g[3];
    taps(e + r * R, 1, g, 1);
    for (int s = 0; s < 3; s++) store(tap + (r * 3 + s) * lanes, g[s]);
  }
  transpose_all(tap, lanes, 9, n, dw, 9);
}

inline Status wgrad(const Call& call, const conv::Geometry& g) {
  const float *const dy = call.in[0].as<float>(), *const x = call.in[1].as<float>();
  const WinogradLayout l = conv_grad::strided_wgrad_layout(g);
  char* const work = static_cast<char*>(call.work);
  float *const seen = reinterpret_cast<float*>(work + l.v_x), *const out = reinterpret_cast<float*>(work + l.v_y);
  float* const sums = reinterpret_cast<float*>(work + l.products);
  const int64_t channels = conv::round_up(g.c, conv::group_pixels), flops = 2 * g.n * g.o * g.pixels * g.k;

  for (int64_t first = 0; first < l.strips; first += l.chunk) {
    const int64_t strips = conv::at_most(l.chunk, l.strips - first), count = strips * l.tw;
    parallel(call, l.parts, flops / 8, [&](int64_t part) {
      float* const pixels = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t i = part * strips / l.parts; i < (part + 1) * strips / l.parts; i++) {
        const int64_t image = (first + i) / l.th, row = (first + i) % l.th, at = i * l.tw;
        turn({x + image * l.x_image, g.c, g.h, g.w}, row * 2 * M - g.top, 1, -g.left, R, l.width, pixels, channels);
        for (int64_t t = 0; t < l.tw; t++)
          for (int64_t c = 0; c < g.c; c += lanes) {
            const float* const from = pixels + t * 2 * M * channels + c;
            const int n = int(conv::at_most(lanes, g.c - c));
            const auto pixel = [&](int k) __attribute__((always_inline)) {
              const float* const p = from + (k / R * l.width + k % R) * channels;
              return n == lanes ? load(p) : load(p, n);
            };
            transform_phases(pixel, channels, seen + (at + t) * l.x_row + c, l.x_plane);
          }
        const int64_t across = l.tw * M;
        turn({dy + image * l.y_image, g.o, g.oh, g.ow}, row * M, 1, 0, M, across, pixels, l.y_row);
        for (int64_t t = 0; t < l.tw; t++)
          for (int64_t o = 0; o < g.o; o += lanes)
            transform_outputs(pixels + t * M * l.y_row + o, across * l.y_row, l.y_row, int(conv::at_most(lanes, g.o - o)), out + (at + t) * l.y_row + o,
                              l.y_plane);
      }
    });
    const int64_t units = l.o_blocks * points, parts = conv::at_most(units, conv::most_parts);
    parallel(call, parts, flops / 2, [&](int64_t part) {
      for (int64_t unit = part * units / parts; unit < (part + 1) * units / parts; unit++) {
        const int64_t block = unit / points, point = unit % points, width = T::depth(int(point)) * channels;
        const int64_t o = tile_start(g.o, l.o_blocks, block), outs = tile_start(g.o, l.o_blocks, block + 1) - o, tiles = tiles_of(outs);
        float* const to = sums + T::before(int(point)) * channels * g.o;
        for (int64_t j = 0; j < width; j += tile_columns)
          for (int64_t t = 0; t < tiles; t++) {
            const int64_t o0 = o + tile_start(outs, tiles, t), rows = o + tile_start(outs, tiles, t + 1) - o0;
            const float *const y1 = out + point * l.y_plane + o0, *const x1 = seen + point * l.x_plane + j;
            outer_tile(rows, width - j, {1, count, y1, l.y_row, 0, x1, l.x_row, 0, to + o0 * width + j, width, first > 0});
          }
      }
    });
  }
  parallel(call, g.o, 200 * g.o * g.c, [&](int64_t o) {
    const float* rows[planes];
    for (int point = 0; point < points; point++)
      for (int phase = 0, depth = T::depth(point); phase < depth; phase++)
        rows[T::before(point) + phase] = sums + (T::before(point) * g.o + o * depth + phase) * channels;
    for (int64_t c = 0; c < g.c; c += lanes) taps_back(rows, c, int(conv::at_most(lanes, g.c - c)), call.out[0].as<float>() + (o * g.c + c) * 9);
  });
  return {};
}

}  // namespace strided_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
