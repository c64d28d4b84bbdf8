// Windows that lie side by side (patches of an image, stems of 4x4 at a stride of 4): taps are channels of a 1x1 convolution over the windows, in the order
// in which weights lie. dx is one product, dy^T w, whose operands are read where they are; its tiles are laid into the image in runs of a window's rows.
#pragma once
#include "conv2d/windows.h"
#include "conv2d_grad/layout.h"
#include "conv2d_grad/outer_tile.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace apart {

// What no window covers, at the lower and right borders.
inline void fill_rest(const Call& call, const conv::Geometry& g, const float* bias, float* dx) {
  const int64_t h = g.oh * g.sh, w = g.ow * g.sw;
  if (h == g.h && w == g.w) return;
  parallel(call, g.n * g.c, 4 * g.n * g.c * (g.h * g.w - h * w), [&](int64_t plane) {
    float* const to = dx + plane * g.h * g.w;
    const float value = bias ? bias[plane % g.c] : 0.0f;
    for (int64_t i = 0; i < g.h; i++)
      for (int64_t j = i < h ? w : 0; j < g.w; j++) to[i * g.w + j] = value;
  });
}

inline Status dgrad(const Call& call, const conv::Geometry& g, const float* dy, const float* w, const float* bias, float* dx) {
  const conv_grad::ApartLayout l = conv_grad::apart_layout(g);
  constexpr int64_t width = conv_grad::panel_width;
  const int64_t blocks = conv::divide_up(g.k, width), units = blocks * g.n * l.bands, tiles_in_all = tiles_of(g.pixels);
  fill_rest(call, g, bias, dx);
  parallel(call, l.parts, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    float* const weights = reinterpret_cast<float*>(static_cast<char*>(call.work) + part * l.slice);
    float* const sums = reinterpret_cast<float*>(static_cast<char*>(call.work) + part * l.slice + l.sums);
    int64_t copied = -1;
    for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
      const int64_t block = unit / l.bands / g.n, image = unit / l.bands % g.n, band = unit % l.bands, k = block * width;
      const int64_t taps = conv::at_most(width, g.k - k);
      if (block != copied) {
        if (taps < width) std::memset(weights, 0, size_t(g.o * width) * sizeof(float));
        for (int64_t o = 0; o < g.o; o++) std::memcpy(weights + o * width, w + o * g.k + k, size_t(taps) * sizeof(float));
        copied = block;
      }
      const windows::Runs runs(g, k, taps);
      float* const to = dx + image * g.c * g.h * g.w;
      for (int64_t tile = band * tiles_in_all / l.bands; tile < (band + 1) * tiles_in_all / l.bands; tile++) {
        const int64_t p = tile_start(g.pixels, tiles_in_all, tile), n = tile_start(g.pixels, tiles_in_all, tile + 1) - p;
        if (bias)
          for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < width; j++) sums[i * width + j] = j < taps ? bias[(k + j) / (g.r * g.s)] : 0.0f;
        const float* const from = dy + image * g.o * g.pixels + p;
        for (int64_t j = 0; j < taps; j += tile_columns)
          outer_tile(n, taps - j, {1, g.o, from, g.pixels, 0, weights + j, width, 0, sums + j, width, bias != nullptr});
        windows::each_row(g, p, n, [&](int64_t i, int64_t row, int64_t at) {
          for (int r = 0; r < runs.count; r++)
            windows::move_runs(sums + i * width + runs.run[r].first, width, to + at + runs.run[r].at, g.sw, row, runs.run[r].length);
        });
      }
    }
  });
  return {};
}

}  // namespace apart
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
