// The register tile of a direct convolution: that of matmul/gemm.h, but its left operand comes in runs. R output pixels x V vectors of channels; pixel i
// reads its taps in `runs` pieces of `run` floats, a filter row each (or a tap, where dilation or groups divide them); the weights follow each other.
#pragma once
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct ConvTile {
  int64_t runs, run;
  const int64_t* offset;      // of each run, from a pixel's first tap
  const float* a;
  int64_t a_row;              // from pixel to pixel
  const float* b;             // panels [panel][taps][16]
  int64_t b_panel;
  float* c;
  int64_t c_row;
  int columns;
  const float* add;           // null, or a residual that lies like C
};

// 7 pixels x 64 channels against 14 x 32: half as many passes over the pixels (1x1 of 1024 channels: 116 against 86 GFLOP/s).
#if defined(__AVX512F__)
constexpr int conv_wide = 4, conv_wide_rows = 7;
#else
constexpr int conv_wide = tile_vectors, conv_wide_rows = tile_rows;
#endif

#define ACCELNN_EACH(statement)                        \
  _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) \
      _Pragma("GCC unroll 8") for (int j = 0; j < V; j++) statement
#define ACCELNN_LOAD(p) (Partial && j == V - 1 ? load(p, rest) : load(p))

template <int R, int V, bool Partial>
void conv_tile_body(const ConvTile& t, const Epilogue& e) {
  vf acc[R][V];
  ACCELNN_EACH(acc[i][j] = vf{});
  [[maybe_unused]] const int rest = t.columns - (V - 1) * lanes;
  // What the hardware does not see coming: the lines that will be written, and the next tile's pixels, one line every other step (a tile's pixels are at most
  // 8 runs). 1x1 at 56x56, 256 -> 64 channels: 110 instead of 94 GFLOP/s (8 images: 107, 86), 64 -> 256: 91 (79). Without the first, 128 -> 512: 98 (104).
  ACCELNN_EACH(__builtin_prefetch(t.c + i * t.c_row + j * lanes, 1));
  [[maybe_unused]] const float* const next = t.a + R * t.a_row;
  const int64_t s = t.a_row, panel = t.b_panel, run = t.run;
  const float* b = t.b;
  for (int64_t piece = 0; piece < t.runs; piece++) {
    // Three base pointers and multiples {1, 2, 3, 4} of the stride, as in gemm.h.
    const float *a0 = t.a + t.offset[piece], *a5 = a0 + 5 * s, *a10 = a0 + 10 * s;
    for (int64_t k = 0; k < run; k++, b += panel_columns) {
      if (R == conv_wide_rows && k % 2 == 0) __builtin_prefetch(next + k * 8, 0, 2);
      vf bv[V];
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) {
        const float* p = b + j / vectors_per_panel * panel + j % vectors_per_panel * lanes;
        bv[j] = load(p);
        if (R >= prefetch_rows && j * lanes % 16 == 0) __builtin_prefetch(p + 8 * panel_columns);
      }
#pragma GCC unroll 16
      for (int i = 0; i < R; i++) {
        const float* row = i < 5 ? a0 : i < 10 ? a5
                                               : a10;
        const vf x = splat(row[i % 5 * s + k]);
#pragma GCC unroll 8
        for (int j = 0; j < V; j++) acc[i][j] = fma(x, bv[j], acc[i][j]);
      }
    }
  }
  if (t.add) ACCELNN_EACH(acc[i][j] += ACCELNN_LOAD(t.add + i * t.c_row + j * lanes));
  if (e.column_bias) ACCELNN_EACH(acc[i][j] += ACCELNN_LOAD(e.column_bias + j * lanes));
  if (e.activation == activation::relu) ACCELNN_EACH(acc[i][j] = max(acc[i][j], vf{}));
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++)
      if (Partial && j == V - 1) store(t.c + i * t.c_row + j * lanes, acc[i][j], rest);
      else store(t.c + i * t.c_row + j * lanes, acc[i][j]);
}
#undef ACCELNN_LOAD
#undef ACCELNN_EACH

using ConvTileBody = void (*)(const ConvTile&, const Epilogue&);
template <int V, int most, bool Partial = false>
struct ConvTiles {
  ConvTileBody height[most + 1];
  constexpr ConvTiles() : height{} { fill<most>(); }
  template <int R> constexpr void fill() {
    height[R] = conv_tile_body<R, V, Partial>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V, int most, bool Partial = false> constexpr ConvTiles<V, most, Partial> conv_tiles;

// Columns of the next tile where n are left, and the most rows that it may have.
ACCELNN_INLINE int conv_tile_columns(int64_t n) {
  return n >= conv_wide * lanes ? conv_wide * lanes : n >= tile_columns ? tile_columns
      : n >= lanes                                                      ? lanes
                                                                        : int(n);
}
ACCELNN_INLINE int conv_tile_rows(int columns) { return columns == conv_wide * lanes ? conv_wide_rows : tile_rows; }

// rows in 1..conv_tile_rows(t.columns), columns from conv_tile_columns.
inline void conv_tile(int rows, const ConvTile& t, const Epilogue& e) {
  if (t.columns < lanes) {
#if defined(__AVX2__)
    conv_tiles<1, tile_rows, true>.height[rows](t, e);
#else                                   // without masks: through a buffer
    float sums[tile_rows * lanes];
    ConvTile whole = t;
    whole.c = sums, whole.c_row = lanes, whole.add = nullptr;
    conv_tiles<1, tile_rows>.height[rows](whole, {});
    return finish_tile(sums, lanes, t.add, t.c, t.c_row, rows, t.columns, e);
#endif
  } else if (t.columns == conv_wide * lanes) {
    conv_tiles<conv_wide, conv_wide_rows>.height[rows](t, e);
  } else if (t.columns == tile_columns) {
    conv_tiles<tile_vectors, tile_rows>.height[rows](t, e);
  } else {
    conv_tiles<1, tile_rows>.height[rows](t, e);
  }
  if (e.activation > activation::relu) finish_tile(t.c, t.c_row, nullptr, t.c, t.c_row, rows, t.columns, {nullptr, nullptr, e.activation});
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
