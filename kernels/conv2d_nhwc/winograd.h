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
  else if (f.activation) v = activate_slowly(v, f.activation);
  if (n == lanes) store(y + at, v);
  else store(y + at, v, n);
}

// pixel[i]: channels of pixel i of the tile (row by row). to: element c of point p at p * plane + c; whole vectors are written.
template <class T> void transform_tile(const float* const* pixel, int64_t channels, float* to, int64_t plane) {
  constexpr int S = T::size;
  for (int64_t c = 0; c < channels; c += lanes) {
    const int n = int(conv::at_most(lanes, channels - c));
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
      for (int j = 0; j < S; j++) store(to + (i * S + j) * plane + c, q[j]);
    }
  }
}

template <class T> struct WinogradCall {
  static constexpr int S = T::size, M = T::m, P = S * S;
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
  ACCELNN_INLINE void transform(int64_t tile, float* to) const {
    const int64_t n = tile / (p.th * p.tw), top = start(tile / p.tw % p.th, g.dh) - g.top, left = start(tile % p.tw, g.dw) - g.left;
    const float* const from = x + n * g.h * g.w * g.c;
    const float* pixel[P];
    for (int i = 0; i < S; i++)
      for (int j = 0; j < S; j++) {
        const int64_t h = top + i * g.dh, w = left + j * g.dw;
        pixel[i * S + j] = h >= 0 && h < g.h && w >= 0 && w < g.w ? from + (h * g.w + w) * g.c : zeros;
      }
    transform_tile<T>(pixel, p.channels, to, p.plane);
  }

  // Output columns o0..o1 (o0 a multiple of 32) of tiles first..first + count - 1, whose transforms are v.
  void columns(int64_t first, int64_t count, const float* v, int64_t o0, int64_t o1, float* products) const {
    const int64_t panel = P * p.channels * panel_columns, tiles = tiles_of(count), end = conv::round_up(o1, panel_columns);
    for (int64_t o = o0; o < end; o += tile_columns) {
      const int width = int(conv::at_most(tile_columns, end - o));
      for (int point = 0; point < P; point++) {
        const float* const b = packed + o / panel_columns * panel + o % panel_columns + point * p.channels * panel_columns;
        for (int64_t i = 0; i < tiles; i++) {                   // even blocks: 16 tiles are 8 + 8, not 14 + 2
          const int64_t t0 = tile_start(count, tiles, i), t1 = tile_start(count, tiles, i + 1);
          F32Tile t;
          t.k = p.channels;
          t.a = v + point * p.plane + t0 * p.row, t.a_row = p.row;
          t.b = b, t.b_row = panel_columns, t.b_panel = panel;
          t.c = products + point * p.out_plane + t0 * tile_columns, t.c_row = tile_columns;
          t.columns = width;
          t.add = nullptr;
          f32_tile(int(t1 - t0), t, {});
        }
      }
      for (int64_t t = 0; t < count; t++) {
        const int64_t tile = first + t, n = tile / (p.th * p.tw), h = start(tile / p.tw % p.th, g.dh), w = start(tile % p.tw, g.dw);
        const int rows = inside(h, g.oh, g.dh), cols = inside(w, g.ow, g.dw);
        const int64_t at = ((n * g.oh + h) * g.ow + w) * g.o;
        for (int j = 0; j < width && o + j < o1; j += lanes) back(products + t * tile_columns + j, at + o + j, o + j, rows, cols);
      }
    }
  }

  ACCELNN_INLINE void back(const float* products, int64_t at, int64_t o, int rows, int cols) const {
    const int n = int(conv::at_most(lanes, g.o - o));
    vf e[M * S];
#pragma GCC unroll 6
    for (int c = 0; c < S; c++) {
      vf q[S];
#pragma GCC unroll 6
      for (int r = 0; r < S; r++) q[r] = load(products + (r * S + c) * p.out_plane);
      T::out(q, 1, e + c, S);
    }
    for (int r = 0; r < rows; r++) {
      vf q[M];
      T::out(e + r * S, 1, q, 1);
      for (int c = 0; c < cols; c++) finish_vector(finish, q[c], y, at + (r * g.dh * g.ow + c * g.dw) * g.o, o, n);
    }
  }
};

template <class T>
Status conv2d_winograd(const Call& call, const conv::Geometry& g, int algorithm, const float* x, const float* packed, const float* bias, const float* residual,
                       float* y, int how, char* work) {
  const conv::Winograd p = conv::winograd_plan(g, algorithm);
  if (p.tiles == 0 || g.o == 0) return {};
  float* const zeros = reinterpret_cast<float*>(work + p.zeros);
  std::memset(zeros, 0, size_t(p.row) * 4);
  const WinogradCall<T> w = {g, p, x, packed, zeros, y, {bias, residual, how}};
  float* const all = reinterpret_cast<float*>(work + p.v);
  if (p.shared) parallel(call, p.tiles, nhwc_flops(g) / 32, [&](int64_t tile) { w.transform(tile, all + tile * p.row); });
  parallel(call, p.parts, nhwc_flops(g) / 2, [&](int64_t part) {
    char* const slice = work + p.part + part * p.slice;
    float* const products = reinterpret_cast<float*>(slice + p.products);
    for (int64_t unit = part * p.units / p.parts; unit < (part + 1) * p.units / p.parts; unit++) {
      if (p.shared) {
        w.columns(0, p.tiles, all, unit * 32, conv::at_most(unit * 32 + 32, g.o), products);
        continue;
      }
      float* const v = reinterpret_cast<float*>(slice + p.v);
      const int64_t first = tile_start(p.tiles, p.blocks, unit), count = tile_start(p.tiles, p.blocks, unit + 1) - first;
      for (int64_t t = 0; t < count; t++) w.transform(first + t, v + t * p.row);
      w.columns(first, count, v, 0, g.o, products);
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
