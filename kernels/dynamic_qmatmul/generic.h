// The register tiles, with the epilogue in registers: 64 k are 256 to 450 cycles of products, and a trip of the sums through L1 would be 50 more.
#pragma once
#include "dynamic_qmatmul/quantize.h"
#include "dynamic_qmatmul/tiles.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Rows of a tile. Above 8 nothing is won where a product of bytes is one instruction a cycle: 14 x 32 gave 398 GOP/s at 1024, 12 x 32 413,
// 8 x 32 423 (512: 415, 417, 422). Narrow tiles are as high as the registers allow, because they read weights from afar.
#if defined(__AVX512VNNI__)
constexpr int dynamic_rows = 8, dynamic_narrow = 28;
#elif defined(__AVX512F__)
constexpr int dynamic_rows = 10, dynamic_narrow = 16;
#elif defined(__AVXVNNI__)
constexpr int dynamic_rows = 6, dynamic_narrow = 6;
#elif defined(__AVX2__)
constexpr int dynamic_rows = 5, dynamic_narrow = 5;
#else
constexpr int dynamic_rows = 4, dynamic_narrow = 4;
#endif

ACCELNN_INLINE Bytes broadcast_quad(const char* p) {
#if defined(ACCELNN_SPLIT_BYTES)
  // Two loads: both words at once would be a load of 8 bytes, taken apart in general registers (AVX2 119 instead of 177 GOP/s, AVX-512 149 instead of 192).
  int32_t low, high;
  std::memcpy(&low, p, 4);
  std::memcpy(&high, p + 4, 4);
  return {splat(low), splat(high)};
#else
  return broadcast_bytes<true>(p);
#endif
}

#define ACCELNN_EACH(statement)                        \
  _Pragma("GCC unroll 28") for (int i = 0; i < R; i++) \
      _Pragma("GCC unroll 8") for (int j = 0; j < V; j++) statement

// U chains over k for every sum: one row of products alone would wait for each addition.
template <int R, int V, int U>
void dynamic_tile_body(const DynamicTile& t) {
  // C's lines of a wide tile on their way while it computes: 512 and 2048 2 % faster, 1024 6 % (with all stores to one small buffer they would be 5, 5
  // and 9 %). As good from the tile before. Stores past the caches: 8 % at 1024, 4 % at 2048, but who reads the result would wait for memory.
  if (V > vectors_per_panel && R > 2)
    for (int i = 0; i < R; i++)
      for (int j = 0; j < V; j += vectors_per_panel) __builtin_prefetch(t.c + i * t.c_row + j * lanes, 1);
  vi acc[U][R][V];
#pragma GCC unroll 8
  for (int u = 0; u < U; u++) ACCELNN_EACH(acc[u][i][j] = vi{});
  constexpr int bases = (R + 4) / 5;             // a run-time stride: multiples {0, 1, 2, 3, 4} of it from every fifth row
  const int64_t s = t.a_row;
  const char *row[bases], *b = t.b;
#pragma GCC unroll 8
  for (int i = 0; i < bases; i++) row[i] = t.a + 5 * i * s;
  const auto step = [&](int64_t k, vi(&sum)[R][V]) __attribute__((always_inline)) {
    Bytes bv[V];
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
      const char* const from = b + 64 * k + j / vectors_per_panel * t.b_panel + j % vectors_per_panel * vector_bytes;
      vi v = load_bits(from);
#if defined(__x86_64__)
      if (R > 1) asm("" : "+v"(v));    // one load: as an operand of every product g++ reads it R times, and waits R times where it comes from afar
#endif
      bv[j] = take_apart<false>(v);
      // Far ahead and into L2 alone, or the lines of L1 that a tile still needs go (4096 x 4096 from beyond L3: 8 rows 832 us with all levels, 651 so,
      // 4 rows 504 and 321; 16 to 64 KiB ahead are equal). One row is fastest without, two are too quick for it and want the near one.
      if (V * lanes != panel_columns) continue;
      if (R > 2) __builtin_prefetch(from + 16384, 0, 2);
      else if (R == 2 && t.large) __builtin_prefetch(from + 8192);
    }
#pragma GCC unroll 28
    for (int i = 0; i < R; i++) {
      const Bytes x = broadcast_quad(row[i / 5] + i % 5 * s + quad_bytes * k);
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) sum[i][j] = dot4(sum[i][j], x, bv[j]);
    }
  };
  int64_t k = 0;
  if constexpr (U > 1) {
    for (; k + U <= t.k4; k += U)
#pragma GCC unroll 8
      for (int u = 0; u < U; u++) step(k + u, acc[u]);
    for (; k < t.k4; k++) step(k, acc[0]);
#pragma GCC unroll 8
    for (int u = 1; u < U; u++) ACCELNN_EACH(acc[0][i][j] += acc[u][i][j]);
  } else {
    for (; k < t.k4; k++) step(k, acc[0]);
  }
  vf y[R][V];
#pragma GCC unroll 8
  for (int j = 0; j < V; j++) {
    const vu sums = reinterpret_cast<vu>(load_bits(b + 64 * k + j / vectors_per_panel * t.b_panel + j % vectors_per_panel * vector_bytes));
    const vf scale = load(t.scale + j * lanes);
#pragma GCC unroll 28
    for (int i = 0; i < R; i++) {
      const vu shifted = reinterpret_cast<vu>(acc[0][i][j]) - sums * uint32_t(t.zero[i]);
      y[i][j] = to_float(reinterpret_cast<vi>(shifted)) * (scale * t.step[i]);
    }
  }
  if (t.bias) ACCELNN_EACH(y[i][j] += load(t.bias + j * lanes));
  if (t.activation == activation::relu) ACCELNN_EACH(y[i][j] = max(y[i][j], vf{}));
  ACCELNN_EACH(store(t.c + i * t.c_row + j * lanes, y[i][j]));
}
#undef ACCELNN_EACH

using DynamicTileBody = void (*)(const DynamicTile&);
constexpr int chains_of(int rows, int vectors) { return rows * vectors >= 8 || quad_bytes == 8 ? 1 : 8 / (rows * vectors); }
template <int V, int most>
struct DynamicTiles {
  DynamicTileBody height[most + 1];
  constexpr DynamicTiles() : height{} { fill<most>(); }
  template <int R> constexpr void fill() {
    height[R] = dynamic_tile_body<R, V, chains_of(R, V)>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V, int most> constexpr DynamicTiles<V, most> dynamic_tiles;

inline __attribute__((noinline)) void activate_tile(const DynamicTile& t, int rows) {
  finish_tile(t.c, t.c_row, nullptr, t.c, t.c_row, rows, t.columns, {nullptr, nullptr, t.activation});
}

template <int V, int most> void dynamic_tile(int rows, const DynamicTile& t) {
  if (t.columns < V * lanes) {         // through a buffer
    float sums[most * V * lanes];
    DynamicTile whole = t;
    whole.c = sums;
    whole.c_row = V * lanes;
    dynamic_tiles<V, most>.height[rows](whole);
    finish_tile(sums, V * lanes, nullptr, t.c, t.c_row, rows, t.columns, {nullptr, nullptr, t.activation});
    return;
  }
  dynamic_tiles<V, most>.height[rows](t);
  if (t.activation > activation::relu) activate_tile(t, rows);
}

// The epilogue for sums that an ISA left in memory.
inline void finish_sums(const DynamicTile& t, const int32_t* sums, int64_t sums_row, int rows) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < t.columns; j += lanes) {
      const int n = t.columns - j < lanes ? t.columns - j : lanes;
      const vu weights = reinterpret_cast<vu>(load_bits(t.b + 64 * t.k4 + j / panel_columns * t.b_panel + j % panel_columns * 4));
      const vu shifted = reinterpret_cast<vu>(load_bits(sums + i * sums_row + j)) - weights * uint32_t(t.zero[i]);
      vf y = to_float(reinterpret_cast<vi>(shifted)) * (load(t.scale + j, n) * t.step[i]);
      if (t.bias) y += load(t.bias + j, n);
      store(t.c + i * t.c_row + j, activate(y, t.activation), n);
    }
}

ACCELNN_INLINE DynamicIsa dynamic_isa() {
  constexpr int narrow = vectors_per_panel == 1 ? 1 : tile_vectors;
  return {quad_bytes, dynamic_rows, tile_columns, dynamic_narrow, narrow * lanes, quantize_rows, dynamic_tile<tile_vectors, dynamic_rows>,
          dynamic_tile<narrow, dynamic_narrow>, extremes_of_rows, rows_by_step};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
