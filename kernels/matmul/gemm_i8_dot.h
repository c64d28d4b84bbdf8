// The byte tile on sdot: four products of signed bytes to a lane. Unsigned by signed (usdot) came with Armv8.6; before it u8 becomes s8 by flipping
// the top bit, which is u - 128, and I8Isa::offset lets the caller take 128 * sum of the weights out with the zero point: exact, and free.
#pragma once
#include <arm_neon.h>
#include "matmul/gemm_i8.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

constexpr int i8_dot_rows = 6;         // 24 accumulators, 6 rows of the broadcast operand, 2 left for the other: all 32 registers
static_assert(i8_dot_rows <= i8_most_rows && tile_columns <= i8_most_columns && tile_vectors == vectors_per_panel);

template <bool Flip> ACCELNN_INLINE int8x16_t dot_operand(const void* p) {
  const int8x16_t v = vld1q_s8(static_cast<const int8_t*>(p));
  return Flip ? veorq_s8(v, vdupq_n_s8(-128)) : v;
}

// One group of four k: `lane` of each row's vector against a row of the panel.
template <bool Flip, int lane, int R> ACCELNN_INLINE void dot_step(int32x4_t (&acc)[R][tile_vectors], const int8x16_t (&x)[R], const char* b) {
#pragma GCC unroll 4
  for (int j = 0; j < tile_vectors; j++) {
    const int8x16_t y = dot_operand<Flip>(b + j * vector_bytes);
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) acc[i][j] = vdotq_laneq_s32(acc[i][j], y, x[i], lane);
  }
}

template <bool UnsignedIsBroadcast, int R> void i8_dot_body(const I8Tile& t, I8Sums& sums) {
  int32x4_t acc[R][tile_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < tile_vectors; j++) acc[i][j] = vdupq_n_s32(0);
  const char *a = static_cast<const char*>(t.a), *b = static_cast<const char*>(t.b);
  int8x16_t x[R];
  int64_t k = 0;
  for (; k + 4 <= t.k4; k += 4, a += 16, b += 4 * t.b_row) {       // the broadcast operand is loaded and flipped 16 bytes at a time
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) x[i] = dot_operand<UnsignedIsBroadcast>(a + i * t.a_row);
    dot_step<!UnsignedIsBroadcast, 0>(acc, x, b);
    dot_step<!UnsignedIsBroadcast, 1>(acc, x, b + t.b_row);
    dot_step<!UnsignedIsBroadcast, 2>(acc, x, b + 2 * t.b_row);
    dot_step<!UnsignedIsBroadcast, 3>(acc, x, b + 3 * t.b_row);
  }
  for (; k < t.k4; k++, a += 4, b += t.b_row) {
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      uint32_t four;
      std::memcpy(&four, a + i * t.a_row, 4);
      x[i] = vreinterpretq_s8_u32(vdupq_n_u32(UnsignedIsBroadcast ? four ^ 0x80808080u : four));
    }
    dot_step<!UnsignedIsBroadcast, 0>(acc, x, b);
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < tile_vectors; j++) vst1q_s32(sums.at[i] + 4 * j, acc[i][j]);
}

template <bool UnsignedIsBroadcast> void i8_dot_tile(int rows, const I8Tile& t, I8Sums& sums) {
  switch (rows) {
    case 1: return i8_dot_body<UnsignedIsBroadcast, 1>(t, sums);
    case 2: return i8_dot_body<UnsignedIsBroadcast, 2>(t, sums);
    case 3: return i8_dot_body<UnsignedIsBroadcast, 3>(t, sums);
    case 4: return i8_dot_body<UnsignedIsBroadcast, 4>(t, sums);
    case 5: return i8_dot_body<UnsignedIsBroadcast, 5>(t, sums);
    default: return i8_dot_body<UnsignedIsBroadcast, 6>(t, sums);
  }
}

template <bool UnsignedIsBroadcast> ACCELNN_INLINE I8Isa i8_dot_isa() {
  return {i8_dot_rows, tile_columns, i8_dot_tile<UnsignedIsBroadcast>, i8_finish<!UnsignedIsBroadcast>, 128};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
