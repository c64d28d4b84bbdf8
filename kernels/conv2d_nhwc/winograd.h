// conv2d_nhwc by Winograd: what a tile sees is transformed, a product a point runs over the channels, what comes out is transformed back, all for a block
// of tiles while it is in L2. A tile may lie anywhere over the edge of the image: what is outside reads zeros, what is too much is not written.
#pragma once
#include "conv2d_nhwc/conv2d_nhwc.h"
#include "conv2d_nhwc/direct.h"
#include "conv2d_nhwc/transforms.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Bias, residual and activation of one vector of outputs, n of them real.
struct Finish {
  const float *bias, *residual;         // null, or those of output 0
  int activation;
};
inline __attribute__((noinline)) vf activate_slowly(vf v, int how) { return activate(v, how); }
ACCELNN_INLINE void finish_vector(const Finish& f, vf v, float* y, int64_t at, int64_t o, int n) {
  if (f.residual) v += n == lanes ? load(f.residual + at) : load(f.residual + at, n);
  if (f.bias) v += n == lanes ? load(f.bias + o) : load(f.bias + o, n);
  if (f.activation == activation::relu) v = max(v, vf{});
  else if (f.activation == activation::hardswish) v = v * hardsigmoid(v);
  else if (f.activation) v = activate_slowly(v, f.activation);
  if (n == lanes) store(y + at, v);
  else store(y + at, v, n);
}

// One vector of channels of a tile, n of them real: element p of point p at p * plane.
template <class T> ACCELNN_INLINE void transform_vector(const float* const* pixel, int64_t c, int n, float* to, int64_t plane) {
  constexpr int S = T::size;
  vf e[S * S];
#pragma GCC unroll 6
  for (int j = 0; j < S; j++) {
    vf d[S];
#pragma GCC unroll 6
    for (int i = 0; i < S; i++) d[i] = n == lanes ? load(pixel[i * S + j] + c) : load(pixel[i * S + j] + c, n);
    T::in(d, 1, e + j, S);
  }
#pragma GCC unroll 6
  for (int i = 0; i < S; i++) {
    vf q[S];
    T::in(e + i * S, 1, q, 1);
#pragma GCC unroll 6
    for (int j = 0; j < S; j++) store(to + (i * S + j) * plane, q[j]);
  }
}
// pixel[i]: channels of pixel i of the tile (row by row). to: element c of point p at p * plane + c; whole vectors are written.
template <class T> void transform_tile(const float* const* pixel, int64_t channels, float* to, int64_t plane) {
  if constexpr (T::stride == 2)
    for (int64_t c = 0; c < channels; c += lanes)
      transform_phases([=](int i) __attribute__((always_inline)) { return load(pixel[i] + c); }, channels, to + c, plane);
  else
    for (int64_t c = 0; c < channels; c += lanes) transform_vector<T>(pixel, c, int(conv::at_most(lanes, channels - c)), to + c, plane);
}

// The products of one point: c[i] = a[i] b for R tiles, V vectors of outputs. f32_tile of matmul/gemm.h without what only a matrix product needs: of 12
// channels (a folded first layer) that is a third of the time.
// Groups of 16 (512 channels, 14x14: 165 us, 1.7 times the best peer) and of 32 (1024, 7x7: 147 us, 1.85): products 81 us at the peak, of four tiles the
// weights come from L3. More rows and weights asked for from farther ahead gained 2 and 1 %.
// Few rows leave no time to wait for the weights: they are asked for from farther ahead.
template <int R, int V> void point_tile(int64_t k, const float* a, int64_t a_row, const float* b, int64_t b_panel, float* c) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) acc[i][j] = vf{};
  constexpr int ahead = R >= prefetch_rows ? 8 : 32;
  const float *a5 = a + 5 * a_row, *a10 = a + 10 * a_row, *a15 = a + 15 * a_row;
  for (; k > 0; k--, a++, a5++, a10++, a15++, b += panel_columns) {
    vf bv[V];
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
      const float* const p = b + j / vectors_per_panel * b_panel + j % vectors_per_panel * lanes;
      bv[j] = load(p);
      if (j * lanes % 16 == 0) __builtin_prefetch(p + ahead * panel_columns);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const vf x = splat((i < 5 ? a : i < 10 ? a5
                              : i < 15       ? a10
                                             : a15)[i % 5 * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) acc[i][j] = fma(x, bv[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) store(c + i * tile_columns + j * lanes, acc[i][j]);
}
using PointTile = void (*)(int64_t, const float*, int64_t, const float*, int64_t, float*);
// One vector of outputs leaves room for more rows: 16 tiles (14x14) at once read their weights once.
template <int V> constexpr int point_rows = lanes == 16 && V == 1 ? 16 : tile_rows;
template <int V> struct PointTiles {
  PointTile height[point_rows<V> + 1];
  constexpr PointTiles() : height{} { fill<point_rows<V>>(); }
  template <int R> constexpr void fill() {
    height[R] = point_tile<R, V>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V> constexpr PointTiles<V> point_tiles;

template <class T> struct WinogradCall {
  static constexpr int S = T::size, M = T::m, P = S * S, R = T::reach;
  const conv::Geometry& g;
  const conv::Winograd& p;
  const float *x, *packed, *zeros;
  float* y;
  Finish finish;

  // Output row (column) where tile i begins.
  ACCELNN_INLINE static int64_t start(int64_t i, int64_t dilation) { return i / dilation * dilation * M + i % dilation; }
  // How many of its outputs lie below `end`.
  ACCELNN_INLINE static int inside(int64_t first, int64_t end, int64_t dilation) {
    return first >= end ? 0 : int(conv::at_most(M, (end - first - 1) / dilation + 1));
  }

  // The tile's inputs where they lie in x.
  ACCELNN_INLINE void transform(int64_t tile, int64_t channel, int64_t channels, float* to) const {
    const int64_t n = tile / (p.th * p.tw), top = T::stride * start(tile / p.tw % p.th, g.dh) - g.top;
    const int64_t left = T::stride * start(tile % p.tw, g.dw) - g.left;
    const float* const from = x + n * g.h * g.w * g.c + channel;
    const float* pixel[R * R];
    for (int i = 0; i < R; i++)
      for (int j = 0; j < R; j++) {
        const int64_t h = top + i * g.dh, w = left + j * g.dw;
        pixel[i * R + j] = h >= 0 && h < g.h && w >= 0 && w < g.w ? from + (h * g.w + w) * g.c : zeros;
      }
    transform_tile<T>(pixel, channels, to, p.plane);
  }

  // Outputs o0..o1 of one group (o0 a multiple of 16) of tiles first..first + count - 1, whose transforms are v.
  void columns(int64_t first, int64_t count, const float* v, int64_t o0, int64_t o1, float* products) const {
    const int64_t panel = T::rows * p.channels * panel_columns, end = conv::round_up(o1, panel_columns);
    for (int64_t o = o0; o < end; o += tile_columns) {
      const int width = int(conv::at_most(tile_columns, end - o));
      const bool wide = width == tile_columns;
      const PointTile* const height = wide ? point_tiles<tile_vectors>.height : point_tiles<1>.height;
      const int64_t tiles = tiles_of(count, wide ? point_rows<tile_vectors> : point_rows<1>);
      const float* b = packed + o / panel_columns * panel + o % panel_columns;
      for (int point = 0; point < P; point++) {
        const int64_t depth = T::depth(point) * p.channels;
        for (int64_t i = 0; i < tiles; i++) {                   // even blocks: 16 tiles are 8 + 8, not 14 + 2
          const int64_t t0 = tile_start(count, tiles, i), t1 = tile_start(count, tiles, i + 1);
          height[t1 - t0](depth, v + point * p.plane + t0 * p.row, p.row, b, panel, products + point * p.out_plane + t0 * tile_columns);
        }
        b += depth * panel_columns;
      }
      for (int64_t t = 0; t < count; t++) {
        const int64_t tile = first + t, n = tile / (p.th * p.tw), h = start(tile / p.tw % p.th, g.dh), w = start(tile % p.tw, g.dw);
        const int rows = inside(h, g.oh, g.dh), cols = inside(w, g.ow, g.dw);
        const int64_t at = ((n * g.oh + h) * g.ow + w) * g.o;
        for (int j = 0; j < width && o + j < o1; j += lanes) {
          const float* const from = products + t * tile_columns + j;
          // 36 streams are more than the hardware follows
          for (int q = 0; q < P; q++) __builtin_prefetch(from + q * p.out_plane + tile_columns);
          if (rows == M && cols == M && o + j + lanes <= g.o) back_whole(from, at + o + j, o + j);
          else back(from, at + o + j, o + j, rows, cols);
        }
      }
    }
  }

  ACCELNN_INLINE void across(const float* products, vf* e) const {
    const int64_t plane = p.out_plane;
#pragma GCC unroll 6
    for (int c = 0; c < S; c++) {
      vf q[S];
#pragma GCC unroll 6
      for (int r = 0; r < S; r++) q[r] = load(products + (r * S + c) * plane);
      T::out(q, 1, e + c, S);
    }
  }
  ACCELNN_INLINE void back_whole(const float* products, int64_t at, int64_t o) const {
    vf e[M * S];
    across(products, e);
    const int64_t down = g.dh * g.ow * g.o, right = g.dw * g.o;          // copies: the stores might overwrite what they are made of
    const Finish f = finish;
    float* const to = y;
#pragma GCC unroll 4
    for (int r = 0; r < M; r++) {
      vf q[M];
      T::out(e + r * S, 1, q, 1);
#pragma GCC unroll 4
      for (int c = 0; c < M; c++) finish_vector(f, q[c], to, at + r * down + c * right, o, lanes);
    }
  }
  // A tile that ends outside of the image, or channels that end inside the vector.
  __attribute__((noinline)) void back(const float* products, int64_t at, int64_t o, int rows, int cols) const {
    const int n = int(conv::at_most(lanes, g.o - o));
    vf e[M * S];
    across(products, e);
    for (int r = 0; r < rows; r++) {
      vf q[M];
      T::out(e + r * S, 1, q, 1);
      for (int c = 0; c < cols; c++) finish_vector(finish, q[c], y, at + (r * g.dh * g.ow + c * g.dw) * g.o, o, n);
    }
  }
};

template <int CG> Status conv2d_winograd_lanes(const Call& call, const conv::Geometry& g, const conv::Winograd& p, const WinogradCall<Points6<4>>& w);

template <class T>
Status conv2d_winograd(const Call& call, const conv::Geometry& g, int algorithm, const float* x, const float* packed, const float* bias, const float* residual,
                       float* y, int how, char* work) {
  const conv::Winograd p = conv::winograd_plan(g, algorithm);
  if (p.tiles == 0 || g.o == 0) return {};
  float* const zeros = reinterpret_cast<float*>(work + p.zeros);
  const WinogradCall<T> w = {g, p, x, packed, zeros, y, {bias, residual, how}};
  if constexpr (T::m == 4 && T::stride == 1)
    if (conv::in_lanes(g)) return g.cg == 4 ? conv2d_winograd_lanes<4>(call, g, p, w) : conv2d_winograd_lanes<8>(call, g, p, w);
  std::memset(zeros, 0, size_t(p.row) * 4);
  float* const all = reinterpret_cast<float*>(work + p.v);
  if (p.shared) parallel(call, p.tiles, nhwc_flops(g) / 32, [&](int64_t tile) { w.transform(tile, 0, g.c, all + tile * p.row); });
  parallel(call, p.parts, nhwc_flops(g) / 2, [&](int64_t part) {
    char* const slice = work + p.part + part * p.slice;
    float* const products = reinterpret_cast<float*>(slice + p.products);
    for (int64_t unit = part * p.units / p.parts; unit < (part + 1) * p.units / p.parts; unit++) {
      if (p.shared) {
        w.columns(0, p.tiles, all, unit * 32, conv::at_most(unit * 32 + 32, g.o), products);
        continue;
      }
      float* const v = reinterpret_cast<float*>(slice + p.v);
      const int64_t block = unit / p.chunks, first = tile_start(p.tiles, p.blocks, block), count = tile_start(p.tiles, p.blocks, block + 1) - first;
      const int64_t g0 = unit % p.chunks * p.chunk, g1 = conv::at_most(g0 + p.chunk, g.groups);
      for (int64_t t = 0; t < count; t++) w.transform(first + t, g0 * g.cg, (g1 - g0) * g.cg, v + t * p.row);
      for (int64_t group = g0; group < g1; group++) w.columns(first, count, v + (group - g0) * g.cg, group * g.og, (group + 1) * g.og, products);
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
