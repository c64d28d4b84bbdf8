// Rows of floats into bytes, each with its own step and zero point (dynamic_qmatmul.h has the formula).
#pragma once
#include "lanes.h"
#include "matmul/dot4.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

#if defined(ACCELNN_SPLIT_BYTES)
constexpr int quad_bytes = 8;          // two words for four k: {q0, q2} and {q1, q3} as 16-bit numbers, what pmaddwd takes
#else
constexpr int quad_bytes = 4;
#endif

ACCELNN_INLINE vi larger(vi a, vi b) { return a > b ? a : b; }
ACCELNN_INLINE vu larger(vu a, vu b) { return a > b ? a : b; }
template <int step> ACCELNN_INLINE vi larger_across(vi v) {
  v = larger(v, as_bits(rotate<step>(as_float(v))));
  if constexpr (step > 1) return larger_across<step / 2>(v);
  return v;
}
template <int step> ACCELNN_INLINE vu larger_across(vu v) {
  v = larger(v, reinterpret_cast<vu>(rotate<step>(reinterpret_cast<vf>(v))));
  if constexpr (step > 1) return larger_across<step / 2>(v);
  return v;
}

// Four vectors of integers in 0..256, in order, as quads; 256 becomes 255.
ACCELNN_INLINE void store_quads(char* to, const vi (&v)[4]) {
#if defined(__AVX512F__)
  __m128i part[4];
  for (int i = 0; i < 4; i++) part[i] = _mm512_maskz_cvtusepi32_epi8(0xffff, reinterpret_cast<__m512i>(v[i]));
#if !defined(ACCELNN_SPLIT_BYTES)
  for (int i = 0; i < 4; i++) _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + i, part[i]);
  return;
#else
  const __m512i half = _mm512_inserti32x4(_mm512_zextsi128_si512(part[0]), part[1], 1);
  const vi bytes = reinterpret_cast<vi>(_mm512_inserti32x4(_mm512_inserti32x4(half, part[2], 2), part[3], 3));
#endif
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
#elif !defined(__AVX512F__)
  store_bits(to, bytes);
#endif
}

// What of the 4 * lanes numbers from x[k] on there is.
ACCELNN_INLINE void load_four(const float* x, int64_t k, int64_t end, vf (&v)[4]) {
  if (k + 4 * lanes <= end) {
    for (int i = 0; i < 4; i++) v[i] = load(x + k + i * lanes);
    return;
  }
  for (int i = 0; i < 4; i++) {
    const int64_t left = end - k - i * lanes;
    v[i] = left >= lanes ? load(x + k + i * lanes) : left > 0 ? load(x + k + i * lanes, int(left))
                                                              : vf{};
  }
}

// Low and high as bits: among floats as signed integers the largest is the largest positive one, as unsigned integers the most negative one if there
// is any; infinities and NaNs of either sign lie beyond. Two integer maxima a vector find range and faults, where minps and maxps would lose a NaN.
inline void quantize_rows(const float* from, int64_t from_row, int64_t rows, int64_t k, char* to, int64_t to_row, float* step, int32_t* zero) {
  constexpr int most = 8;              // rows between the passes: their reductions and divisions overlap, and short ones are still in L1
  float inverse[most];
  for (int64_t r0 = 0; r0 < rows; r0 += most) {
    const int n = int(rows - r0 < most ? rows - r0 : most);
    for (int r = 0; r < n; r++) {
      const float* x = from + (r0 + r) * from_row;
      vi high[4] = {};
      vu low[4] = {};
      for (int64_t i = 0; i < k; i += 4 * lanes) {
        vf v[4];
        load_four(x, i, k, v);
        for (int u = 0; u < 4; u++) high[u] = larger(high[u], as_bits(v[u])), low[u] = larger(low[u], reinterpret_cast<vu>(v[u]));
      }
      const int32_t top = larger_across<lanes / 2>(larger(larger(high[0], high[1]), larger(high[2], high[3])))[0];
      const uint32_t bottom = larger_across<lanes / 2>(larger(larger(low[0], low[1]), larger(low[2], low[3])))[0];
      float h, l = 0;
      std::memcpy(&h, &top, 4);
      if (bottom > 0x80000000u) std::memcpy(&l, &bottom, 4);
      float s = (0.5f * h - 0.5f * l) / 127.5f;
      if (!(s > 1.17549435e-38f)) s = 1.17549435e-38f;
      const bool finite = top < 0x7f800000 && bottom < 0xff800000u;
      inverse[r] = 1.0f / s;
      zero[r0 + r] = finite ? as_bits(splat(-l * inverse[r] + 12582912.0f))[0] - 0x4b400000 : 0;
      step[r0 + r] = finite ? s : __builtin_nanf("");
    }
    for (int r = 0; r < n; r++) {
      const float* x = from + (r0 + r) * from_row;
      char* q = to + (r0 + r) * to_row;
      // 1.5 * 2^23 pushes the fraction out, halves to even; the integer is in the low bits. What a row without a step becomes does not matter.
      const vf scale = splat(inverse[r]);
      const vi shift = splat(zero[r0 + r] - 0x4b400000);
      for (int64_t i = 0; i < k; i += 4 * lanes, q += lanes * quad_bytes) {
        vf v[4];
        vi w[4];
        load_four(x, i, k, v);
        for (int u = 0; u < 4; u++) w[u] = as_bits(v[u] * scale + 12582912.0f) + shift;
        store_quads(q, w);
      }
    }
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
