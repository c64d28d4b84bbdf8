// Copies of f32 operands into the layouts that the tiles read fast.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

ACCELNN_INLINE void transpose_4x4(const float* from, int64_t from_step, float* to, int64_t to_step) {
#if defined(__x86_64__)
  __m128 r0 = _mm_loadu_ps(from), r1 = _mm_loadu_ps(from + from_step);
  __m128 r2 = _mm_loadu_ps(from + 2 * from_step), r3 = _mm_loadu_ps(from + 3 * from_step);
  _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
  _mm_storeu_ps(to, r0);
  _mm_storeu_ps(to + to_step, r1);
  _mm_storeu_ps(to + 2 * to_step, r2);
  _mm_storeu_ps(to + 3 * to_step, r3);
#else
  for (int i = 0; i < 4; i++) {
    const quad row = {from[i], from[i + from_step], from[i + 2 * from_step], from[i + 3 * from_step]};
    *reinterpret_cast<quad*>(to + i * to_step) = row;
  }
#endif
}

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
  const int64_t whole_rows = row == 1 ? rows / 4 * 4 : 0, whole_columns = row == 1 ? columns / 4 * 4 : 0;
  // 64 columns at a time: their cache lines stay in L1 until the four groups of four rows in them are used.
  for (int64_t c0 = 0; c0 < whole_columns; c0 += 64) {
    const int64_t c1 = c0 + 64 < whole_columns ? c0 + 64 : whole_columns;
    for (int64_t r = 0; r < whole_rows; r += 4)
      for (int64_t c = c0; c < c1; c += 4) transpose_4x4(from + r + c * column, column, to + r * to_row + c, to_row);
  }
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; c++) to[r * to_row + c] = from[r * row + c * column];
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
