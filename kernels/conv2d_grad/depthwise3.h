// Both gradients of 3x3 with one channel a group at strides of 1 and 2: what a row of pixels meets is loaded once for the three rows of taps. Unaligned
// loads, two cycles each where they cross a line, are otherwise what a depthwise gradient waits for.
#pragma once
#include "conv2d_grad/layout.h"
#include "lanes.h"

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

// Rows 2 first .. of dx, two for each of dy's rows first .. last - 1: of four neighbours, one sees one tap, two see two and one sees four. dy is read where
// it lies: zeros stand for what is beyond its columns, rows that are not there are left out.
inline void dgrad_strided(const conv::Geometry& g, const float* dy, const float* w, float bias, float* dx, int64_t first, int64_t last) {
  vf tap[9];
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) tap[k] = splat(w[k]);
  const vf b = splat(bias);
  for (int64_t j = 0; 2 * j < g.w; j += lanes) {
    const int here = int(conv::at_least(conv::at_most(lanes, g.ow - j), 0)), right = int(conv::at_least(conv::at_most(lanes, g.ow - j - 1), 0));
    const int low = int(conv::at_most(lanes, g.w - 2 * j)), high = int(conv::at_most(lanes, g.w - 2 * j - lanes));
    const auto read = [](const float* p, int n) __attribute__((always_inline)) { return n == lanes ? load(p) : n > 0 ? load(p, n)
                                                                                                                     : vf{}; };
    const auto write = [low, high](vf even, vf odd, float* p) __attribute__((always_inline)) {
      if (high == lanes) return store(p, zip_low(even, odd)), store(p + lanes, zip_high(even, odd));
      store(p, zip_low(even, odd), low);
      if (high > 0) store(p + lanes, zip_high(even, odd), high);
    };
    const float* from = dy + first * g.ow + j;
    vf d = {}, e = {};        // dy at (k, j) and (k, j + 1)
    if (first < g.oh) d = read(from, here), e = read(from + 1, right);
    float* to = dx + 2 * first * g.w + 2 * j;
    for (int64_t k = first; k < last; k++, to += 2 * g.w) {
      write(fma(tap[4], d, b), fma(tap[3], e, fma(tap[5], d, b)), to);
      vf even = fma(tap[7], d, b), odd = fma(tap[6], e, fma(tap[8], d, b));
      from += g.ow;
      d = vf{}, e = vf{};
      if (k + 1 < g.oh) {
        d = read(from, here), e = read(from + 1, right);
        even = fma(tap[1], d, even), odd = fma(tap[0], e, fma(tap[2], d, odd));
      }
      if (2 * k + 1 < g.h) write(even, odd, to + g.w);
    }
  }
}

#if defined(__AVX512F__)
// dw at that stride, x where it lies too: rows first .. last - 1 of dy; sums[tap][lane]. Borders and ends of rows are masks of loads, the same for all
// rows; lanes without an output are zeros in both operands, so that no infinity of x that it has not seen becomes a NaN.
inline void wgrad_strided(const conv::Geometry& g, const float* dy, const float* x, int64_t first, int64_t last, float* sums, bool add) {
  __m512 acc[9];
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) acc[k] = add ? _mm512_loadu_ps(sums + k * lanes) : _mm512_setzero_ps();
  const auto within = [&g](int64_t at) {        // lanes of x[at .. at + 15] that are columns of x
    const int64_t low = conv::at_most(conv::at_least(-at, 0), 16), high = conv::at_most(conv::at_least(g.w - at, 0), 16);
    return __mmask16(((1u << high) - 1) & ~((1u << low) - 1));
  };
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  for (int64_t j = 0; j < g.ow; j += lanes) {
    const int64_t at = 2 * j - 1;
    const __mmask16 real = __mmask16((1u << conv::at_most(g.ow - j, 16)) - 1);
    const __mmask16 m0 = within(at), m1 = within(at + 16), m2 = within(at + 2), m3 = within(at + 18);
    const auto look = [=](const float* row, __m512* seen) __attribute__((always_inline)) {
      const __m512 a = _mm512_maskz_loadu_ps(m0, row), b = _mm512_maskz_loadu_ps(m1, row + 16);
      seen[0] = _mm512_maskz_permutex2var_ps(real, a, even, b), seen[1] = _mm512_maskz_permutex2var_ps(real, a, odd, b);
      seen[2] = _mm512_maskz_permutex2var_ps(real, _mm512_maskz_loadu_ps(m2, row + 2), even, _mm512_maskz_loadu_ps(m3, row + 18));
    };
    const float *d0 = dy + first * g.ow + j, *row = x + (2 * first - 1) * g.w + at;
    __m512 above[3] = {}, here[3];
    if (first > 0) look(row, above);
    for (int64_t k = first; k < last; k++, d0 += g.ow) {
      const __m512 d = _mm512_maskz_loadu_ps(real, d0);
#pragma GCC unroll 3
      for (int s = 0; s < 3; s++) acc[s] = _mm512_fmadd_ps(d, above[s], acc[s]);
      row += g.w;
      look(row, here);
#pragma GCC unroll 3
      for (int s = 0; s < 3; s++) acc[3 + s] = _mm512_fmadd_ps(d, here[s], acc[3 + s]);
      row += g.w;
      if (2 * k + 1 >= g.h) break;
      look(row, above);
#pragma GCC unroll 3
      for (int s = 0; s < 3; s++) acc[6 + s] = _mm512_fmadd_ps(d, above[s], acc[6 + s]);
    }
  }
#pragma GCC unroll 9
  for (int k = 0; k < 9; k++) _mm512_storeu_ps(sums + k * lanes, acc[k]);
}
constexpr bool strided_in_place = true;
#else
inline void wgrad_strided(const conv::Geometry&, const float*, const float*, int64_t, int64_t, float*, bool) {}
constexpr bool strided_in_place = false;
#endif

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
