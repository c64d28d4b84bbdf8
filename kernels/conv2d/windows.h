// Windows that lie side by side (geometry.h: windows_apart): their taps, channel by channel as weights lie, in runs of a window's rows.
#pragma once
#include "conv2d/geometry.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace windows {

constexpr int most_taps = 32;

// Pieces of taps k .. k + count - 1 (at most 32) that lie side by side in the image: `at` from a window's first element.
struct Runs {
  int count = 0;
  struct {
    int64_t at;
    int first, length;
  } run[most_taps];
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

// 16 taps from k on (n real) of windows p .. p + count - 1: to[window * 16 + tap].
inline void gather_panel(const conv::Geometry& g, const float* x, int64_t k, int64_t n, int64_t p, int64_t count, float* to) {
  if (n < panel_columns) std::memset(to, 0, size_t(count * panel_columns) * sizeof(float));
  const Runs runs(g, k, n);
  each_row(g, p, count, [&](int64_t i, int64_t row, int64_t at) {
    for (int r = 0; r < runs.count; r++)
      move_runs(x + at + runs.run[r].at, g.sw, to + i * panel_columns + runs.run[r].first, panel_columns, row, runs.run[r].length);
  });
}

}  // namespace windows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
