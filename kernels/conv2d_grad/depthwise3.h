// Both gradients of 3x3 with one channel a group at stride 1: what a row of pixels meets is loaded once for the three rows of taps. Unaligned loads, two
// cycles each where they cross a line, are otherwise what a depthwise gradient waits for.
#pragma once
#include "conv2d_grad/layout.h"
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace depthwise3 {

inline bool fits(const conv::Geometry& g) {
  return g.cg == 1 && g.r == 3 && g.s == 3 && g.sh == 1 && g.sw == 1 && g.dh == 1 && g.dw == 1 && g.top <= 2 && g.left <= 2;
}

// Four rows by C vectors of dx. Pixel (0, 0) of the tile looks at planes[o * plane + 0 .. 2 * pitch + 2]; `height` rows and `width` columns are written.
#if defined(__AVX512F__) || defined(ACCELNN_NEON)
constexpr int vectors = 2;
#else
constexpr int vectors = 1;
#endif
constexpr int rows = 4;
template <int C>
void dgrad_tile(const float* planes, int64_t outs, int64_t plane, int64_t pitch, const float* w, float bias, float* dx, int64_t dx_row, int64_t height,
                int64_t width) {
  vf acc[rows][C];
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int c = 0; c < C; c++) acc[i][c] = splat(bias);
  for (int64_t o = 0; o < outs; o++, planes += plane, w += 9) {
    vf tap[9];
#pragma GCC unroll 9
    for (int k = 0; k < 9; k++) tap[k] = splat(w[8 - k]);
    const float* row = planes;
#pragma GCC unroll 6
    for (int q = 0; q < rows + 2; q++) {
      // g++ would work out all 36 addresses ahead and park them in vector registers.
      asm("" : "+r"(row));
#pragma GCC unroll 3
      for (int s = 0; s < 3; s++) {
        vf x[C];
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) x[c] = load(row + s + c * lanes);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
          if (q - i >= 0 && q - i < 3)
#pragma GCC unroll 2
            for (int c = 0; c < C; c++) acc[i][c] = fma(tap[(q - i) * 3 + s], x[c], acc[i][c]);
      }
      row += pitch;
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int c = 0; c < C; c++)
      if (i < height && width > c * lanes) store(dx + i * dx_row + c * lanes, acc[i][c], int(conv::at_most(lanes, width - c * lanes)));
}

// Rows of dy against rows of x, of which there are two more: sums[tap][lane].
inline void wgrad(const float* dy, int64_t count, int64_t columns, const float* x, int64_t x_row, float* sums, bool add) {
  vf acc[9];
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) acc[k] = add ? load(sums + k * lanes) : vf{};
  for (int64_t j = 0; j < columns; j += lanes) {
    const int n = int(conv::at_most(lanes, columns - j));
    vf above = {}, two_above = {};
    for (int64_t q = 0; q < count + 2; q++) {
      vf seen[3];
#pragma GCC unroll 3
      for (int s = 0; s < 3; s++) seen[s] = n == lanes ? load(x + q * x_row + j + s) : load(x + q * x_row + j + s, n);
      vf d = {};
      // Rows of dy that are not there are left out: zeros would make NaN of an infinity in x.
      if (q < count) {
        d = n == lanes ? load(dy + q * columns + j) : load(dy + q * columns + j, n);
#pragma GCC unroll 3
        for (int s = 0; s < 3; s++) acc[s] = fma(d, seen[s], acc[s]);
      }
      if (q >= 1 && q <= count)
#pragma GCC unroll 3
        for (int s = 0; s < 3; s++) acc[3 + s] = fma(above, seen[s], acc[3 + s]);
      if (q >= 2)
#pragma GCC unroll 3
        for (int s = 0; s < 3; s++) acc[6 + s] = fma(two_above, seen[s], acc[6 + s]);
      two_above = above;
      above = d;
    }
  }
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) store(sums + k * lanes, acc[k]);
}

}  // namespace depthwise3
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
