// conv2d (NCHW) of windows that lie side by side: as many of them as fit L2 are turned into panels of the product by rows of windows and squares of whole
// vectors (conv2d's columns gather tap by tap, 16 numbers here and there), and lines of y, as many pages as outputs, are fetched before they are written.
// 3 to 96 channels, 4x4, 8 images of 224x224: 5.4 ms by columns, 4.0 so; 16x16 to 768, one image, two threads: 1.86 with windows divided among them, 1.37 with
// outputs, whose weights each reads alone; one thread 2.7 before the next weights were called for, 2.4 since.
#pragma once
#include "conv2d/conv2d.h"
#include "conv2d/windows.h"
#include "conv2d_nhwc/conv2d_nhwc.h"
#include "copy/turn.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Windows p .. p + n - 1 of one image: to[window / 16][tap][16].
inline void pack_windows(const conv::Geometry& g, const float* x, int64_t p, int64_t n, float* to) {
  float square[panel_columns * panel_columns] = {};
  for (int64_t first = 0; first < n; first += panel_columns, to += g.k * panel_columns)
    for (int64_t k = 0; k < g.k; k += panel_columns) {
      const int64_t taps = conv::at_most(panel_columns, g.k - k);
      windows::gather_panel(g, x, k, taps, p + first, conv::at_most(panel_columns, n - first), square);
      turn_band<false>(to + k * panel_columns, panel_columns, square, panel_columns, taps, panel_columns);
    }
}

inline Status conv2d_apart(const Call& call, const conv::Geometry& g, const conv::Detour& d) {
  const TensorView &bias = call.in[2], &residual = call.in[3];
  const float *const x = call.in[0].as<float>(), *const w = call.in[1].as<float>();
  const int how = int(call.integer(conv2d_attr::activation));
  // Threads without an image share its outputs, so that each reads its own weights only; every share turns the windows again, which changes no bit.
  const int64_t flops = 2 * g.n * g.o * g.pixels * g.k, threads = call.pool && flops >= worth_waking ? call.pool->threads() : 1;
  const bool few = g.n > 0 && g.n * d.chunks < 2 * threads;
  const int64_t cuts = few ? conv::at_most(conv::divide_up(threads, g.n), conv::divide_up(g.o, 4 * tile_rows)) : 1;
  const int64_t units = g.n * cuts * d.chunks, parts = conv::at_most(units, conv::most_parts), across = conv::divide_up(g.pixels, 32);
  parallel(call, parts, flops, [&](int64_t part) {
    float* const panels = reinterpret_cast<float*>(static_cast<char*>(call.work) + part * d.slice);
    for (int64_t unit = part * units / parts; unit < (part + 1) * units / parts; unit++) {
      const int64_t chunk = unit % d.chunks, cut = unit / d.chunks % cuts, image = unit / d.chunks / cuts, p = chunk * across / d.chunks * 32;
      const int64_t n = conv::at_most((chunk + 1) * across / d.chunks * 32, g.pixels) - p;
      const int64_t from = cut * g.o / cuts, outputs = (cut + 1) * g.o / cuts - from, tiles = tiles_of(outputs);
      pack_windows(g, x + image * g.c * g.h * g.w, p, n, panels);
      for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t o = from + tile_start(outputs, tiles, tile), rows = from + tile_start(outputs, tiles, tile + 1) - o;
        const int64_t first = (image * g.o + o) * g.pixels + p;
        float* const to = call.out[0].as<float>() + first;
        const float* const add = residual.absent() ? nullptr : residual.as<float>() + first;
        const int64_t share = conv::divide_up(rows * g.k, conv::divide_up(n, tile_columns));
        for (int64_t q = 0; q < n; q += tile_columns) {
          for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < tile_columns; j += 16) __builtin_prefetch(to + i * g.pixels + q + j, 1, 2);
          // The next tile's weights, as many short rows as outputs: nobody else fetches them in time.
          const float* const next = w + (o + rows) * g.k + q / tile_columns * share;
          for (int64_t i = 0; i < share; i += 16) __builtin_prefetch(next + i, 0, 2);
          f32_tile(int(rows),
                   {g.k, w + o * g.k, g.k, panels + q / panel_columns * panel_columns * g.k + q % panel_columns, panel_columns, panel_columns * g.k, to + q,
                    g.pixels, int(conv::at_most(tile_columns, n - q)), add ? add + q : nullptr},
                   {bias.absent() ? nullptr : bias.as<float>() + o, nullptr, how});
        }
      }
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
