// matmul_pack for bytes at the speed of memory, where a row of the matrix lies along its columns or along k; anything else, and a last panel that is
// not full, goes element by element. Apart from pack.h: a stand-alone binary has packed weights and does not need this.
#pragma once
#include "matmul/pack.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

constexpr int64_t panels_at_once = 4;          // a cache line of a matrix with rows along the columns

#if defined(__x86_64__)
struct ByteSums {                              // of 16 columns
  __m128i part[4] = {};
  ACCELNN_INLINE void put(int i, __m128i quads, int8_t* to) {        // four k of columns 4 i ... 4 i + 3
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + i, quads);
    part[i] = _mm_add_epi32(part[i], _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), quads), _mm_set1_epi16(1)));
  }
};
ACCELNN_INLINE __m128i load_16(const int8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

// A group of four k in rows along the columns.
ACCELNN_INLINE void quads_of_rows(const int8_t* from, int64_t b_k, int8_t* to, ByteSums& sums) {
  const __m128i a = load_16(from), b = load_16(from + b_k), c = load_16(from + 2 * b_k), d = load_16(from + 3 * b_k);
  const __m128i ab = _mm_unpacklo_epi8(a, b), cd = _mm_unpacklo_epi8(c, d), AB = _mm_unpackhi_epi8(a, b), CD = _mm_unpackhi_epi8(c, d);
  sums.put(0, _mm_unpacklo_epi16(ab, cd), to), sums.put(1, _mm_unpackhi_epi16(ab, cd), to);
  sums.put(2, _mm_unpacklo_epi16(AB, CD), to), sums.put(3, _mm_unpackhi_epi16(AB, CD), to);
}

// Four groups of four k of columns 4 i ... 4 i + 3, each along k: numbers of 32 bits, transposed.
ACCELNN_INLINE void quads_of_columns(const int8_t* from, int64_t b_column, int i, int8_t* to, ByteSums& sums) {
  const int8_t* p = from + 4 * i * b_column;
  const __m128i a = load_16(p), b = load_16(p + b_column), c = load_16(p + 2 * b_column), d = load_16(p + 3 * b_column);
  const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d), AB = _mm_unpackhi_epi32(a, b), CD = _mm_unpackhi_epi32(c, d);
  sums.put(i, _mm_unpacklo_epi64(ab, cd), to), sums.put(i, _mm_unpackhi_epi64(ab, cd), to + 64);
  sums.put(i, _mm_unpacklo_epi64(AB, CD), to + 128), sums.put(i, _mm_unpackhi_epi64(AB, CD), to + 192);
}

inline void pack_full_panels(const int8_t* from, int64_t b_k, int64_t b_column, int64_t rows, int64_t panels, int8_t* to, int64_t panel_bytes) {
  ByteSums sums[panels_at_once];
  int64_t k = 0;                               // along k 16 at a time, along the columns 4; the last few element by element
  if (b_column == 1) {
    for (; k + 4 <= rows; k += 4)
      for (int64_t p = 0; p < panels; p++) quads_of_rows(from + k * b_k + p * 16, b_k, to + p * panel_bytes + k * 16, sums[p]);
  } else {
    // A cache line of four columns at a time: columns are often a multiple of 4 KiB apart, and 16 such lines do not fit the sets of L1.
    const int64_t whole = rows / 16 * 16;
    for (int64_t p = 0; p < panels; p++)
      for (k = 0; k < whole; k += 64)
        for (int i = 0; i < 4; i++)
          for (int64_t at = k; at < k + 64 && at < whole; at += 16)
            quads_of_columns(from + p * 16 * b_column + at, b_column, i, to + p * panel_bytes + at * 16, sums[p]);
    k = whole;
  }
  for (int64_t p = 0; p < panels; p++) {
    int32_t total[16];
    std::memcpy(total, sums[p].part, 64);
    int8_t* row = to + p * panel_bytes + k * 16;
    for (int64_t at = k; at < rows; at += 4, row += 64)
      for (int64_t j = 0; j < 16; j++)
        for (int64_t r = 0; r < 4; r++) total[j] += row[4 * j + r] = at + r < rows ? from[(at + r) * b_k + (16 * p + j) * b_column] : int8_t(0);
    std::memcpy(row, total, 64);
  }
}
#endif

// At most panels_at_once panels, of which the last may have fewer columns.
inline void pack_panels(const int8_t* from, int64_t b_k, int64_t b_column, int64_t rows, int64_t columns, int8_t* to, int64_t panel_bytes) {
  int64_t full = 0;
#if defined(__x86_64__)
  if (b_column == 1 || b_k == 1) {
    full = columns / 16;
    pack_full_panels(from, b_k, b_column, rows, full, to, panel_bytes);
  }
#endif
  for (int64_t j = 16 * full; j < columns; j += 16)
    pack_panel(from + j * b_column, b_k, b_column, rows, columns - j < 16 ? columns - j : 16, to + j / 16 * panel_bytes);
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
