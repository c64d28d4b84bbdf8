// acc + the sum of four u8 x s8 products in every 32-bit lane (with sdot: of (u - 128) x s8). Sums wrap like int32; no other inexactness, hence equal
// bits on every ISA.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// One operand, taken apart as far as the ISA needs it.
#if defined(__ARM_FEATURE_DOTPROD)
constexpr int dot4_offset = 128;
#else
constexpr int dot4_offset = 0;         // the products are of (u - dot4_offset) * s
#endif
#if defined(__AVX512VNNI__)
struct Bytes { vi v; };
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) { return {v}; }
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) {
  return reinterpret_cast<vi>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(u.v), reinterpret_cast<__m512i>(s.v)));
}
#elif defined(__AVXVNNI__)
struct Bytes { vi v; };
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) { return {v}; }
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) {
  return reinterpret_cast<vi>(_mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(acc), reinterpret_cast<__m256i>(u.v), reinterpret_cast<__m256i>(s.v)));
}
#elif defined(__x86_64__)
#define ACCELNN_SPLIT_BYTES          // an operand is two vectors of 16-bit numbers
// pmaddubsw saturates at 16 bits (255 * 127 * 2 does not fit); even and odd bytes widened to 16 bits and pmaddwd are exact.
struct Bytes { vi even, odd; };
typedef int16_t vs __attribute__((vector_size(vector_bytes)));
typedef uint16_t vus __attribute__((vector_size(vector_bytes)));
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) {
  if constexpr (Unsigned) return {v & 0x00ff00ff, reinterpret_cast<vi>(reinterpret_cast<vus>(v) >> 8)};
  else return {reinterpret_cast<vi>(reinterpret_cast<vs>(reinterpret_cast<vus>(v) << 8) >> 8), reinterpret_cast<vi>(reinterpret_cast<vs>(v) >> 8)};
}
ACCELNN_INLINE vi madd(vi a, vi b) {
#if defined(__AVX512BW__)
  return reinterpret_cast<vi>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<vi>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return reinterpret_cast<vi>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#endif
}
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) { return acc + madd(u.even, s.even) + madd(u.odd, s.odd); }
#elif defined(__ARM_FEATURE_DOTPROD)
// Signed by signed bytes only: u - 128 has its top bit flipped, and the callers take 128 times the sum of the weights out with the zero point.
struct Bytes { int8x16_t v; };
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) {
  const int8x16_t b = reinterpret_cast<int8x16_t>(v);
  return {Unsigned ? veorq_s8(b, vdupq_n_s8(-128)) : b};
}
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) { return reinterpret_cast<vi>(vdotq_s32(reinterpret_cast<int32x4_t>(acc), u.v, s.v)); }
#else
struct Bytes { vi v[4]; };
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) {
  Bytes b;
  for (int q = 0; q < 4; q++) {
    const vu up = reinterpret_cast<vu>(v) << (24 - 8 * q);
    b.v[q] = Unsigned ? reinterpret_cast<vi>(up >> 24) : reinterpret_cast<vi>(up) >> 24;
  }
  return b;
}
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) {
  for (int q = 0; q < 4; q++) acc += u.v[q] * s.v[q];
  return acc;
}
#endif

// The same four bytes in every lane.
template <bool Unsigned> ACCELNN_INLINE Bytes broadcast_bytes(const void* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  vi v = splat(four);
#if defined(ACCELNN_SPLIT_BYTES) && !defined(__clang__)
  // In a vector before they are taken apart: g++ does it in a general register and moves both halves over (AVX2 109 instead of 129 GOP/s, AVX-512 136
  // instead of 169; not so base, and not so signed bytes).
#if defined(__AVX512F__)
  if (Unsigned) asm("" : "+v"(v));
#elif defined(__AVX2__)
  if (Unsigned) asm("" : "+x"(v));
#endif
#endif
  return take_apart<Unsigned>(v);
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
