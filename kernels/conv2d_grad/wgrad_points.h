// dw of 1x1, and of windows side by side (apart.h): dw[o, c] = sum over pixels of dy[o, pixel] x[c, pixel]. dy is broadcast from its own rows, x is turned
// into panels of 16 channels; the tiles write dw itself.
#pragma once
#include "conv2d_grad/apart.h"
#include "conv2d_grad/conv2d_wgrad.h"
#include "conv2d_grad/layout.h"
#include "conv2d_grad/outer_tile.h"
#include "conv2d_grad/turn.h"
#include "conv2d_grad/wgrad_rows.h"
#include "matmul/gemm.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace wgrad_points {

// Channels c.. (n of them, at most 16) of what dy's pixels see: to[pixel * 16 + channel].
inline void turn_panel(const conv::Geometry& g, const float* x, int64_t n, float* to) {
  if (n < panel_columns) std::memset(to, 0, size_t(g.pixels * panel_columns) * sizeof(float));
  if (g.sh == 1 && g.sw == 1) {
    transpose_all(x, g.h * g.w, n, g.pixels, to, panel_columns);
    return;
  }
  // Number by number, each on a page of its own, this was a third of the time of a stride of 2.
  constexpr int64_t most = 64;
  float seen[panel_columns * most];
  for (int64_t i = 0; i < g.oh; i++)
    for (int64_t j = 0; j < g.ow; j += most) {
      const int64_t count = conv::at_most(most, g.ow - j);
      for (int64_t c = 0; c < n; c++) {
        const float* const from = x + (c * g.h + i * g.sh) * g.w + j * g.sw;
        // Rows of 16 planes, some of them left out: more streams than the hardware follows.
        if (i + 2 < g.oh)
          for (int64_t q = 0; q < count * g.sw; q += 16) __builtin_prefetch(from + 2 * g.sh * g.w + q, 0, 2);
        if (g.sw == 2) wgrad_rows::every_other(from, seen + c * most, count);
        else
          for (int64_t q = 0; q < count; q++) seen[c * most + q] = from[q * g.sw];
      }
      transpose_all(seen, most, n, count, to, panel_columns);
      to += count * panel_columns;
    }
}

inline Status run(const Call& call, const conv::Geometry& whole) {
  const conv::Geometry g = conv_grad::as_points(whole);
  const TensorView &dy = call.in[0], &x = call.in[1], &dw = call.out[0];
  const conv_grad::PointsLayout l = conv_grad::points_layout(g);
  char* const work = static_cast<char*>(call.work);
  float* const seen = reinterpret_cast<float*>(work + l.x);
  const int64_t panel = g.pixels * panel_columns, image = g.groups * l.panels * panel, flops = 2 * g.n * g.o * g.pixels * g.k;
  const int64_t out_tiles = even_tiles(g.og, g.groups), units = g.groups * out_tiles;

  for (int64_t first = 0; first < g.n; first += l.images) {
    const int64_t images = conv::at_most(l.images, g.n - first);
    parallel(call, images * g.groups * l.panels, flops / 8, [&](int64_t unit) {
      const int64_t c = unit % l.panels * panel_columns, group = unit / l.panels % g.groups, i = unit / l.panels / g.groups;
      const int64_t channels = conv::at_most(panel_columns, g.cg - c);
      const float* const from = x.as<float>() + (first + i) * whole.c * whole.h * whole.w;
      if (whole.r * whole.s > 1) return windows::gather_panel(whole, from, c, channels, 0, g.pixels, seen + unit * panel);
      turn_panel(g, from + (group * g.cg + c) * g.h * g.w, channels, seen + unit * panel);
    });
    parallel(call, l.parts, flops, [&](int64_t part) {
      float* const rows = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
        const int64_t group = unit / out_tiles, o = tile_start(g.og, out_tiles, unit % out_tiles), outs = tile_start(g.og, out_tiles, unit % out_tiles + 1) - o;
        float* const to = dw.as<float>() + (group * g.og + o) * g.cg;
        bool add = first > 0;
        for (int64_t i = 0; i < images; i++)
          for (int64_t p = 0; p < g.pixels; p += l.block, add = true) {
            // Rows of dy side by side: where they lie they may share their L1 sets, and each has a page of its own.
            const int64_t depth = conv::at_most(l.block, g.pixels - p);
            for (int64_t q = 0; q < outs; q++) {
              const float* from = dy.as<float>() + ((first + i) * g.o + group * g.og + o + q) * g.pixels + p;
              int64_t j = 0;
              for (; j + lanes <= depth; j += lanes) store(rows + q * l.row + j, load(from + j));
              if (j < depth) store(rows + q * l.row + j, load(from + j, int(depth - j)), int(depth - j));
            }
            const float* const b = seen + i * image + group * l.panels * panel + p * panel_columns;
            for (int64_t c = 0; c < g.cg; c += tile_columns) {
              for (int64_t q = 0; q < outs; q++)
                for (int64_t j = 0; j < tile_columns; j += 16) __builtin_prefetch(to + q * g.cg + c + j, 1, 2);
              const int columns = int(conv::at_most(tile_columns, g.cg - c));
              const float* const seen_here = b + c / panel_columns * panel + c % panel_columns;
              f32_tile(int(outs), {depth, rows, l.row, seen_here, panel_columns, panel, to + c, g.cg, columns, add ? to + c : nullptr}, {});
            }
          }
      }
    });
  }
  return {};
}

}  // namespace wgrad_points
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
