// What both gradients of 3x3 at a stride of 2 share: the phases of conv2d_nhwc/transforms.h (Strided5), 81 products for 144. By transposition
//   dw of phase (a, b) = G^T (sum over tiles of (A dy A^T) * (B^T d B)) G,  d what a tile of dy sees of x in that phase
// With a border of one, pixels 2i and 2i + 1 of dx see dy[i], and dy[i] and dy[i + 1]: 8x8 pixels of dx are four phases of 4x4 from 5x5 numbers of dy,
//   dx of phase (a, b) = A^T (sum over outputs of (G w' G^T) * (B^T d B)) A,  w' the phase's taps in the order of the numbers that they meet.
// 64 images, one thread, before and now: 32 to 64 channels, 32x32: dx 8.94 and 5.15 ms, dw 7.52 and 5.66; 64 to 128, 16x16: dx 6.91 and 4.25, dw 7.89 and 4.87.
// At the peak the products alone are 2.9 ms each: what is left are the transforms, and the images that are turned to channels last and back.
#pragma once
#include "conv2d_grad/layout.h"
#include "conv2d_grad/turn.h"
#include "conv2d_nhwc/transforms.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace strided_grad {

using conv_grad::WinogradLayout;
using T = Strided5;
constexpr int S = T::size, M = T::m, R = T::reach, points = S * S, planes = T::rows;
constexpr float scale_a = float(1 / (2 * T::a * (T::a * T::a - T::b * T::b))), scale_b = float(1 / (2 * T::b * (T::b * T::b - T::a * T::a)));

// Plane of row i and column j of a tile's products: points of even pixels, then of odd ones.
constexpr int plane_of(int i, int j) { return T::before(i % S * S + j % S) + T::phase(i, j); }

// A d: four numbers to the five points.
ACCELNN_INLINE void evaluate(const vf* d, int step, vf* o, int to) {
  const vf d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
  const vf p = fma(splat(T::a2), d2, d0), r = fma(splat(T::a3), d3, T::a1 * d1), u = fma(splat(T::b2), d2, d0), v = fma(splat(T::b3), d3, T::b1 * d1);
  o[0] = p + r, o[to] = p - r, o[2 * to] = u + v, o[3 * to] = u - v, o[4 * to] = d3;
}

// G w, nine numbers: two taps of the even pixels at five points, one of the odd at four.
ACCELNN_INLINE void weights(vf g0, vf g1, vf odd, vf* o, int to) {
  const vf a0 = scale_a * g0, a1 = (scale_a * T::a1) * g1, b0 = scale_b * g0, b1 = (scale_b * T::b1) * g1;
  o[0] = a1 + a0, o[to] = a1 - a0, o[2 * to] = b1 + b0, o[3 * to] = b1 - b0, o[4 * to] = g1;
  o[5 * to] = scale_a * odd, o[6 * to] = -scale_a * odd, o[7 * to] = scale_b * odd, o[8 * to] = -scale_b * odd;
}
// Its transpose: nine numbers to three taps.
ACCELNN_INLINE void taps(const vf* q, int step, vf* o, int to) {
  const vf p = q[0] + q[step], r = q[0] - q[step], u = q[2 * step] + q[3 * step], v = q[2 * step] - q[3 * step];
  o[0] = fma(splat(scale_a), r, scale_b * v);
  o[to] = fma(splat(scale_a), q[5 * step] - q[6 * step], scale_b * (q[7 * step] - q[8 * step]));
  o[2 * to] = fma(splat(scale_a * T::a1), p, fma(splat(scale_b * T::b1), u, q[4 * step]));
}

}  // namespace strided_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
