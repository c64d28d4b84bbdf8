// The register tile of wgrad: c[i, j] (+)= sum over rows and columns of pixels of a[.., i] b[.., j], channels last in both, so that 14 numbers of one and
// 32 of the other lie side by side for every pixel and no operand is packed.
#pragma once
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct OuterTile {
  int64_t rows, columns;      // of pixels
  const float* a;
  int64_t a_column, a_row;    // from pixel to pixel; from the end of a row to the start of the next
  const float* b;
  int64_t b_column, b_row;
  float* c;
  int64_t c_row;
  bool add;
};
template <int R, int V> void outer_body(const OuterTile& t) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) acc[i][j] = vf{};
  const float *a = t.a, *b = t.b;
  for (int64_t row = 0; row < t.rows; row++, a += t.a_row, b += t.b_row)
    for (int64_t column = 0; column < t.columns; column++, a += t.a_column, b += t.b_column) {
      vf bv[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) bv[j] = load(b + j * lanes);
      __builtin_prefetch(a + 4 * t.a_column);
      __builtin_prefetch(b + 4 * t.b_column);
      if (V * lanes > 16) __builtin_prefetch(b + 4 * t.b_column + 16);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++) {
        const vf x = splat(a[i]);
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) acc[i][j] = fma(x, bv[j], acc[i][j]);
      }
    }
  if (t.add)
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) acc[i][j] += load(t.c + i * t.c_row + j * lanes);
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) store(t.c + i * t.c_row + j * lanes, acc[i][j]);
}
template <int most, int V> struct OuterBodies {
  void (*height[most + 1])(const OuterTile&);
  constexpr OuterBodies() : height{} { fill<most>(); }
  template <int R> constexpr void fill() {
    height[R] = outer_body<R, V>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
constexpr OuterBodies<tile_rows, tile_vectors> outer_bodies;
constexpr int narrow_columns = tile_columns / 2;          // for the last channels, and groups of 16
constexpr OuterBodies<tile_rows, tile_vectors / 2> narrow_bodies;
ACCELNN_INLINE void outer_tile(int64_t outs, int64_t columns, const OuterTile& t) {
  (columns > narrow_columns ? outer_bodies.height[outs] : narrow_bodies.height[outs])(t);
}

// Tiles of n outputs that meet `others`: one more where the number of units would be odd (3 of 32 outputs: two threads would wait for a third of the work).
ACCELNN_INLINE int64_t even_tiles(int64_t n, int64_t others) {
  const int64_t tiles = tiles_of(n);
  return tiles > 1 && tiles * others % 2 ? tiles + 1 : tiles;
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
