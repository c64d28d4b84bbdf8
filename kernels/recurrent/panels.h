// Panels of weights, and products by them: register tiles of matmul for several rows, one pass over the panel for a single one.
#pragma once
#include "matmul/gemm.h"
#include "matmul/pack.h"
#include "recurrent/recurrent.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// to[k][g][16] = w[(g * units + first + u) * row + k], u < 16: one panel of `gates` times 16 units, zero beyond the last.
inline void pack_units(const float* w, int64_t units, int64_t first, int gates, int64_t rows, float* to) {
  const int64_t here = units - first < unit_block ? units - first : unit_block;
  const auto expect = [&](int g) {
    for (int64_t u = 0; u < here; u++)
      for (int64_t k = 0; k < rows; k += 16) __builtin_prefetch(w + (g * units + first + u) * rows + k);
    for (int64_t k = 0; k < rows; k++) __builtin_prefetch(to + (k * gates + g) * unit_block, 1);
  };
  expect(0);
  for (int g = 0; g < gates; g++) {
    if (g + 1 < gates) expect(g + 1);
    gather(w + (g * units + first) * rows, 1, rows, rows, here, to + g * unit_block, gates * unit_block);
    if (here == unit_block) continue;
    for (int64_t k = 0; k < rows; k++)
      for (int64_t u = here; u < unit_block; u++) to[(k * gates + g) * unit_block + u] = 0.0f;
  }
}

// One panel of bf16 pairs as f32: [ceil(K/2)][g][32] -> [k][g][16].
inline void widen_pairs(const uint16_t* from, int gates, int64_t rows, float* to) {
  for (int64_t k = 0; k < rows; k += 2, from += gates * 32)
    for (int g = 0; g < gates; g++)
      for (int j = 0; j < unit_block; j += lanes) {
        const vi both = load_bits(from + g * 32 + 2 * j);
        store(to + (k * gates + g) * unit_block + j, as_float(both << 16));
        if (k + 1 < rows) store(to + ((k + 1) * gates + g) * unit_block + j, as_float(both & int32_t(0xffff0000)));
      }
}

// c[r][j] = (add ? c[r][j] : 0) + bias[j] + sum_k a[r][k] b[k][j] for `columns` = 16 or 32 panel columns; those beyond the first 16 lie `b_panel` on. The last
// tile brings what lies `ahead` of its panels, where that is not 0.
ACCELNN_INLINE void rows_by_panel(int64_t rows, int64_t k, const float* a, int64_t a_row, const float* b, int64_t b_row, int64_t b_panel, int columns,
                                  const float* bias, float* c, int64_t c_row, bool add, int64_t ahead = 0) {
  const int64_t tiles = tiles_of(rows);
  for (int j = 0; j < columns; j += tile_columns) {
    F32Tile t;
    t.k = k;
    t.a_row = a_row;
    t.b = b + j / unit_block * b_panel + j % unit_block;
    t.b_row = b_row;
    t.b_panel = b_panel;
    t.c_row = c_row;
    t.columns = columns - j < tile_columns ? columns - j : tile_columns;
    Epilogue e;
    e.column_bias = bias ? bias + j : nullptr;
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t i0 = tile_start(rows, tiles, i), i1 = tile_start(rows, tiles, i + 1);
      t.a = a + i0 * a_row;
      t.c = c + i0 * c_row + j;
      t.add = add ? t.c : nullptr;
      t.ahead = i == tiles - 1 ? ahead : 0;
      f32_tile(int(i1 - i0), t, e);
    }
  }
}

// One row: c[g][16] (+)= sum_k a[k] w[k][g][16]. Bound by reading w, and by the additions' latency where there are fewer than 8 chains of them. H = 128 and
// 256 take 2.31 and 9.68 us (57 and 54 GFLOP/s: what L2 gives); with prefetches 1, 2, 4, 8 KiB ahead 2.41 10.1, 2.34 10.0, 2.32 10.9, 2.41 11.3.
constexpr int panel_vectors = int(unit_block) / lanes;
template <int G> constexpr int row_chains = G * panel_vectors >= 8 ? 1 : 8 / (G * panel_vectors);
template <int G> void row_by_panel(int64_t k, const float* a, const float* w, float* c, bool add) {
  constexpr int V = G * panel_vectors, S = row_chains<G>;
  vf acc[S][V];
#pragma GCC unroll 8
  for (int s = 0; s < S; s++)
#pragma GCC unroll 16
    for (int v = 0; v < V; v++) acc[s][v] = vf{};
  int64_t i = 0;
  for (; i + S <= k; i += S, w += S * V * lanes)
#pragma GCC unroll 8
    for (int s = 0; s < S; s++) {
      const vf x = splat(a[i + s]);
#pragma GCC unroll 16
      for (int v = 0; v < V; v++) acc[s][v] = fma(x, load(w + (s * V + v) * lanes), acc[s][v]);
    }
  for (; i < k; i++, w += V * lanes)
#pragma GCC unroll 16
    for (int v = 0; v < V; v++) acc[0][v] = fma(splat(a[i]), load(w + v * lanes), acc[0][v]);
#pragma GCC unroll 16
  for (int v = 0; v < V; v++) {
#pragma GCC unroll 8
    for (int s = 1; s < S; s++) acc[0][v] = acc[0][v] + acc[s][v];
    store(c + v * lanes, add ? load(c + v * lanes) + acc[0][v] : acc[0][v]);
  }
}

// The same from bf16 pairs: a 32-bit lane holds two neighbours along k. Exact products with f32 h; half the bytes.
template <int G> void row_by_pairs(int64_t k, const float* a, const uint16_t* w, float* c, bool add) {
  constexpr int V = G * panel_vectors, S = row_chains<G> > 1 ? 2 : 1;
  vf acc[S][V];
#pragma GCC unroll 8
  for (int s = 0; s < S; s++)
#pragma GCC unroll 16
    for (int v = 0; v < V; v++) acc[s][v] = vf{};
  const int64_t pairs = k / 2;
  for (int64_t i = 0; i < pairs; i++, w += V * lanes * 2) {
    const vf x0 = splat(a[2 * i]), x1 = splat(a[2 * i + 1]);
#pragma GCC unroll 16
    for (int v = 0; v < V; v++) {
      vi both = load_bits(w + v * lanes * 2);
#if defined(__AVX512F__)
      __asm__("" : "+v"(both));      // loaded once: g++ gives the shift and the mask an operand in memory each
#endif
      acc[0][v] = fma(x0, as_float(both << 16), acc[0][v]);
      acc[S - 1][v] = fma(x1, as_float(both & int32_t(0xffff0000)), acc[S - 1][v]);
    }
  }
  if (k & 1)
#pragma GCC unroll 16
    for (int v = 0; v < V; v++) acc[0][v] = fma(splat(a[k - 1]), as_float(load_bits(w + v * lanes * 2) << 16), acc[0][v]);
#pragma GCC unroll 16
  for (int v = 0; v < V; v++) {
    if (S > 1) acc[0][v] = acc[0][v] + acc[S - 1][v];
    store(c + v * lanes, add ? load(c + v * lanes) + acc[0][v] : acc[0][v]);
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
