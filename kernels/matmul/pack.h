// Copies of f32 operands into the layouts that the tiles read fast.
#pragma once
#include "copy/turn.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// to[r * to_row + c] = from[r * row + c * column], r in [0, rows), c in [0, columns)
inline __attribute__((noinline)) void gather(const float* from, int64_t row, int64_t column, int64_t rows, int64_t columns, float* to, int64_t to_row) {
  if (column == 1) {
    for (int64_t r = 0; r < rows; r++, from += row, to += to_row) {
      int64_t c = 0;
      for (; c + lanes <= columns; c += lanes) store(to + c, load(from + c));
      if (c < columns) store(to + c, load(from + c, int(columns - c)), int(columns - c));
    }
    return;
  }
  if (row == 1) return turn_band<false>(to, to_row, from, column, rows, columns);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) to[r * to_row + c] = from[r * row + c * column];
}

// One panel: to[k * 16 + j] = from[k * b_k + j * b_column] for j < columns, zero up to 16.
inline void pack_panel(const float* from, int64_t b_k, int64_t b_column, int64_t rows, int64_t columns, float* to) {
  gather(from, b_k, b_column, rows, columns, to, 16);
  if (columns < 16)
    for (int64_t k = 0; k < rows; k++)
      for (int64_t j = columns; j < 16; j++) to[k * 16 + j] = 0.0f;
}

// Panels of `columns` columns, `panel` elements apart. Side by side where rows of b are contiguous: a row's 512 bytes in one go, where 64 of a panel
// in each pass would open every page eight times (768 x 3072: 1.3 ms, transposed 0.7).
constexpr int64_t panels_abreast = 8;
inline __attribute__((noinline)) void pack_panels(const float* from, int64_t b_k, int64_t b_column, int64_t rows, int64_t columns, float* to, int64_t panel) {
  if (b_column == 1)
    for (; columns >= panels_abreast * 16; columns -= panels_abreast * 16, from += panels_abreast * 16, to += panels_abreast * panel)
      for (int64_t k = 0; k < rows; k++)
#pragma GCC unroll 8
        for (int64_t q = 0; q < panels_abreast; q++)
          for (int j = 0; j < 16; j += lanes) store(to + q * panel + k * 16 + j, load(from + k * b_k + q * 16 + j));
  for (int64_t j = 0; j < columns; j += 16)
    pack_panel(from + j * b_column, b_k, b_column, rows, columns - j < 16 ? columns - j : 16, to + j / 16 * panel);
}

// One panel of bytes, with its row of column sums (matmul.h).
inline void pack_panel(const int8_t* from, int64_t b_k, int64_t b_column, int64_t rows, int64_t columns, int8_t* to) {
  int32_t sums[16] = {};
  for (int64_t k = 0; k < rows; k += 4, to += 64) {
    std::memset(to, 0, 64);
    const int64_t n = rows - k < 4 ? rows - k : 4;
    for (int64_t j = 0; j < columns; j++)
      for (int64_t r = 0; r < n; r++) sums[j] += to[4 * j + r] = from[(k + r) * b_k + j * b_column];
  }
  std::memcpy(to, sums, sizeof sums);
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
