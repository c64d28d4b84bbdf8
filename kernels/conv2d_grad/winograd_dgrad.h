// dx at stride 1 by Winograd. Strips of dy are transformed; then, a panel of 32 channels at a time, the weights, whose transform (36 numbers for 9) never
// leaves L2, meet blocks of tiles.
#pragma once
#include "conv2d_grad/conv2d_dgrad.h"
#include "conv2d_grad/winograd.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace winograd_grad {

// G w G^T of n channels (lanes beyond are zeros), taps turned by 180 degrees: to[point * plane + lane].
template <int R> void transform_weights(const float* w, int n, float* to, int64_t plane) {
  float tap[R * R * lanes] = {};
  transpose_all(w, R * R, n, R * R, tap, lanes);
  vf half[size * R];          // [point][tap column]
#pragma GCC unroll 5
  for (int s = 0; s < R; s++) {
    vf g[R];
#pragma GCC unroll 5
    for (int r = 0; r < R; r++) g[r] = load(tap + (R * R - 1 - r * R - s) * lanes);
    evaluate<G, R>(g, 1, half + s, R);
  }
#pragma GCC unroll 6
  for (int i = 0; i < size; i++) {
    vf u[size];
    evaluate<G, R>(half + i * R, 1, u, 1);
#pragma GCC unroll 6
    for (int j = 0; j < size; j++) store(to + (i * size + j) * plane, u[j]);
  }
}

// The 36 products of a tile to its M x M pixels, for a vector of channels.
template <int M> ACCELNN_INLINE void back(const float* products, int64_t plane, vf bias, float* to, int64_t down, int64_t right) {
  vf e[M * size];             // [row][column of products]
#pragma GCC unroll 6
  for (int c = 0; c < size; c++) {
    vf q[size];
#pragma GCC unroll 6
    for (int r = 0; r < size; r++) q[r] = load(products + (r * size + c) * plane);
    gather_points<A, M>(q, 1, e + c, size);
  }
#pragma GCC unroll 4
  for (int r = 0; r < M; r++) {
    vf q[M];
    gather_points<A, M>(e + r * size, 1, q, 1);
#pragma GCC unroll 4
    for (int c = 0; c < M; c++) store(to + r * down + c * right, q[c] + bias);
  }
}

// One group: its first output of dy, its weights, bias (or null) and first channel of dx.
template <int R> void dgrad_group(const Call& call, const WinogradLayout& l, const float* dy, const float* w, const float* bias, float* dx, char* work) {
  constexpr int M = size + 1 - R;
  constexpr int64_t wide = conv_grad::panel_width;
  const conv::Geometry& g = l.g;
  float* const v = reinterpret_cast<float*>(work + l.v_y);
  const int64_t panels = conv::divide_up(g.c, wide), flops = 2 * g.n * g.o * g.pixels * g.k;

  for (int64_t first = 0; first < l.strips; first += l.chunk) {
    const int64_t strips = conv::at_most(l.chunk, l.strips - first);
    parallel(call, l.parts, flops / 16, [&](int64_t part) {
      float* const pixels = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t i = part * strips / l.parts; i < (part + 1) * strips / l.parts; i++) {
        const int64_t image = (first + i) / l.th, top = tile_at<M>((first + i) % l.th, g.dh) - (R - 1) * g.dh + g.top;
        turn({dy + image * l.y_image, g.o, g.oh, g.ow}, top, g.dh, g.left - (R - 1) * g.dw, size, l.width, pixels, l.y_row);
        transform_seen<M>({pixels, l.width, l.y_row, l.tw, g.dw}, g.o, v + i * l.tw * l.y_row, l.y_plane);
      }
    });
    const int64_t units = panels * l.blocks;
    parallel(call, l.parts, flops / 2, [&](int64_t part) {
      char* const slice = work + l.part + part * l.slice;
      float *const pixels = reinterpret_cast<float*>(slice), *const u = reinterpret_cast<float*>(slice + l.panel);
      float* const products = reinterpret_cast<float*>(slice + l.products);
      for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
        const int64_t c = unit / l.blocks * wide, block = unit % l.blocks, channels = conv::at_most(wide, g.c - c);
        const int64_t covered = channels > lanes ? conv::round_up(channels, tile_columns) : lanes, begin = block * strips / l.blocks;
        for (int64_t i = begin, end = (block + 1) * strips / l.blocks; i < end; i += l.block) {
          const int64_t count = conv::at_most(l.block, end - i) * l.tw, tiles = tiles_of(count);
          for (int64_t o = 0; o < g.o; o += l.depth) {
            const int64_t depth = conv::at_most(l.depth, g.o - o), u_plane = depth * wide;
            if (i == begin)
              for (int64_t q = 0; q < depth; q++)
                for (int64_t j = 0; j < covered; j += lanes) {
                  const int n = int(conv::at_least(conv::at_most(lanes, channels - j), 0));
                  transform_weights<R>(w + ((o + q) * g.c + c + j) * R * R, n, u + q * wide + j, u_plane);
                }
            for (int64_t point = 0; point < points; point++)
              for (int64_t t = 0; t < tiles; t++) {
                const int64_t t0 = tile_start(count, tiles, t), rows = tile_start(count, tiles, t + 1) - t0;
                const float* const a = v + point * l.y_plane + (i * l.tw + t0) * l.y_row + o;
                float* const to = products + point * l.p_plane + t0 * wide;
                for (int64_t j = 0; j < covered; j += tile_columns) {
                  const int columns = int(conv::at_most(tile_columns, covered - j));
                  f32_tile(int(rows), {depth, a, l.y_row, u + point * u_plane + j, wide, panel_columns, to + j, wide, columns, o ? to + j : nullptr}, {});
                }
              }
          }
          const int64_t width = l.tw * M;
          for (int64_t t = 0; t < count; t++)
            for (int64_t j = 0; j < channels; j += lanes) {
              const vf b = bias ? load(bias + c + j, int(conv::at_most(lanes, channels - j))) : vf{};
              float* const to = pixels + (t / l.tw * M * width + tile_at<M>(t % l.tw, g.dw)) * wide + j;
              back<M>(products + t * wide + j, l.p_plane, b, to, width * wide, g.dw * wide);
            }
          for (int64_t k = 0; k < count / l.tw; k++) {
            const int64_t image = (first + i + k) / l.th, h = tile_at<M>((first + i + k) % l.th, g.dh);
            for (int64_t r = 0; r < M && h + r * g.dh < g.h; r++)
              transpose_all(pixels + (k * M + r) * width * wide, wide, g.w, channels, dx + image * l.x_image + (c * g.h + h + r * g.dh) * g.w, g.h * g.w);
          }
        }
      }
    });
  }
}

inline Status dgrad(const Call& call, const conv::Geometry& g) {
  const float *const dy = call.in[0].as<float>(), *const w = call.in[1].as<float>(), *const bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  const WinogradLayout l = conv_grad::dgrad_winograd_layout(g);
  each_group(call, g, l, [&](const Call& one, int64_t group, char* work) {
    (g.r == 3 ? dgrad_group<3> : dgrad_group<5>)(one, l, dy + group * g.og * g.pixels, w + group * g.og * g.k, bias ? bias + group * g.cg : nullptr,
                                                 call.out[0].as<float>() + group * g.cg * g.h * g.w, work);
  });
  return {};
}

}  // namespace winograd_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
