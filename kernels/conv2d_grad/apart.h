// Windows that lie side by side (patches of an image, stems of 4x4 at a stride of 4): taps are channels of a 1x1 convolution over the windows, in the order
// in which weights lie. dx is one product, dy^T w, whose operands are read where they are; its tiles are laid into the image in runs of a window's rows.
#pragma once
#include "conv2d_grad/layout.h"
#include "conv2d_grad/outer_tile.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace apart {

// Pieces of taps k .. k + count - 1 (at most 32) that lie side by side in the image: `at` from a window's first element.
struct Runs {
  int count = 0;
  struct {
    int64_t at;
    int first, length;
  } run[conv_grad::panel_width];
  Runs(const conv::Geometry& g, int64_t k, int64_t taps) {
    for (int64_t j = 0; j < taps; count++) {
      const int64_t column = (k + j) % g.s, row = (k + j) / g.s, length = conv::at_most(g.s - column, taps - j);
      run[count].at = (row / g.r * g.h + row % g.r) * g.w + column;
      run[count].first = int(j), run[count].length = int(length);
      j += length;
    }
  }
};

ACCELNN_INLINE int64_t window_at(const conv::Geometry& g, int64_t pixel) { return (pixel / g.ow * g.sh * g.w) + pixel % g.ow * g.sw; }

// One run of n windows in a row: both sides `length` floats, then so many to the next window.
template <int length> ACCELNN_INLINE void move_fixed(const float* from, int64_t from_step, float* to, int64_t to_step, int64_t n) {
  for (int64_t i = 0; i < n; i++) std::memcpy(to + i * to_step, from + i * from_step, length * sizeof(float));
}
inline void move_runs(const float* from, int64_t from_step, float* to, int64_t to_step, int64_t n, int length) {
  if (length == 16) return move_fixed<16>(from, from_step, to, to_step, n);
  if (length == 8) return move_fixed<8>(from, from_step, to, to_step, n);
  if (length == 4) return move_fixed<4>(from, from_step, to, to_step, n);
  for (int64_t i = 0; i < n; i++)
    for (int j = 0; j < length; j++) to[i * to_step + j] = from[i * from_step + j];
}

// visit(window, windows in its row from there, elements from the image's start) for windows p .. p + n - 1.
template <class F> ACCELNN_INLINE void each_row(const conv::Geometry& g, int64_t p, int64_t n, const F& visit) {
  for (int64_t i = 0; i < n;) {
    const int64_t row = conv::at_most(g.ow - (p + i) % g.ow, n - i);
    visit(i, row, window_at(g, p + i));
    i += row;
  }
}

// 16 taps from k on (n real) of every window: to[window * 16 + tap].
inline void gather_panel(const conv::Geometry& g, const float* x, int64_t k, int64_t n, float* to) {
  if (n < panel_columns) std::memset(to, 0, size_t(g.pixels * panel_columns) * sizeof(float));
  const Runs runs(g, k, n);
  each_row(g, 0, g.pixels, [&](int64_t i, int64_t row, int64_t at) {
    for (int r = 0; r < runs.count; r++)
      move_runs(x + at + runs.run[r].at, g.sw, to + i * panel_columns + runs.run[r].first, panel_columns, row, runs.run[r].length);
  });
}

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
      const Runs runs(g, k, taps);
      float* const to = dx + image * g.c * g.h * g.w;
      for (int64_t tile = band * tiles_in_all / l.bands; tile < (band + 1) * tiles_in_all / l.bands; tile++) {
        const int64_t p = tile_start(g.pixels, tiles_in_all, tile), n = tile_start(g.pixels, tiles_in_all, tile + 1) - p;
        if (bias)
          for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < width; j++) sums[i * width + j] = j < taps ? bias[(k + j) / (g.r * g.s)] : 0.0f;
        const float* const from = dy + image * g.o * g.pixels + p;
        for (int64_t j = 0; j < taps; j += tile_columns)
          outer_tile(n, taps - j, {1, g.o, from, g.pixels, 0, weights + j, width, 0, sums + j, width, bias != nullptr});
        each_row(g, p, n, [&](int64_t i, int64_t row, int64_t at) {
          for (int r = 0; r < runs.count; r++)
            move_runs(sums + i * width + runs.run[r].first, width, to + at + runs.run[r].at, g.sw, row, runs.run[r].length);
        });
      }
    }
  });
  return {};
}

}  // namespace apart
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
