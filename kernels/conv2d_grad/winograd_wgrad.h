// dw at stride 1 by Winograd: the products of all tiles, or, where there are too many weights to keep them, of a chunk, are added up before the way back.
#pragma once
#include "conv2d_grad/conv2d_wgrad.h"
#include "conv2d_grad/outer_tile.h"
#include "conv2d_grad/winograd.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace winograd_grad {

// G^T q G for a vector of channels (n real): dw[lane * R R + tap], added to what is there.
template <int R> void weights_back(const float* products, int64_t plane, int n, float* dw, bool add) {
  vf e[R * size];             // [tap row][column of products]
#pragma GCC unroll 6
  for (int c = 0; c < size; c++) {
    vf q[size];
#pragma GCC unroll 6
    for (int r = 0; r < size; r++) q[r] = load(products + (r * size + c) * plane);
    gather_points<G, R>(q, 1, e + c, size);
  }
  float tap[R * R * lanes], turned[R * R * lanes];
#pragma GCC unroll 5
  for (int r = 0; r < R; r++) {
    vf g[R];
    gather_points<G, R>(e + r * size, 1, g, 1);
#pragma GCC unroll 5
    for (int s = 0; s < R; s++) store(tap + (r * R + s) * lanes, g[s]);
  }
  if (!add) return transpose_all(tap, lanes, R * R, n, dw, R * R);
  transpose_all(tap, lanes, R * R, n, turned, R * R);
  int i = 0;
  for (; i + lanes <= n * R * R; i += lanes) store(dw + i, load(dw + i) + load(turned + i));
  for (; i < n * R * R; i++) dw[i] += turned[i];
}

// One group: its first output of dy, its first channel of x, its dw.
template <int R> void wgrad_group(const Call& call, const WinogradLayout& l, const float* dy, const float* x, float* dw, char* work) {
  constexpr int M = size + 1 - R;
  const conv::Geometry& g = l.g;
  float *const seen = reinterpret_cast<float*>(work + l.v_x), *const out = reinterpret_cast<float*>(work + l.v_y);
  const int64_t c_blocks = conv::divide_up(g.c, l.c_block), flops = 2 * g.n * g.o * g.pixels * g.k;

  for (int64_t first = 0; first < l.strips; first += l.chunk) {
    const int64_t strips = conv::at_most(l.chunk, l.strips - first), count = strips * l.tw;
    parallel(call, l.parts, flops / 8, [&](int64_t part) {
      float* const pixels = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t i = part * strips / l.parts; i < (part + 1) * strips / l.parts; i++) {
        const int64_t image = (first + i) / l.th, top = tile_at<M>((first + i) % l.th, g.dh), at = i * l.tw;
        turn({x + image * l.x_image, g.c, g.h, g.w}, top - g.top, g.dh, -g.left, size, l.width, pixels, l.x_row);
        transform_seen<M>({pixels, l.width, l.x_row, l.tw, g.dw}, g.c, seen + at * l.x_row, l.x_plane);
        turn({dy + image * l.y_image, g.o, g.oh, g.ow}, top, g.dh, 0, M, l.width, pixels, l.y_row);
        transform_tiles<M>({pixels, l.width, l.y_row, l.tw, g.dw}, g.o, out + at * l.y_row, l.y_plane);
      }
    });
    const int64_t units = l.o_blocks * c_blocks;
    parallel(call, l.parts, flops / 2, [&](int64_t part) {
      for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
        float* const products = reinterpret_cast<float*>(work + l.products + (l.kept ? unit * l.unit : l.part + part * l.slice));
        const int64_t c = unit / l.o_blocks * l.c_block, channels = conv::at_most(l.c_block, g.c - c);
        const int64_t o = tile_start(g.o, l.o_blocks, unit % l.o_blocks), outs = tile_start(g.o, l.o_blocks, unit % l.o_blocks + 1) - o;
        const int64_t tiles = tiles_of(outs);
        // Points outside: what a point has of the transforms is read from L3 once, and then is in L1 for all tiles of the block.
        for (int64_t point = 0; point < points; point++)
          for (int64_t j = 0; j < channels; j += tile_columns)
            for (int64_t t = 0; t < tiles; t++) {
              const int64_t o0 = tile_start(outs, tiles, t), rows = tile_start(outs, tiles, t + 1) - o0;
              const float *const y1 = out + point * l.y_plane + o + o0, *const x1 = seen + point * l.x_plane + c + j;
              float* const to = products + point * l.p_plane + o0 * l.c_block + j;
              outer_tile(rows, channels - j, {1, count, y1, l.y_row, 0, x1, l.x_row, 0, to, l.c_block, l.kept && first > 0});
            }
        if (l.kept && first + strips < l.strips) continue;
        for (int64_t i = 0; i < outs; i++)
          for (int64_t j = 0; j < channels; j += lanes) {
            const int n = int(conv::at_most(lanes, channels - j));
            weights_back<R>(products + i * l.c_block + j, l.p_plane, n, dw + ((o + i) * g.c + c + j) * R * R, !l.kept && first > 0);
          }
      }
    });
  }
}

inline Status wgrad(const Call& call, const conv::Geometry& g) {
  const float *const dy = call.in[0].as<float>(), *const x = call.in[1].as<float>();
  const WinogradLayout l = conv_grad::wgrad_winograd_layout(g);
  each_group(call, g, l, [&](const Call& one, int64_t group, char* work) {
    (g.r == 3 ? wgrad_group<3> : wgrad_group<5>)(one, l, dy + group * g.og * g.pixels, x + group * g.cg * g.h * g.w,
                                                 call.out[0].as<float>() + group * g.og * g.k, work);
  });
  return {};
}

}  // namespace winograd_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
