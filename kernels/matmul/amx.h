// Byte products by tile registers (AMX-INT8). A panel row of packed weights is 16 columns of four k: 16 of them are a B tile as they stand, so AMX
// needs no layout of its own. `Ops` are the instructions: TileOps here, plain loops in tests/cpp/test_amx.cpp, because few machines have them.
#pragma once
#include <cstring>
#include "dtype.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct alignas(64) TileConfig {        // ldtilecfg's operand
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

constexpr int amx_rows = 32, amx_columns = 32;                 // two tiles by two: eight registers hold no more
struct alignas(64) AmxSums { int32_t at[amx_rows][amx_columns]; };

// sums[rows, 32] = A * B for k4 groups of four k; rows in 1..32. a: u8 rows, a_row bytes apart. b: panel rows of 64 bytes; the second panel
// b_panel bytes after the first, or 0 where there is none (then columns 16..31 are left alone). Not a byte outside of rows and groups is read.
template <class Ops>
void amx_product(int64_t k4, const char* a, int64_t a_row, int rows, const char* b, int64_t b_panel, AmxSums& sums) {
  const int top = rows < 16 ? rows : 16, bottom = rows - top;
  const int64_t row = sizeof sums.at[0], rest = k4 % 16;
  const char *const a_bottom = a + 16 * a_row, *const b_right = b + b_panel;
  int32_t *const c = sums.at[0], *const c_bottom = sums.at[16];

  // C is in tiles 0 1 / 2 3, A in 4 / 5, B in 6 7. A configuration clears the tiles: the rest of k goes first, through memory.
  const auto configure = [&](int64_t groups) {
    TileConfig config;
    const auto set = [&](int tile, int n, int64_t bytes) { config.rows[tile] = uint8_t(n), config.row_bytes[tile] = uint16_t(n ? bytes : 0); };
    for (int right = 0; right < 2; right++) {
      set(right, top, 64), set(2 + right, bottom, 64);
      set(6 + right, int(groups), 64);
    }
    set(4, top, 4 * groups), set(5, bottom, 4 * groups);
    Ops::configure(config);
  };
  const auto multiply = [&](int64_t k) {
    Ops::template load<4>(a + 4 * k, a_row);
    Ops::template load<6>(b + 64 * k, 64);
    Ops::template dot<0, 4, 6>();
    if (bottom) {
      Ops::template load<5>(a_bottom + 4 * k, a_row);
      Ops::template dot<2, 5, 6>();
    }
    if (!b_panel) return;
    Ops::template load<7>(b_right + 64 * k, 64);
    Ops::template dot<1, 4, 7>();
    if (bottom) Ops::template dot<3, 5, 7>();
  };
  const auto clear = [&] { Ops::template zero<0>(), Ops::template zero<1>(), (bottom ? (Ops::template zero<2>(), Ops::template zero<3>()) : void()); };
  const auto store = [&] {
    Ops::template store<0>(c, row);
    if (b_panel) Ops::template store<1>(c + 16, row);
    if (bottom) Ops::template store<2>(c_bottom, row);
    if (bottom && b_panel) Ops::template store<3>(c_bottom + 16, row);
  };
  if (k4 == 0) {
    std::memset(&sums, 0, sizeof sums);
    return;
  }
  if (rest) {
    configure(rest);
    clear();
    multiply(k4 - rest);
    store();
  }
  if (k4 >= 16) {
    configure(16);
    if (rest) {
      Ops::template load<0>(c, row);
      if (b_panel) Ops::template load<1>(c + 16, row);
      if (bottom) Ops::template load<2>(c_bottom, row);
      if (bottom && b_panel) Ops::template load<3>(c_bottom + 16, row);
    } else {
      clear();
    }
    for (int64_t k = 0; k + 16 <= k4; k += 16) multiply(k);
    store();
  }
  Ops::release();
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
  // Of unsigned A (first in Intel's order) and signed B.
  template <int C, int A, int B> static ACCELNN_INLINE void dot() { asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B)); }
};
#endif

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
