// Transposing 4-byte elements in registers: `lanes` rows of `lanes` at a time.
#pragma once
#include "lanes.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// rows x columns, at most lanes x lanes (whole: exactly): log2(lanes) rounds of interleaving.
template <bool whole> ACCELNN_INLINE void turn_block(const float* from, int64_t from_row, float* to, int64_t to_row, int rows = lanes, int columns = lanes) {
  vf r[lanes], t[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; i++) r[i] = whole ? load(from + i * from_row) : i < rows ? load(from + i * from_row, columns)
                                                                                      : vf{};
#pragma GCC unroll 4
  for (int step = 1; step < lanes; step *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < lanes / 2; i++) t[2 * i] = zip_low(r[i], r[i + lanes / 2]), t[2 * i + 1] = zip_high(r[i], r[i + lanes / 2]);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; i++) r[i] = t[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes; i++) {
    if (whole) store(to + i * to_row, r[i]);
    else if (i < columns) store(to + i * to_row, r[i], rows);
  }
}
__attribute__((noinline)) inline void turn_rest(const float* from, int64_t from_row, float* to, int64_t to_row, int rows, int columns) {
  turn_block<false>(from, from_row, to, to_row, rows, columns);
}

// to[j * to_row + i] = from[i * from_row + j]. The rows of the next blocks lie too far apart for the hardware to guess; they are
// asked for into L2: rows a multiple of 4 KiB apart (224x224) share one set of L1, where 16 of them would push each other out (half the speed).
inline void turn(const float* from, int64_t from_row, int64_t rows, int64_t columns, float* to, int64_t to_row) {
  for (int64_t i = 0; i < rows; i += lanes)
    for (int64_t j = 0; j < columns; j += lanes) {
      const float* const at = from + i * from_row + j;
      const int down = rows - i < lanes ? int(rows - i) : lanes, across = columns - j < lanes ? int(columns - j) : lanes;
      if (i + 2 * lanes <= rows)
#pragma GCC unroll 16
        for (int k = 0; k < lanes; k++) __builtin_prefetch(at + (lanes + k) * from_row, 0, 2);
      if (down == lanes && across == lanes) turn_block<true>(at, from_row, to + j * to_row + i, to_row);
      else turn_rest(at, from_row, to + j * to_row + i, to_row, down, across);
    }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
