// Products by tile registers (AMX). A panel row of packed weights is 16 columns of four bytes along k (four bytes, or two bfloat16): 16 of them are a B
// tile as they stand, so AMX needs no layout of its own. `Ops` are the instructions: AmxBytes and AmxPairs here, plain loops in tests/cpp/test_amx.cpp,
// because few machines have them.
#pragma once
#include <cstring>
#include <utility>
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct alignas(64) TileConfig {        // ldtilecfg's operand
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

constexpr int amx_height = 16, amx_panel_columns = 16, amx_tile_bytes = 1024;
// Eight registers hold two tiles by two or three of C, or one by four, beside the operands.
constexpr int amx_rows = 32, amx_columns = 32, amx_wide_columns = 64;

struct AmxTile {
  int64_t a_bytes;            // of a row of A: K of bytes, 2 K of bfloat16
  const char* a;
  int64_t a_row;              // bytes
  const char* b;              // ceil(a_bytes / 4) panel rows of 64 bytes; those beyond A's last k are multiplied by zeros
  int64_t b_panel;            // bytes to the next panel
  char* sums;                 // 32 bits each, all 16 columns of every panel
  int64_t sums_row;           // bytes
  bool accumulate;            // to what is there
  const char* ahead = nullptr;           // rows of A to be fetched into L2 meanwhile, a cache line of each with every step: in one go they would hold up
  int ahead_rows = 0;                    // the tiles' own loads
};

// Once for many products, because it takes as long as 200 k of one (53 ns). A and C get 1..16 rows. More than one tile of rows wants all 16.
template <class Ops> void amx_begin(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; tile++) config.rows[tile] = uint8_t(tile < 5 ? rows : amx_height), config.row_bytes[tile] = 64;
  Ops::configure(config);
}

// Where rows of tile h lie, of `rows` in all: the last ones overlap those before where they are fewer (equal sums twice).
template <int Heights> ACCELNN_INLINE int64_t amx_row_of(int h, int rows) { return Heights > 1 && h == Heights - 1 ? rows - amx_height : h * amx_height; }

template <int n> struct Number {
  constexpr operator int() const { return n; }
};
template <int Heights, int Panels, class F, int... i> ACCELNN_INLINE void amx_each_(const F& f, std::integer_sequence<int, i...>) {
  (f(Number<i / Panels>(), Number<i % Panels>()), ...);
}
// f(height, panel) of every tile of C, which is in register `amx_sum`.
template <int Heights, int Panels, class F> ACCELNN_INLINE void amx_each(const F& f) {
  amx_each_<Heights, Panels>(f, std::make_integer_sequence<int, Heights * Panels>());
}
template <int Heights> constexpr int amx_sum(int h, int p) { return Heights == 1 ? p : 2 * p + h; }

// One step of 16 groups along k: a[h] and b + p * b_panel are the operands' tiles.
template <class Ops, int Heights, int Panels> ACCELNN_INLINE void amx_step(const char* const (&a)[Heights], int64_t a_row, const char* b, int64_t b_panel) {
  if constexpr (Heights == 1) {
    Ops::template load<4>(a[0], a_row);
    amx_each<1, Panels>([&](auto, auto p) __attribute__((always_inline)) {
      Ops::template load<5 + p % 3>(b + p * b_panel, 64);
      Ops::template dot<p, 4, 5 + p % 3>();
    });
  } else if constexpr (Panels == 3) {    // B through one register, from L1 the second time
    Ops::template load<6>(a[0], a_row);
    Ops::template load<7>(b, 64);
    Ops::template dot<0, 6, 7>();
    Ops::template load<7>(b + b_panel, 64);
    Ops::template dot<2, 6, 7>();
    Ops::template load<7>(b + 2 * b_panel, 64);
    Ops::template dot<4, 6, 7>();
    Ops::template load<6>(a[1], a_row);
    Ops::template dot<5, 6, 7>();
    Ops::template load<7>(b + b_panel, 64);
    Ops::template dot<3, 6, 7>();
    Ops::template load<7>(b, 64);
    Ops::template dot<1, 6, 7>();
  } else {
    Ops::template load<4>(a[0], a_row);
    Ops::template load<6>(b, 64);
    Ops::template dot<0, 4, 6>();
    Ops::template load<5>(a[1], a_row);
    Ops::template dot<1, 5, 6>();
    if constexpr (Panels == 1) return;
    Ops::template load<7>(b + b_panel, 64);
    Ops::template dot<2, 4, 7>();
    Ops::template dot<3, 5, 7>();
  }
}

// The last k, fewer than a tile has: both operands padded with zeros, because other tiles would want another configuration.
template <class Ops, int Heights, int Panels> __attribute__((noinline)) void amx_rest(const AmxTile& t, int rows) {
  alignas(64) char a[Heights * amx_tile_bytes], b[Panels * amx_tile_bytes];
  const int64_t steps = t.a_bytes / 64, bytes = t.a_bytes % 64, groups = (bytes + 3) / 4;
  const char* tiles[Heights];
  for (int h = 0; h < Heights; h++) {
    char* const to = a + h * amx_tile_bytes;
    tiles[h] = to;
    for (int i = 0; i < rows && i < amx_height; i++) Ops::copy_rest(to + i * 64, t.a + (amx_row_of<Heights>(h, rows) + i) * t.a_row + 64 * steps, bytes);
  }
  for (int p = 0; p < Panels; p++) {
    char* const to = b + p * amx_tile_bytes;
    std::memcpy(to, t.b + p * t.b_panel + steps * amx_tile_bytes, size_t(64 * groups));
    std::memset(to + 64 * groups, 0, size_t(amx_tile_bytes - 64 * groups));
  }
  amx_step<Ops, Heights, Panels>(tiles, 64, b, amx_tile_bytes);
}

// C = A B. Reads not a byte outside of A's rows and B's panel rows.
template <class Ops, int Heights, int Panels> void amx_product(const AmxTile& t, int rows) {
  const auto at = [&](int h, int p) __attribute__((always_inline)) { return t.sums + amx_row_of<Heights>(h, rows) * t.sums_row + p * 64; };
  amx_each<Heights, Panels>([&](auto h, auto p) __attribute__((always_inline)) {
    if (t.accumulate) Ops::template load<amx_sum<Heights>(h, p)>(at(h, p), t.sums_row);
    else Ops::template zero<amx_sum<Heights>(h, p)>();
  });
  [[maybe_unused]] const char* ahead = t.ahead;
  const char *a[Heights], *b = t.b;
  for (int h = 0; h < Heights; h++) a[h] = t.a + amx_row_of<Heights>(h, rows) * t.a_row;
  for (int64_t k = t.a_bytes / 64; k > 0; k--, b += amx_tile_bytes) {
    amx_step<Ops, Heights, Panels>(a, t.a_row, b, t.b_panel);
    for (int h = 0; h < Heights; h++) a[h] += 64;
    if constexpr (Heights == 2) {
      for (int i = 0; i < t.ahead_rows; i++) __builtin_prefetch(ahead + i * t.a_row, 0, 2);
      ahead += 64;
    }
  }
  if (t.a_bytes % 64) amx_rest<Ops, Heights, Panels>(t, rows);
  amx_each<Heights, Panels>([&](auto h, auto p) __attribute__((always_inline)) { Ops::template store<amx_sum<Heights>(h, p)>(at(h, p), t.sums_row); });
}

// rows: as many as configured or, with 16, up to 32; columns up to 64, beside more than 16 rows up to 48.
template <class Ops> void amx_tile(const AmxTile& t, int rows, int64_t columns) {
  const int64_t panels = (columns + amx_panel_columns - 1) / amx_panel_columns;
  switch (rows > amx_height ? -panels : panels) {
    case -1: return amx_product<Ops, 2, 1>(t, rows);
    case -2: return amx_product<Ops, 2, 2>(t, rows);
    case -3: return amx_product<Ops, 2, 3>(t, rows);
    case 1: return amx_product<Ops, 1, 1>(t, rows);
    case 2: return amx_product<Ops, 1, 2>(t, rows);
    case 3: return amx_product<Ops, 1, 3>(t, rows);
    default: return amx_product<Ops, 1, 4>(t, rows);
  }
}

// The tile whose rows begin at i, of rows [m0, m1): 32 rows, or what is left. Fewer than are configured take some of the rows before once more.
struct AmxRows { int64_t first, rows; };
ACCELNN_INLINE AmxRows amx_rows_from(int64_t i, int64_t m0, int64_t m1) {
  if (m1 - i >= amx_rows) return {i, amx_rows};
  const int64_t first = m1 - i >= amx_height || m1 - m0 < amx_height ? i : m1 - amx_height;
  return {first, m1 - first};
}

#if defined(__AMX_INT8__)
// Assembly, because the compilers' own functions take a tile only as a literal.
struct TileOps {
  static ACCELNN_INLINE void configure(const TileConfig& config) { asm volatile("ldtilecfg %0" ::"m"(config)); }
  static ACCELNN_INLINE void release() { asm volatile("tilerelease"); }
  template <int T> static ACCELNN_INLINE void zero() { asm volatile("tilezero %%tmm%c0" ::"i"(T)); }
  template <int T> static ACCELNN_INLINE void load(const void* p, int64_t row) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(row), "i"(T) : "memory");
  }
  template <int T> static ACCELNN_INLINE void store(void* p, int64_t row) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(row), "i"(T) : "memory");
  }
  static ACCELNN_INLINE void copy_rest(char* to, const char* from, int64_t bytes) {        // 64, zeros behind
    _mm512_store_si512(to, _mm512_maskz_loadu_epi8((__mmask64(1) << bytes) - 1, from));
  }
};
struct AmxBytes : TileOps {             // unsigned A (first in Intel's order), signed B
  template <int C, int A, int B> static ACCELNN_INLINE void dot() { asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B)); }
};
struct AmxPairs : TileOps {
  template <int C, int A, int B> static ACCELNN_INLINE void dot() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B)); }
};
#endif

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
