// The register tile of attention: C[rows, columns] (+)= A B, A broadcast element by element at any two strides (scores, or their transpose as they lie),
// B in vectors. matmul/gemm.h is near it and stays apart: there A's numbers lie k by k (here dq and every product with scores stored the other way round
// step by a row), B comes in panels of 16 (v and k as they lie), a prefetch of B goes with each step (here all is in L1) and an epilogue with each tile.
// One body would take all of it as template arguments; what is common is the fifteen lines of the loop over k.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

#if defined(__AVX512F__)
constexpr int most_rows = 14, panel_vectors = 2;
#elif defined(__AVX2__)
constexpr int most_rows = 6, panel_vectors = 2;
#elif defined(ACCELNN_NEON)
constexpr int most_rows = 6, panel_vectors = 4;
#else
constexpr int most_rows = 4, panel_vectors = 2;
#endif
constexpr int panel = panel_vectors * lanes;        // 32, 16, 16, 8
static_assert(32 % panel == 0);                     // padded_to_panel

// A: element (i, k) at a[i * a_row + k * a_k]. B: row k at b + k * b_row, V vectors of it are read (Partial: `rest` numbers of the one). C: like B.
struct Tile {
  int64_t n;
  const float* a;
  int64_t a_row, a_k;
  const float* b;
  int64_t b_row;
  float* c;
  int64_t c_row;
  bool add;
  int rest;
};

template <int R, int V, bool Partial>
void tile_body(const Tile& t) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) acc[i][j] = vf{};
  // As in gemm.h: three base pointers and multiples of the row stride fit the registers, fourteen pointers would not.
  const int64_t s = t.a_row;
  const float *a0 = t.a, *a5 = a0 + 5 * s, *a10 = a0 + 10 * s, *b = t.b;
  for (int64_t k = 0; k < t.n; k++, b += t.b_row, a0 += t.a_k, a5 += t.a_k, a10 += t.a_k) {
    vf bv[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) bv[j] = Partial ? load(b + j * lanes, t.rest) : load(b + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const float* row = i < 5 ? a0 : i < 10 ? a5
                                             : a10;
      const vf x = splat(row[i % 5 * s]);
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) acc[i][j] = fma(x, bv[j], acc[i][j]);
    }
  }
  if (t.add) {
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) acc[i][j] += Partial ? load(t.c + i * t.c_row + j * lanes, t.rest) : load(t.c + i * t.c_row + j * lanes);
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++)
      if (Partial) store(t.c + i * t.c_row + j * lanes, acc[i][j], t.rest);
      else store(t.c + i * t.c_row + j * lanes, acc[i][j]);
}

using TileBody = void (*)(const Tile&);
template <int V, bool Partial>
struct Tiles {
  TileBody height[most_rows + 1];
  constexpr Tiles() : height{} { fill<most_rows>(); }
  template <int R> constexpr void fill() {
    height[R] = tile_body<R, V, Partial>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V, bool Partial> constexpr Tiles<V, Partial> tiles;

// One panel of columns.
ACCELNN_INLINE void panel_tile(int rows, const Tile& t) { tiles<panel_vectors, false>.height[rows](t); }

// Any number of columns: whole panels, then single vectors, the last one masked.
inline void wide_tile(int rows, Tile t, int64_t columns) {
  for (; columns >= panel; columns -= panel, t.b += panel, t.c += panel) tiles<panel_vectors, false>.height[rows](t);
  for (; columns > 0; columns -= lanes, t.b += lanes, t.c += lanes) {
    t.rest = int(columns < lanes ? columns : lanes);
    (t.rest == lanes ? tiles<1, false>.height[rows] : tiles<1, true>.height[rows])(t);
  }
}

// Rows in tiles of nearly equal height: 64 are 13 + 13 + 13 + 13 + 12, not 4 x 14 + 8.
ACCELNN_INLINE int64_t tile_height(int64_t rows) {
  const int64_t tiles = (rows + most_rows - 1) / most_rows;
  return (rows + tiles - 1) / tiles;
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
