// Rows of floats into bytes, each with its own step and zero point (dynamic_qmatmul.h has the formula).
#pragma once
#include "lanes.h"
#include "matmul/dot4.h"
#include "quantize/dynamic_quantize.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

#if defined(ACCELNN_SPLIT_BYTES)
constexpr int quad_bytes = 8;          // two words for four k: {q0, q2} and {q1, q3} as 16-bit numbers, what pmaddwd takes
#else
constexpr int quad_bytes = 4;
#endif

ACCELNN_INLINE vi larger(vi a, vi b) { return a > b ? a : b; }
ACCELNN_INLINE vu larger(vu a, vu b) { return a > b ? a : b; }
// As many vectors as lanes -> their maxima, one a lane: a third of the instructions of as many rotations.
template <class V> ACCELNN_INLINE V each_largest(V (&v)[lanes]) {
#pragma GCC unroll 4
  for (int n = lanes / 2; n; n /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
      const vf a = reinterpret_cast<vf>(v[2 * i]), b = reinterpret_cast<vf>(v[2 * i + 1]);
      v[i] = larger(reinterpret_cast<V>(evens(a, b)), reinterpret_cast<V>(odds(a, b)));
    }
  return v[0];
}

// Four vectors of integers in 0..256, in order, as quads; 256 becomes 255.
ACCELNN_INLINE void store_quads(char* to, const vi (&v)[4]) {
#if defined(__AVX512F__)
  const auto at = [&](int i) { return reinterpret_cast<__m512i>(v[i]); };
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(at(0), at(1)), _mm512_packs_epi32(at(2), at(3)));     // within quarters
  const vi bytes = reinterpret_cast<vi>(_mm512_maskz_permutexvar_epi32(0xffff, order, packed));
#elif defined(__AVX2__)
  const auto at = [&](int i) { return reinterpret_cast<__m256i>(v[i]); };
  const __m256i packed = _mm256_packus_epi16(_mm256_packs_epi32(at(0), at(1)), _mm256_packs_epi32(at(2), at(3)));     // within halves
  const vi bytes = reinterpret_cast<vi>(_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
#elif defined(__x86_64__)
  const auto at = [&](int i) { return reinterpret_cast<__m128i>(v[i]); };
  const vi bytes = reinterpret_cast<vi>(_mm_packus_epi16(_mm_packs_epi32(at(0), at(1)), _mm_packs_epi32(at(2), at(3))));
#else
  vi bytes = {};
  for (int i = 0; i < 4 * lanes; i++) reinterpret_cast<uint8_t*>(&bytes)[i] = uint8_t(v[i / lanes][i % lanes] < 255 ? v[i / lanes][i % lanes] : 255);
#endif
#if defined(ACCELNN_SPLIT_BYTES)
  const vf even = as_float(bytes & 0x00ff00ff), odd = as_float((bytes >> 8) & 0x00ff00ff);
  store_bits(to, as_bits(zip_low(even, odd)));
  store_bits(to + vector_bytes, as_bits(zip_high(even, odd)));
#else
  store_bits(to, bytes);
#endif
}

// do_four(four vectors, where) for k numbers, the last four vectors filled with zeros.
template <class F> ACCELNN_INLINE void in_fours(const float* x, int64_t k, const F& do_four) {
  vf v[4];
  int64_t i = 0;
  for (; i + 4 * lanes <= k; i += 4 * lanes) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) v[u] = load(x + i + u * lanes);
    do_four(v, i);
  }
  if (i == k) return;
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) {
    const int64_t left = k - i - u * lanes;
    v[u] = load(x + (left > 0 ? i + u * lanes : 0), int(left > lanes ? lanes : left > 0 ? left
                                                                                        : 0));
  }
  do_four(v, i);
}

// Costs 2 to 4 % of a product with 16 rows or more, 8 % of the squares 256 and 512: 5.3 cycles for 16 numbers, 2.4 and 2.7 in its passes, of which the
// integer maxima (one vector a cycle) and the arithmetic are 4. Hence little came of one load for both maxima (0 to 1 %), batches that stay in L1
// whole, lines of the next batch asked for early, and a rounding conversion with the zero point added to 16 bits (each -1 to +4 % of the whole pass).
// Low and high as bits: among floats as signed integers the largest is the largest positive one, as unsigned integers the most negative one if there
// is any; infinities and NaNs of either sign lie beyond. Two integer maxima a vector find range and faults, where minps and maxps would lose a NaN.
inline void quantize_rows(const float* from, int64_t from_row, int64_t rows, int64_t k, char* to, int64_t to_row, float* step, int32_t* zero) {
  // Rows between the passes: one division serves as many as there are lanes, but long ones should still be in L1 at the second.
  const int64_t most = k <= 1024 ? lanes : lanes / 4;
  const vf tiny = splat(1.17549435e-38f), magic = splat(12582912.0f);         // 1.5 * 2^23 pushes a fraction out, halves to even
  for (int64_t r0 = 0; r0 < rows; r0 += most) {
    const int n = int(rows - r0 < most ? rows - r0 : most);
    vi highs[lanes] = {};
    vu lows[lanes] = {};
    for (int r = 0; r < n; r++) {
      const float* x = from + (r0 + r) * from_row;
      vi high[4] = {};
      vu low[4] = {};
      in_fours(x, k, [&](const vf(&v)[4], int64_t) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) high[u] = larger(high[u], as_bits(v[u])), low[u] = larger(low[u], reinterpret_cast<vu>(v[u]));
      });
      highs[r] = larger(larger(high[0], high[1]), larger(high[2], high[3]));
      lows[r] = larger(larger(low[0], low[1]), larger(low[2], low[3]));
    }
    const vi top = each_largest(highs);
    const vu bottom = each_largest(lows);
    const vf h = as_float(top), l = select(reinterpret_cast<vi>(bottom > 0x80000000u), reinterpret_cast<vf>(bottom), vf{});
    vf s = (0.5f * h - 0.5f * l) / 127.5f;
    s = s > tiny ? s : tiny;
    const vf inverses = 1.0f / s;
    const vi finite = (top < 0x7f800000) & reinterpret_cast<vi>(bottom < 0xff800000u);
    const vi zeros = (as_bits(magic - l * inverses) - as_bits(magic)) & finite;
    store(step + r0, select(finite, s, splat(__builtin_nanf(""))), n);
    store_ints(zero + r0, zeros, n);
    float inverse[lanes];
    int32_t shift[lanes];
    store(inverse, inverses);
    store_bits(shift, zeros - as_bits(magic));
    for (int r = 0; r < n; r++) {      // what the numbers of a row without a step become does not matter
      const float* x = from + (r0 + r) * from_row;
      char* q = to + (r0 + r) * to_row;
      const vf scale = splat(inverse[r]);
      const vi low = splat(shift[r]);
      in_fours(x, k, [&](const vf(&v)[4], int64_t i) __attribute__((always_inline)) {
        vi w[4];
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) w[u] = as_bits(v[u] * scale + magic) + low;
        store_quads(q + i / 4 * quad_bytes, w);
      });
    }
  }
}

// One step for all rows: first how far they reach, then, where that is known of all of them, their bytes, by a true division.
inline Extremes extremes_of_rows(const float* from, int64_t from_row, int64_t rows, int64_t k) {
  vi high[4] = {};
  vu low[4] = {};
  for (int64_t r = 0; r < rows; r++)
    in_fours(from + r * from_row, k, [&](const vf(&v)[4], int64_t) __attribute__((always_inline)) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) high[u] = larger(high[u], as_bits(v[u])), low[u] = larger(low[u], reinterpret_cast<vu>(v[u]));
    });
  const vi top = larger(larger(high[0], high[1]), larger(high[2], high[3]));
  const vu bottom = larger(larger(low[0], low[1]), larger(low[2], low[3]));
  Extremes found = {0, 0};
  for (int l = 0; l < lanes; l++) found = widest(found, {top[l], bottom[l]});
  return found;
}
inline void rows_by_step(const float* from, int64_t from_row, int64_t rows, int64_t k, char* to, int64_t to_row, ByteStep by) {
  const vf step = splat(by.step), magic = splat(12582912.0f);
  const vi low = splat(by.zero) - as_bits(magic);
  for (int64_t r = 0; r < rows; r++)
    in_fours(from + r * from_row, k, [&](const vf(&v)[4], int64_t i) __attribute__((always_inline)) {
      vi w[4];
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) w[u] = as_bits(v[u] / step + magic) + low;
      store_quads(to + r * to_row + i / 4 * quad_bytes, w);
    });
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
