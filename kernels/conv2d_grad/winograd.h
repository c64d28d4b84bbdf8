// What both Winograd gradients share: F(m, R), y = A^T ((G w G^T) * (B^T d B)) A, with the six points of conv2d_nhwc/transforms.h and its way in, B^T:
// m = 4 for R = 3 taps, m = 2 for R = 5. By transposition
//   dx:  the same with w turned by 180 degrees, d what a tile of dx sees of dy
//   dw = G^T (sum over tiles of (A dy A^T) * (B^T d B)) G,  d what a tile of dy sees of x
// With a dilation every d-th pixel is a convolution without one: the pixels of a tile lie d apart, d tiles are interleaved. A group is a convolution of its
// own. Images are turned to channels last strip by strip: a strip is a row of tiles.
#pragma once
#include "conv2d_grad/layout.h"
#include "conv2d_grad/turn.h"
#include "conv2d_nhwc/transforms.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace winograd_grad {

using conv_grad::WinogradLayout;
constexpr int points = int(conv_grad::points), size = 6;
using Six = Points6<4>;

// A and G hold the powers of the points +-a, +-b, in G divided by the products of their distances from the others; 0 and infinity take one end each.
constexpr float power_a[] = {1, Six::a1, Six::a2, Six::a3, float(Six::a * Six::a * Six::a * Six::a)};
constexpr float power_b[] = {1, Six::b1, Six::b2, Six::b3, float(Six::b * Six::b * Six::b * Six::b)};
constexpr float scale_a = float(1 / (2 * Six::a * Six::a * (Six::a * Six::a - Six::b * Six::b)));
constexpr float scale_b = float(1 / (2 * Six::b * Six::b * (Six::b * Six::b - Six::a * Six::a)));
enum Matrix { A,
              G };

// A d or G d: N numbers, the coefficients of a polynomial, become its values at the six points.
template <Matrix which, int N> ACCELNN_INLINE void evaluate(const vf* d, int step, vf* o, int to) {
  vf even_a = d[0], odd_a = power_a[1] * d[step], even_b = d[0], odd_b = power_b[1] * d[step];
#pragma GCC unroll 4
  for (int k = 2; k < N; k++) {
    vf &a = k % 2 ? odd_a : even_a, &b = k % 2 ? odd_b : even_b;
    a = fma(splat(power_a[k]), d[k * step], a), b = fma(splat(power_b[k]), d[k * step], b);
  }
  if (which == G) even_a *= scale_a, odd_a *= scale_a, even_b *= scale_b, odd_b *= scale_b;
  o[0] = d[0], o[to] = even_a + odd_a, o[2 * to] = even_a - odd_a, o[3 * to] = even_b + odd_b, o[4 * to] = even_b - odd_b, o[5 * to] = d[(N - 1) * step];
}
// A^T q or G^T q: six numbers to N.
template <Matrix which, int N> ACCELNN_INLINE void gather_points(const vf* q, int step, vf* o, int to) {
  vf even_a = q[step] + q[2 * step], odd_a = q[step] - q[2 * step], even_b = q[3 * step] + q[4 * step], odd_b = q[3 * step] - q[4 * step];
  if (which == G) even_a *= scale_a, odd_a *= scale_a, even_b *= scale_b, odd_b *= scale_b;
  o[0] = q[0] + (even_a + even_b);
#pragma GCC unroll 4
  for (int k = 1; k < N; k++) {
    const vf a = k % 2 ? odd_a : even_a, b = k % 2 ? odd_b : even_b;
    o[k * to] = fma(splat(power_b[k]), b, k == N - 1 ? fma(splat(power_a[k]), a, q[5 * step]) : power_a[k] * a);
  }
}

// Where tile t of a row begins.
template <int M> ACCELNN_INLINE int64_t tile_at(int64_t t, int64_t dilation) { return dilation == 1 ? t * M : t / dilation * M * dilation + t % dilation; }

// The pixels that the tiles of a strip are made of, channels last.
struct Strip {
  const float* pixels;
  int64_t width, row;         // pixels from row to row, elements from pixel to pixel
  int64_t tiles, dilation;
};
// S x S pixels of each tile to its 36 points: to[point * plane + tile * row + channel].
template <int S, int M, class F> void transform_strip(const Strip& s, int64_t channels, float* to, int64_t plane, const F& transform) {
  const int64_t down = s.width * s.row, right = s.dilation * s.row;
  for (int64_t t = 0; t < s.tiles; t++, to += s.row) {
    const float* const from = s.pixels + tile_at<M>(t, s.dilation) * s.row;
    for (int64_t c = 0; c < channels; c += lanes) {
      const int n = int(conv::at_most(lanes, channels - c));
      vf e[size * S];         // [point][column]
#pragma GCC unroll 6
      for (int j = 0; j < S; j++) {
        vf d[S];
#pragma GCC unroll 6
        for (int i = 0; i < S; i++) d[i] = n == lanes ? load(from + i * down + j * right + c) : load(from + i * down + j * right + c, n);
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
}
// B^T d B: what tiles of M x M see.
template <int M> ACCELNN_INLINE void transform_seen(const Strip& s, int64_t channels, float* to, int64_t plane) {
  transform_strip<size, M>(s, channels, to, plane, [](const vf* d, vf* o, int step) __attribute__((always_inline)) { Six::in(d, 1, o, step); });
}
// A d A^T: the tiles themselves.
template <int M> ACCELNN_INLINE void transform_tiles(const Strip& s, int64_t channels, float* to, int64_t plane) {
  transform_strip<M, M>(s, channels, to, plane, [](const vf* d, vf* o, int step) __attribute__((always_inline)) { evaluate<A, M>(d, 1, o, step); });
}

// f(call, group, workspace) for every group: one has all threads, many have one each.
template <class F> void each_group(const Call& call, const conv::Geometry& g, const WinogradLayout& l, const F& f) {
  char* const work = static_cast<char*>(call.work);
  if (g.groups == 1) return f(call, 0, work);
  parallel(call, l.shares, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    Call alone = call;
    alone.pool = nullptr;
    for (int64_t group = part * g.groups / l.shares; group < (part + 1) * g.groups / l.shares; group++) f(alone, group, work + part * l.share);
  });
}

}  // namespace winograd_grad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
