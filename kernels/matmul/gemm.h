// The register tile under matmul and convolution, f32: C[rows, columns] = scale A B (+ add), one operand broadcast element by element, the other read in
// vectors. gemm_i8.h is the same for bytes. A tile computes every output in one chain over k: how work is cut into tiles never changes a bit.
#pragma once
#include "matmul/activation.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// As many accumulators as the registers hold beside the operands: 28 of 32, 12 of 16, 24 of 32 (NEON, where a panel row is four vectors),
// 8 of 16 (without fma a product needs a register of its own).
#if defined(__AVX512F__)
constexpr int tile_rows = 14, tile_vectors = 2;
#elif defined(__AVX2__)
constexpr int tile_rows = 6, tile_vectors = 2;
#elif defined(ACCELNN_NEON)
constexpr int tile_rows = 6, tile_vectors = 4;
#else
constexpr int tile_rows = 4, tile_vectors = 2;
#endif
constexpr int tile_columns = tile_vectors * lanes;      // 32, 16, 16, 8
constexpr int panel_columns = 16;                       // packed B: 64 bytes a row on every ISA, [panel][k][16]
constexpr int vectors_per_panel = panel_columns / lanes;

// y = activation(scale * sum + add + row_bias[i] + column_bias[j]). Pointers may be null. Of several blocks of k every one is scaled, the first adds a
// residual, the others what the one before has left in C, and the last has biases and activation: so C may be the residual's own memory.
struct Epilogue {
  const float* row_bias = nullptr;
  const float* column_bias = nullptr;
  int activation = activation::none;
  float scale = 1;
  ACCELNN_INLINE Epilogue at(int64_t row, int64_t column) const {
    return {row_bias ? row_bias + row : nullptr, column_bias ? column_bias + column : nullptr, activation, scale};
  }
  ACCELNN_INLINE Epilogue unfinished() const { return {nullptr, nullptr, activation::none, scale}; }
};

// A: element (i, k) at a[i * a_row + k].
// B: element (k, j) at b[k * b_row + j / 16 * b_panel + j % 16]. A matrix or buffer with contiguous rows has b_panel = 16; packed panels of a whole
// K have b_row = 16, b_panel = 16 K. Whole vectors are read: B must be readable (any values) up to the next multiple of `lanes` columns, and beyond
// the first `lanes` all of the tile's, unless it says that it ends.
// C: exactly rows x columns are written.
constexpr int64_t ended_k = 512;
constexpr int prefetch_rows = lanes == 16 ? 5 : 3;
struct F32Tile {
  int64_t k;
  const float* a;
  int64_t a_row;
  const float* b;
  int64_t b_row, b_panel;
  float* c;
  int64_t c_row;
  int columns;                // 1..tile_columns
  const float* add;           // null, or like C: C itself or a residual of the same row stride
  bool b_ends = false;        // nothing of B may be read beyond its last column; then k <= ended_k
  int64_t ahead = 0;          // elements from a vector of B to the one that is prefetched with it; 0: the one 8 rows down
};

#define ACCELNN_EACH(statement)                        \
  _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) \
      _Pragma("GCC unroll 8") for (int j = 0; j < V; j++) statement
// The last vector of a partial tile has only `rest` columns.
#define ACCELNN_LOAD(p) (Partial && j == V - 1 ? load(p, rest) : load(p))

template <int R, int V, bool Partial>
void f32_tile_body(const F32Tile& t, const Epilogue& e) {
  vf acc[R][V];
  ACCELNN_EACH(acc[i][j] = vf{});
  [[maybe_unused]] const int rest = t.columns - (V - 1) * lanes;
  // A run-time row stride fits the registers as three base pointers and multiples {1, 2, 3, 4} of it: no copy of A with a constant stride needed.
  const int64_t s = t.a_row, ahead = t.ahead ? t.ahead : 8 * t.b_row;
  const float *a0 = t.a, *a5 = a0 + 5 * s, *a10 = a0 + 10 * s, *b = t.b;
  if (t.add || t.ahead)       // 95.5 -> 102 GFLOP/s at 2048
    for (int i = 0; i < R; i++)
      for (int j = 0; j < V; j++) __builtin_prefetch(t.c + i * t.c_row + j * lanes, 1, 2);
  for (int64_t k = 0; k < t.k; k++, b += t.b_row) {
    vf bv[V];
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
      const float* p = b + j / vectors_per_panel * t.b_panel + j % vectors_per_panel * lanes;
      bv[j] = ACCELNN_LOAD(p);
      if (R >= prefetch_rows && j * lanes % 16 == 0) __builtin_prefetch(p + ahead);      // 2 to 5 % when B comes from L3
    }
    if constexpr (V > R) {              // what is kept in registers is the fewer
      vf x[R];
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) x[i] = splat(a0[i * s + k]);
#pragma GCC unroll 8
      for (int j = 0; j < V; j++)
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) acc[i][j] = fma(x[i], bv[j], acc[i][j]);
      continue;
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
  // Each step over all accumulators, unrolled: a loop that is not leaves them in memory during the whole loop over k, and branches inside the loop
  // over rows make the code three times as large.
  const vf scale = splat(e.scale);
  if (t.add) ACCELNN_EACH(acc[i][j] = fma(acc[i][j], scale, ACCELNN_LOAD(t.add + i * t.c_row + j * lanes)));
  else if (e.scale != 1) ACCELNN_EACH(acc[i][j] *= scale);
  if (e.row_bias) ACCELNN_EACH(acc[i][j] += e.row_bias[i]);
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

// What a body leaves to others: tiles that end inside a vector come through a buffer, the expensive activations go over the tile once more in L1.
// Inlined into every height of the tile, either would double its code.
// `add` is like C, or null.
inline __attribute__((noinline)) void finish_tile(const float* from, int64_t from_row, const float* add, float* c, int64_t c_row, int rows,
                                                  int64_t columns, const Epilogue& e) {
  const vf scale = splat(e.scale);
  for (int i = 0; i < rows; i++, c += c_row, from += from_row, add += add ? c_row : 0) {
    for (int64_t j = 0; j < columns; j += lanes) {
      const int n = int(columns - j < lanes ? columns - j : lanes);
      vf v = n == lanes ? load(from + j) : load(from + j, n);
      v = add ? fma(v, scale, load(add + j, n)) : v * scale;
      if (e.row_bias) v += e.row_bias[i];
      if (e.column_bias) v += load(e.column_bias + j, n);
      v = activate(v, e.activation);
      if (n == lanes) store(c + j, v);
      else store(c + j, v, n);
    }
  }
}

using F32TileBody = void (*)(const F32Tile&, const Epilogue&);
template <int V, int most, bool Partial = false>
struct F32Tiles {
  F32TileBody height[most + 1];
  constexpr F32Tiles() : height{} { fill<most>(); }
  template <int R> constexpr void fill() {
    height[R] = f32_tile_body<R, V, Partial>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V, int most, bool Partial = false> constexpr F32Tiles<V, most, Partial> f32_tiles;

// The activations that are too long for the bodies, once more over what is in L1.
inline void activate_tile(const F32Tile& t, int rows, int columns, const Epilogue& e) {
  if (e.activation > activation::relu) finish_tile(t.c, t.c_row, nullptr, t.c, t.c_row, rows, columns, {nullptr, nullptr, e.activation});
}

// Without masks a tile that ends inside a vector goes through a buffer; so does the end of B, where nothing behind it may be read.
inline __attribute__((noinline)) void f32_odd_tile(int rows, const F32Tile& t, const Epilogue& e, F32TileBody body) {
  float sums[tile_rows * tile_columns], ended[ended_k * tile_columns];
  F32Tile whole = t;
  whole.c = sums;
  whole.c_row = tile_columns;
  whole.add = nullptr;
  whole.b_ends = false;
  if (t.b_ends) {
    for (int64_t k = 0; k < t.k; k++)
      for (int j = 0; j < t.columns; j++) ended[k * tile_columns + j] = t.b[k * t.b_row + j / panel_columns * t.b_panel + j % panel_columns];
    whole.b = ended;
    whole.b_row = tile_columns;
    whole.b_panel = panel_columns;
  }
  body(whole, {});
  finish_tile(sums, tile_columns, t.add, t.c, t.c_row, rows, t.columns, e);
}

// rows in 1..tile_rows, columns in 1..tile_columns. The epilogue's pointers point at the tile's first row and column.
inline void f32_tile(int rows, const F32Tile& t, const Epilogue& e) {
  const bool one = t.columns <= lanes;
  if (t.columns != (one ? lanes : tile_columns)) {
#if defined(__AVX2__)
    (one ? f32_tiles<1, tile_rows, true>.height[rows] : f32_tiles<tile_vectors, tile_rows, true>.height[rows])(t, e);
    return activate_tile(t, rows, t.columns, e);
#else
    return f32_odd_tile(rows, t, e, one ? f32_tiles<1, tile_rows>.height[rows] : f32_tiles<tile_vectors, tile_rows>.height[rows]);
#endif
  }
  (one ? f32_tiles<1, tile_rows>.height[rows] : f32_tiles<tile_vectors, tile_rows>.height[rows])(t, e);
  activate_tile(t, rows, t.columns, e);
}

// Few rows: two vectors are two chains of additions, which wait for each other. Four of them, exactly wide_columns.
#if defined(__AVX512F__)
constexpr int wide_rows = 4;
#elif defined(__AVX2__)
constexpr int wide_rows = 3;
#else
constexpr int wide_rows = 2;
#endif
constexpr int wide_columns = 4 * lanes;
inline void f32_wide_tile(int rows, const F32Tile& t, const Epilogue& e) {
  f32_tiles<4, wide_rows>.height[rows](t, e);
  activate_tile(t, rows, wide_columns, e);
}

// Balanced tiles: 64 rows are 13 + 13 + 13 + 13 + 12, not 4 x 14 + 8. Tile i of `tiles_of(n)` starts at row tile_start(n, i).
ACCELNN_INLINE int64_t tiles_of(int64_t rows, int most = tile_rows) { return (rows + most - 1) / most; }
ACCELNN_INLINE int64_t tile_start(int64_t rows, int64_t tiles, int64_t i) { return i * rows / tiles; }

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
