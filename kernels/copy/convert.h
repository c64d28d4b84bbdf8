// One element of any dtype into another, the same bits on every ISA: integer operations and selects only, so that plain loops over them become SIMD.
#pragma once
#include <cstring>
#include "dtype.h"

#ifndef ACCELNN_TARGET
#error "compile kernel files with the flags of accelnn/deploy/toolchain.py"
#endif

// One copy a function: what g++ inlines into loops and clones for constant arguments at -O3 doubled the size of pointwise and copy.
#if defined(__clang__)
#define ACCELNN_APART __attribute__((noinline))
#else
#define ACCELNN_APART __attribute__((noinline, noclone))
#endif

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct half { uint16_t bits; };
struct bfloat { uint16_t bits; };
struct boolean { uint8_t bits; };

ACCELNN_INLINE float float_of(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
ACCELNN_INLINE uint32_t bits_of(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

ACCELNN_INLINE float widen(half h) {
  const uint32_t e = uint32_t(h.bits & 0x7fff) << 13, sign = uint32_t(h.bits & 0x8000) << 16;
  const uint32_t normal = e + (112u << 23);
  // a denormal half is a small integer over 2^24: let the float adder normalise it
  const uint32_t denormal = bits_of(float_of(e + (113u << 23)) - 0x1p-14f);
  const uint32_t special = e + (224u << 23);
  return float_of((e >= 0x0f800000u ? special : e < 0x00800000u ? denormal
                                                                : normal) |
                  sign);
}
ACCELNN_INLINE half narrow_half(float f) {
  const uint32_t u = bits_of(f), sign = (u >> 16) & 0x8000, a = u & 0x7fffffff;
  const uint32_t normal = (a - (112u << 23) + 0xfff + ((a >> 13) & 1)) >> 13;      // a carry out of the mantissa is the next exponent, up to infinity
  const uint32_t denormal = bits_of(float_of(a) + 0.5f) - 0x3f000000u;             // the float adder rounds at 2^-24, half to even
  const uint32_t special = a > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return {uint16_t((a >= 0x47800000u ? special : a < 0x38800000u ? denormal
                                                                 : normal) |
                   sign)};
}
ACCELNN_INLINE float widen(bfloat b) { return float_of(uint32_t(b.bits) << 16); }
ACCELNN_INLINE bfloat narrow_bfloat(float f) {
  const uint32_t u = bits_of(f), rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return {uint16_t((u & 0x7fffffff) > 0x7f800000u ? (u >> 16) | 0x40 : rounded)};
}

// Truncates toward zero, saturates, NaN gives 0. `top` is the first float above the range.
template <class I> ACCELNN_INLINE I saturate(float f, float bottom, float top, I lowest, I highest) {
  const float inside = f > bottom && f < top ? f : 0.0f;
  const I i = I(inside);
  return f >= top ? highest : f <= bottom ? lowest
                                          : i;
}

template <class T> struct Kind { static constexpr bool real = false; };
template <> struct Kind<float> { static constexpr bool real = true; };
template <> struct Kind<half> { static constexpr bool real = true; };
template <> struct Kind<bfloat> { static constexpr bool real = true; };

// float <-> T
ACCELNN_INLINE float widen(float x) { return x; }
ACCELNN_INLINE float widen(int8_t x) { return float(x); }
ACCELNN_INLINE float widen(uint8_t x) { return float(x); }
ACCELNN_INLINE float widen(int32_t x) { return float(x); }
ACCELNN_INLINE float widen(int64_t x) { return float(x); }
ACCELNN_INLINE float widen(boolean x) { return x.bits ? 1.0f : 0.0f; }

template <class T> ACCELNN_INLINE T narrow(float x);
template <> ACCELNN_INLINE float narrow<float>(float x) { return x; }
template <> ACCELNN_INLINE half narrow<half>(float x) { return narrow_half(x); }
template <> ACCELNN_INLINE bfloat narrow<bfloat>(float x) { return narrow_bfloat(x); }
template <> ACCELNN_INLINE int8_t narrow<int8_t>(float x) { return int8_t(saturate<int32_t>(x, -129.0f, 128.0f, -128, 127)); }
template <> ACCELNN_INLINE uint8_t narrow<uint8_t>(float x) { return uint8_t(saturate<int32_t>(x, -1.0f, 256.0f, 0, 255)); }
template <> ACCELNN_INLINE int32_t narrow<int32_t>(float x) { return saturate<int32_t>(x, -0x1p31f, 0x1p31f, INT32_MIN, INT32_MAX); }
template <> ACCELNN_INLINE int64_t narrow<int64_t>(float x) { return saturate<int64_t>(x, -0x1p63f, 0x1p63f, INT64_MIN, INT64_MAX); }
template <> ACCELNN_INLINE boolean narrow<boolean>(float x) { return {uint8_t(x != 0.0f)}; }

// integers
ACCELNN_INLINE int64_t whole(int8_t x) { return x; }
ACCELNN_INLINE int64_t whole(uint8_t x) { return x; }
ACCELNN_INLINE int64_t whole(int32_t x) { return x; }
ACCELNN_INLINE int64_t whole(int64_t x) { return x; }
ACCELNN_INLINE int64_t whole(boolean x) { return x.bits != 0; }
template <class T> ACCELNN_INLINE T from_whole(int64_t x) { return T(x); }
template <> ACCELNN_INLINE boolean from_whole<boolean>(int64_t x) { return {uint8_t(x != 0)}; }

template <class To, class From> ACCELNN_INLINE To convert(From x) {
  if constexpr (Kind<From>::real || Kind<To>::real) return narrow<To>(widen(x));
  else return from_whole<To>(whole(x));
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
