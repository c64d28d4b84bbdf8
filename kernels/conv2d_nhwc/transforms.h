// The one-dimensional transforms of Winograd's F(2,3), F(4,3), F(3,4), F(2,5) and F(4,2), on vectors of channels. `step`: elements between operands.
// Of a tile: `step` pixels from output to output, `reach` pixels seen along a side, packed rows a channel, and those of one point.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Points 0, 1, -1, infinity.
template <int M> struct Points4 {
  static constexpr int size = 4, m = M, stride = 1, reach = 4, rows = 16;
  static constexpr int depth(int) { return 1; }
  ACCELNN_INLINE static void in(const vf* d, int step, vf* o, int to) {
    const vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    o[0] = d2 - d0, o[to] = d1 + d2, o[2 * to] = d2 - d1, o[3 * to] = d3 - d1;
  }
  ACCELNN_INLINE static void out(const vf* q, int step, vf* o, int to) {
    const vf q1 = q[step], q2 = q[2 * step];
    o[0] = q[0] + (q1 + q2), o[to] = (q1 - q2) + q[3 * step];
  }
  template <class D> ACCELNN_INLINE static void weights(const D* g, D* u) {
    u[0] = -g[0], u[1] = (g[0] + g[1] + g[2]) / 2, u[2] = (g[0] - g[1] + g[2]) / 2, u[3] = g[2];
  }
};

// Points 0, +-2/3, +-3/2, infinity: the products of the outer and the inner ones are 1. F(4,3), F(3,4) and F(2,5) share them, and the way in.
template <int M> struct Points6 {
  static constexpr int size = 6, m = M, stride = 1, reach = 6, rows = 36;
  static constexpr int depth(int) { return 1; }
  static constexpr double a = 2.0 / 3, b = 1.5;
  static constexpr float a1 = float(a), b1 = float(b), a2 = float(a * a), b2 = float(b * b), a3 = float(a * a * a), b3 = float(b * b * b);
  static constexpr float both = float(a * a + b * b), ab2 = float(a * b * b), ba2 = float(b * a * a);      // a2 b2 = 1
  ACCELNN_INLINE static void in(const vf* d, int step, vf* o, int to) {
    const vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    o[0] = d0 + fma(d2, splat(-both), d4);
    const vf e = fma(d2, splat(-b2), d4), f = fma(d1, splat(-ab2), a1 * d3);
    o[to] = e + f, o[2 * to] = e - f;
    const vf h = fma(d2, splat(-a2), d4), i = fma(d1, splat(-ba2), b1 * d3);
    o[3 * to] = h + i, o[4 * to] = h - i;
    o[5 * to] = d1 + fma(d3, splat(-both), d5);
  }
  ACCELNN_INLINE static void out(const vf* q, int step, vf* o, int to) {
    const vf p = q[step] + q[2 * step], r = q[step] - q[2 * step], u = q[3 * step] + q[4 * step], v = q[3 * step] - q[4 * step];
    o[0] = q[0] + p + u;
    o[to] = M == 2 ? fma(splat(a1), r, fma(splat(b1), v, q[5 * step])) : fma(splat(b1), v, a1 * r);
    if constexpr (M == 3) {
      o[2 * to] = fma(splat(a2), p, fma(splat(b2), u, q[5 * step]));
    } else if constexpr (M == 4) {
      o[2 * to] = fma(splat(b2), u, a2 * p);
      o[3 * to] = fma(splat(a3), r, fma(splat(b3), v, q[5 * step]));
    }
  }
  // Of 7 - M taps.
  template <class D> ACCELNN_INLINE static void weights(const D* g, D* u) {
    constexpr int r = 7 - M;
    const double x[4] = {a, -a, b, -b};
    u[0] = g[0], u[5] = g[r - 1];
    for (int i = 0; i < 4; i++) {
      const double p = x[i], scale = 1 / (i < 2 ? 2 * a * a * (a * a - b * b) : 2 * b * b * (b * b - a * a));
      D sum = g[r - 1];
      for (int k = r - 2; k >= 0; k--) sum = sum * p + g[k];
      u[1 + i] = sum * scale;
    }
  }
};

// 3 taps at a stride of 2: even pixels meet two of them, F(4,2) at the points +-a, +-b, infinity; odd ones meet one, whose transform is zero at infinity:
// 9 products for 4 outputs, not 12, in both directions 81 for 144. Both phases are added up at the points: five ways back, not nine. The points and their
// powers are exact in binary; of those tried (0, +-1, 2; 0, +-1, 1/2; 0, +-2/3, 3/2; +-1, +-1/2; +-2/3, +-3/2; +-1/2, +-2) they err least: 1.7 times as much
// as a plain sum in order, the others 2.3 to 8.
struct Strided5 {
  static constexpr int size = 5, m = 4, stride = 2, reach = 9, rows = 81;
  static constexpr double a = 1.25, b = 0.5;
  static constexpr float a1 = float(a), b1 = float(b), a2 = float(a * a), b2 = float(b * b), a3 = float(a * a * a), b3 = float(b * b * b);
  static constexpr float both = float(a * a + b * b), ab2 = float(a * a * b * b);
  // Phases (row, column) that a point has products of.
  static constexpr int depth(int point) { return (point / 5 < 4 ? 2 : 1) * (point % 5 < 4 ? 2 : 1); }
  // Of all points before it.
  static constexpr int before(int point) { return point < 20 ? point / 5 * 18 + point % 5 * 4 : 72 + point % 5 * 2; }
  // Rows and columns of a tile's products: 0 to 4 points of even pixels, 5 to 8 of odd ones. Which of its point's phases that is.
  static constexpr int phase(int i, int j) { return i / 5 * (j % 5 < 4 ? 2 : 1) + j / 5; }
  // Odd pixels: four to the finite points.
  ACCELNN_INLINE static void in_odd(const vf* d, int step, vf* o, int to) {
    const vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    const vf e = fma(d1, splat(-b2), d3), f = a1 * fma(d0, splat(-b2), d2);
    o[0] = e + f, o[to] = e - f;
    const vf h = fma(d1, splat(-a2), d3), i = b1 * fma(d0, splat(-a2), d2);
    o[2 * to] = h + i, o[3 * to] = h - i;
  }
  // Even pixels: five to the five points.
  ACCELNN_INLINE static void in(const vf* d, int step, vf* o, int to) {
    in_odd(d, step, o, to);
    o[4 * to] = fma(d[2 * step], splat(-both), fma(d[0], splat(ab2), d[4 * step]));
  }
  ACCELNN_INLINE static void out(const vf* q, int step, vf* o, int to) {
    const vf p = q[0] + q[step], r = q[0] - q[step], u = q[2 * step] + q[3 * step], v = q[2 * step] - q[3 * step];
    o[0] = p + u;
    o[to] = fma(splat(b1), v, a1 * r);
    o[2 * to] = fma(splat(b2), u, a2 * p);
    o[3 * to] = fma(splat(a3), r, fma(splat(b3), v, q[4 * step]));
  }
  // Of two taps; of one, g1 is 0.
  template <class D> ACCELNN_INLINE static void weights(const D* g, D* u) {
    constexpr double sa = 1 / (2 * a * (a * a - b * b)), sb = 1 / (2 * b * (b * b - a * a));
    u[0] = (g[0] + g[1] * a) * sa, u[1] = (g[1] * a - g[0]) * sa;
    u[2] = (g[0] + g[1] * b) * sb, u[3] = (g[1] * b - g[0]) * sb;
    u[4] = g[1];
  }
};

// What a tile at a stride of 2 sees, one vector of channels: `pixel` loads one of the 9x9. The phases of point p follow each other at p * plane,
// `channels` apart.
template <class Pixel> void transform_phases(const Pixel& pixel, int64_t channels, float* to, int64_t plane) {
  using T = Strided5;
  constexpr int S = T::size, R = T::reach;
  vf e[R * R];                          // points of even rows, points of odd ones; columns of pixels
#pragma GCC unroll 9
  for (int j = 0; j < R; j++) {
    vf d[R];
#pragma GCC unroll 9
    for (int i = 0; i < R; i++) d[i] = pixel(i * R + j);
    T::in(d, 2, e + j, R);
    T::in_odd(d + 1, 2, e + S * R + j, R);
  }
#pragma GCC unroll 9
  for (int i = 0; i < R; i++) {
    vf q[R];
    T::in(e + i * R, 2, q, 1);
    T::in_odd(e + i * R + 1, 2, q + S, 1);
#pragma GCC unroll 9
    for (int j = 0; j < R; j++) {
      const int row = i % S, column = j % S;
      store(to + (row * S + column) * plane + T::phase(i, j) * channels, q[j]);
    }
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
