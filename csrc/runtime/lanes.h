// Lanes of the SIMD vector moved about, and bytes as lanes. Beside vec.h, so that families without shuffles do not read it.
#pragma once
#include <utility>
#include "vec.h"

#if defined(__clang__)
#define ACCELNN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ACCELNN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, vi{__VA_ARGS__})          // g++ knows the other name only from 12 on
#endif

namespace accelnn {
inline namespace ACCELNN_TARGET {

template <int... i> using Lanes = std::integer_sequence<int, i...>;
using AllLanes = std::make_integer_sequence<int, lanes>;

template <int... i> ACCELNN_INLINE vi ramp_(Lanes<i...>) { return vi{i...}; }
ACCELNN_INLINE vi ramp() { return ramp_(AllLanes{}); }                                // 0, 1, 2, ...

// a and b are 2 * lanes numbers in a row: those at even places, those at odd places.
template <int... i> ACCELNN_INLINE vf evens_(vf a, vf b, Lanes<i...>) { return ACCELNN_SHUFFLE(a, b, (2 * i)...); }
template <int... i> ACCELNN_INLINE vf odds_(vf a, vf b, Lanes<i...>) { return ACCELNN_SHUFFLE(a, b, (2 * i + 1)...); }
ACCELNN_INLINE vf evens(vf a, vf b) { return evens_(a, b, AllLanes{}); }
ACCELNN_INLINE vf odds(vf a, vf b) { return odds_(a, b, AllLanes{}); }
// The way back: first and second half of a0 b0 a1 b1 ...
template <int... i> ACCELNN_INLINE vf zip_low_(vf a, vf b, Lanes<i...>) { return ACCELNN_SHUFFLE(a, b, (i / 2 + (i & 1) * lanes)...); }
template <int... i> ACCELNN_INLINE vf zip_high_(vf a, vf b, Lanes<i...>) { return ACCELNN_SHUFFLE(a, b, ((i + lanes) / 2 + (i & 1) * lanes)...); }
ACCELNN_INLINE vf zip_low(vf a, vf b) { return zip_low_(a, b, AllLanes{}); }
ACCELNN_INLINE vf zip_high(vf a, vf b) { return zip_high_(a, b, AllLanes{}); }
// A square of vectors transposed: first and second half interleaved log2(lanes) times.
ACCELNN_INLINE void transpose(vf (&v)[lanes]) {
  vf w[lanes];
#pragma GCC unroll 4
  for (int step = 1; step < lanes; step *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < lanes / 2; i++) w[2 * i] = zip_low(v[i], v[i + lanes / 2]), w[2 * i + 1] = zip_high(v[i], v[i + lanes / 2]);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; i++) v[i] = w[i];
  }
}
template <int step, int... i> ACCELNN_INLINE vf rotate_(vf v, Lanes<i...>) { return ACCELNN_SHUFFLE(v, v, ((i + step) & (lanes - 1))...); }
template <int step> ACCELNN_INLINE vf rotate(vf v) { return rotate_<step>(v, AllLanes{}); }

// Sum and maximum in every lane: log2(lanes) rotations, no trip through scalar registers. The sum has sum_of's tree and bits. Where a lane is NaN the
// maximum may be any other lane: for callers who meet the NaN again.
template <int step> ACCELNN_INLINE vf sum_across_(vf v) {
  v = v + rotate<step>(v);
  if constexpr (step > 1) return sum_across_<step / 2>(v);
  return v;
}
ACCELNN_INLINE vf sum_across(vf v) { return sum_across_<lanes / 2>(v); }
template <int step> ACCELNN_INLINE vf max_across_(vf v) {
  v = larger(v, rotate<step>(v));
  if constexpr (step > 1) return max_across_<step / 2>(v);
  return v;
}
ACCELNN_INLINE vf max_across(vf v) { return max_across_<lanes / 2>(v); }
ACCELNN_INLINE bool any(vi mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(mask), reinterpret_cast<__m512i>(mask)) != 0;
#else
  int32_t all = 0;
  for (int i = 0; i < lanes; i++) all |= mask[i];
  return all != 0;
#endif
}

ACCELNN_INLINE vi load_ints(const int32_t* p, int n) { return as_bits(load(reinterpret_cast<const float*>(p), n)); }
ACCELNN_INLINE void store_ints(int32_t* p, vi v, int n) { store(reinterpret_cast<float*>(p), as_float(v), n); }

// One byte a lane; stores keep the low byte. Intrinsics, because g++ 12 by itself goes through memory (u8 pooling: 162 us instead of 28).
// The masked forms: g++ warns of an uninitialized source in the plain ones.
#if defined(__AVX512F__)
ACCELNN_INLINE vi widened(__m128i b, bool with_sign) {
  return reinterpret_cast<vi>(with_sign ? _mm512_maskz_cvtepi8_epi32(0xffff, b) : _mm512_maskz_cvtepu8_epi32(0xffff, b));
}
#endif
template <class T> ACCELNN_INLINE vi widened(const T* p) {
  static_assert(sizeof(T) == 1);
#if defined(__AVX512F__)
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return widened(b, T(-1) < T(0));
#elif defined(__AVX2__)
  const __m128i b = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return reinterpret_cast<vi>(T(-1) < T(0) ? _mm256_cvtepi8_epi32(b) : _mm256_cvtepu8_epi32(b));
#else
  typedef T bytes __attribute__((vector_size(lanes)));
  bytes v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, vi);
#endif
}
template <class T> ACCELNN_INLINE vi load_bytes(const T* p) { return widened(p); }
// A rest of n lanes. Without mask registers it is dozens of instructions, so one copy of them serves every caller.
#if defined(__AVX512F__)
#define ACCELNN_REST ACCELNN_INLINE
#else
#define ACCELNN_REST __attribute__((noinline))
#endif
template <class T> ACCELNN_REST vi load_bytes(const T* p, int n) {
#if defined(__AVX512F__)
  return widened(_mm_maskz_loadu_epi8(__mmask16((1u << n) - 1), p), T(-1) < T(0));
#else
  uint64_t bits = 0;                                 // in a register: single bytes stored and loaded as one word would wait for the store buffer
  for (int i = 0; i < n; i++) {
    bits |= uint64_t(uint8_t(p[i])) << 8 * i;
    asm("" : "+r"(bits));                            // g++ -O3 would vectorize these few steps into kilobytes, once a caller
  }
  T part[8];
  std::memcpy(part, &bits, sizeof part);
  return widened(part);
#endif
}
template <class T> ACCELNN_INLINE void store_bytes(T* p, vi v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v)));
#else
  typedef T bytes __attribute__((vector_size(lanes)));
  const bytes b = __builtin_convertvector(v, bytes);
  std::memcpy(p, &b, sizeof b);
#endif
}
template <class T> ACCELNN_REST void store_bytes(T* p, vi v, int n) {
#if defined(__AVX512F__)
  _mm512_mask_cvtepi32_storeu_epi8(p, __mmask16((1u << n) - 1), reinterpret_cast<__m512i>(v));
#else
  uint64_t bits = 0;
  T part[8];
  store_bytes(part, v);
  std::memcpy(&bits, part, lanes);
  for (int i = 0; i < n; i++) {
    p[i] = T(bits);
    bits >>= 8;
    asm("" : "+r"(bits));
  }
#endif
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
