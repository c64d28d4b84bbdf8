// conv2d straight on NCHW for about as many outputs as a panel is wide: the outputs are the lanes, pixels of a row are broadcast from where they lie. No
// columns are gathered (a fifth of the time for 16 outputs) and no lanes are lost where a row is short; the sums are turned into planes band by band.
#pragma once
#include "conv2d/columns.h"
#include "conv2d/conv2d.h"
#include "matmul/gemm.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// R pixels side by side: `runs` rows of S taps each. conv2d_nhwc's tile, which knows neither S nor that pixels are neighbours, spends a quarter of its time
// between such short runs: no faster than gathered columns (64 images of 6 to 16 channels, 5x5: 400 us, so 273; two threads 206, 141).
template <int R, int S> void pixels_tile(int64_t runs, const int64_t* offset, const float* a, const float* b, float* c, const Epilogue& e) {
  constexpr int V = vectors_per_panel;
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) acc[i][j] = vf{};
  for (int64_t n = 0; n < runs; n++) {
    const float* const p = a + offset[n];
#pragma GCC unroll 8
    for (int k = 0; k < S; k++, b += panel_columns) {
      vf w[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) w[j] = load(b + j * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) acc[i][j] = fma(splat(p[i + k]), w[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) {
      vf v = acc[i][j];
      if (e.column_bias) v += load(e.column_bias + j * lanes);
      if (e.activation == activation::relu) v = max(v, vf{});
      store(c + i * panel_columns + j * lanes, v);
    }
}
using PixelsTile = void (*)(int64_t, const int64_t*, const float*, const float*, float*, const Epilogue&);
template <int S> struct PixelsTiles {
  PixelsTile height[tile_rows + 1];
  constexpr PixelsTiles() : height{} { fill<tile_rows>(); }
  template <int R> constexpr void fill() {
    height[R] = pixels_tile<R, S>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int S> constexpr PixelsTiles<S> pixels_tiles;

inline Status conv2d_pixels(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  const conv::Geometry g = conv::geometry(call, x, w, y);
  const conv::Pixels p = conv::pixels_plan(g);
  const conv::Band& b = p.band;
  const int64_t units = g.n * b.count;
  if (units == 0 || g.o == 0) return {};
  char* const work = static_cast<char*>(call.work);
  int64_t* const offset = slice_at<int64_t>(work, p.offsets);
  float *const weights = slice_at<float>(work, p.weights), *const start = slice_at<float>(work, p.start);
  for (int64_t i = 0; i < g.c * g.r; i++) offset[i] = i / g.r * b.plane + i % g.r * g.dh * b.row;
  for (int64_t o = 0; o < panel_columns; o++) {
    start[o] = o < g.o && !bias.absent() ? bias.as<float>()[o] : 0.0f;
    for (int64_t k = 0; k < g.k; k++) weights[k * panel_columns + o] = o < g.o ? w.as<float>()[o * g.k + k] : 0.0f;
  }
  const Epilogue e = {nullptr, bias.absent() ? nullptr : start, int(call.integer(conv2d_attr::activation))};
  const int64_t tiles = tiles_of(g.ow);
  const PixelsTile* const height = g.s == 3 ? pixels_tiles<3>.height : g.s == 5 ? pixels_tiles<5>.height
                                                                                : pixels_tiles<7>.height;
  parallel(call, p.parts, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    float* const plane = slice_at<float>(work, p.part + part * p.slice);
    float* const sums = slice_at<float>(work, p.part + part * p.slice + p.sums);
    for (int64_t unit = part * units / p.parts; unit < (part + 1) * units / p.parts; unit++) {
      const Unit u(g, b, unit);
      const float* const image = x.as<float>() + u.image * g.c * g.h * g.w;
      const float* const base = b.copy ? plane : image + u.first_row * g.sh * g.w;
      if (b.copy) copy_band(g, b, image, g.c, u.first_row, u.rows, 0.0f, plane);
      for (int64_t i = 0; i < u.rows; i++)
        for (int64_t tile = 0; tile < tiles; tile++) {
          const int64_t j = tile_start(g.ow, tiles, tile), next = tile_start(g.ow, tiles, tile + 1);
          float* const to = sums + (i * g.ow + j) * panel_columns;
          height[next - j](g.c * g.r, offset, base + i * g.sh * b.row + j, weights, to, e);
          if (e.activation > activation::relu)
            finish_tile(to, panel_columns, nullptr, to, panel_columns, next - j, panel_columns, {nullptr, nullptr, e.activation});
        }
      transpose(sums, panel_columns, u.pixels, g.o, y.as<float>() + u.image * g.o * g.pixels + u.first_row * g.ow, g.pixels);
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
