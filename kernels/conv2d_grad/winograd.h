// What both Winograd gradients share: F(4,3), y = A^T ((G w) * (B^T d)), points and way in of conv2d_nhwc/transforms.h. By transposition
//   dx:  the same with w turned by 180 degrees, d what a tile of dx sees of dy
//   dw = G^T (sum over tiles of (A dy) * (B^T d)),  d what a tile of dy sees of x
// Images are turned to channels last strip by strip: a strip is a row of tiles.
#pragma once
#include "conv2d_grad/layout.h"
#include "conv2d_grad/turn.h"
#include "conv2d_nhwc/transforms.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace winograd_grad {

using conv_grad::WinogradLayout;
constexpr int points = int(conv_grad::points), size = 6, m = 4;
using F43 = Points6<4>;
constexpr float a1 = F43::a1, a2 = F43::a2, a3 = F43::a3, b1 = F43::b1, b2 = F43::b2, b3 = F43::b3;
constexpr double scale_a = 2 * F43::a * F43::a * (F43::a * F43::a - F43::b * F43::b), scale_b = 2 * F43::b * F43::b * (F43::b * F43::b - F43::a * F43::a);

// A dy: four values to six.
ACCELNN_INLINE void spread_out(const vf* d, vf* o, int to) {
  const vf even = fma(splat(a2), d[2], d[0]), odd = fma(splat(a3), d[3], a1 * d[1]);
  const vf even_b = fma(splat(b2), d[2], d[0]), odd_b = fma(splat(b3), d[3], b1 * d[1]);
  o[0] = d[0], o[to] = even + odd, o[2 * to] = even - odd, o[3 * to] = even_b + odd_b, o[4 * to] = even_b - odd_b, o[5 * to] = d[3];
}
// G g: three values to six.
ACCELNN_INLINE void weights_in(const vf* g, int step, vf* u, int to) {
  constexpr float ka = float(1 / scale_a), kb = float(1 / scale_b);
  const vf g0 = g[0], g1 = g[step], g2 = g[2 * step];
  const vf even = fma(splat(a2), g2, g0), odd = a1 * g1, even_b = fma(splat(b2), g2, g0), odd_b = b1 * g1;
  u[0] = g0, u[to] = ka * (even + odd), u[2 * to] = ka * (even - odd), u[3 * to] = kb * (even_b + odd_b), u[4 * to] = kb * (even_b - odd_b), u[5 * to] = g2;
}
// G^T q: six values to three.
ACCELNN_INLINE void weights_back(const vf* q, int step, vf* g, int to) {
  constexpr float ka = float(1 / scale_a), kb = float(1 / scale_b);
  const vf s = ka * (q[step] + q[2 * step]), r = ka * (q[step] - q[2 * step]);
  const vf t = kb * (q[3 * step] + q[4 * step]), v = kb * (q[3 * step] - q[4 * step]);
  g[0] = q[0] + (s + t);
  g[to] = fma(splat(b1), v, a1 * r);
  g[2 * to] = fma(splat(b2), t, fma(splat(a2), s, q[5 * step]));
}

// The tiles of a strip. In: pixel (i, j) of tile t at from[(i * width + 4 t + j) * row + channel]. Out: to[point * plane + t * row + channel].
template <int S, class F>
void transform_strip(const float* from, int64_t width, int64_t row, int64_t channels, int64_t tiles, float* to, int64_t plane, const F& transform) {
  for (int64_t t = 0; t < tiles; t++, from += m * row, to += row)
    for (int64_t c = 0; c < channels; c += lanes) {
      const int n = int(conv::at_most(lanes, channels - c));
      vf e[size * S];         // [point][column]
#pragma GCC unroll 6
      for (int j = 0; j < S; j++) {
        vf d[S];
#pragma GCC unroll 6
        for (int i = 0; i < S; i++) d[i] = n == lanes ? load(from + (i * width + j) * row + c) : load(from + (i * width + j) * row + c, n);
        transform(d, e + j, S);
      }
#pragma GCC unroll 6
      for (int i = 0; i < size; i++) {
        vf q[size];
        transform(e + i * S, q, 1);
#pragma GCC unroll 6
        for (int j = 0; j < size; j++) store(to + (i * size + j) * plane + c, q[j]);
      }
    }
}
ACCELNN_INLINE void transform_seen(const float* from, int64_t width, int64_t row, int64_t channels, int64_t tiles, float* to, int64_t plane) {
  transform_strip<6>(from, width, row, channels, tiles, to, plane, [](const vf* d, vf* o, int step) __attribute__((always_inline)) { F43::in(d, 1, o, step); });
}
ACCELNN_INLINE void transform_out(const float* from, int64_t width, int64_t row, int64_t channels, int64_t tiles, float* to, int64_t plane) {
  transform_strip<4>(from, width, row, channels, tiles, to, plane, [](const vf* d, vf* o, int step) __attribute__((always_inline)) { spread_out(d, o, step); });
}

}  // namespace winograd_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
