#pragma once
#include "lanes.h"
#include "quantize_linear.h"
#include "runs.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace quantize {

// On a lambda that is called with a constant and with a variable n: g++ would inline neither.
#define INLINED __attribute__((always_inline))

template <class F> ACCELNN_INLINE void in_lanes(int64_t count, const F& body) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, lanes);
  if (i < count) body(i, int(count - i));
}
ACCELNN_INLINE vf lanes_of(const float* p, int n) { return n == lanes ? load(p) : load(p, n); }
template <class T> ACCELNN_INLINE vi ints_of(const T* p, int n) { return n == lanes ? load_bytes(p) : load_bytes(p, n); }
ACCELNN_INLINE vi ints_of(const int32_t* p, int n) { return n == lanes ? load_bits(p) : load_ints(p, n); }

// clamp(rint(x / scale) + zero): the clamp comes first, on floats: inf and 1e30 have a sign there. low = least - zero, high = greatest - zero
ACCELNN_INLINE vi quantized(vf x, vf scale, vi zero, vf low, vf high) {
  vf q = rint(x / scale);
  q = select(q < low, low, select(q > high, high, q));
  return to_int(select(q == q, q, vf{})) + zero;
}

// u8 and i8 in one: they differ in their least value and in how a zero point is widened; the stores are the same.
inline __attribute__((noinline)) void quantize_run(const float* x, const float* scale, const uint8_t* zero, bool each, bool with_sign,
                                                   uint8_t* q, int64_t count) {
  const int32_t least = with_sign ? -128 : 0, greatest = least + 255, flip = with_sign ? 128 : 0;      // (z ^ 128) - 128: the byte z with its sign
  const auto put = [&](int64_t i, vi v, int n) INLINED { if (n == lanes) store_bytes(q + i, v); else store_bytes(q + i, v, n); };
  if (each) {
    in_lanes(count, [&](int64_t i, int n) INLINED {
      const vi z = (ints_of(zero + i, n) ^ flip) - flip;
      put(i, quantized(lanes_of(x + i, n), lanes_of(scale + i, n), z, to_float(least - z), to_float(greatest - z)), n);
    });
  } else {
    const vi z = splat((int32_t(*zero) ^ flip) - flip);
    const vf s = splat(*scale), low = to_float(least - z), high = to_float(greatest - z);
    in_lanes(count, [&](int64_t i, int n) INLINED { put(i, quantized(lanes_of(x + i, n), s, z, low, high), n); });
  }
}

ACCELNN_INLINE Status quantize_linear(const Call& c) {
  const bool with_sign = c.out[0].dtype == DType::i8;
  over_runs(c, c.in[0], c.in[1], c.integer(quantize_linear_attr::axis), [&](int64_t at, int64_t n, int64_t channel, bool each) {
    quantize_run(c.in[0].as<float>() + at, c.in[1].as<float>() + channel, c.in[2].as<uint8_t>() + channel, each, with_sign, c.out[0].as<uint8_t>() + at, n);
  });
  return {};
}

template <class T> __attribute__((noinline)) void dequantize_run(const T* q, const float* scale, const T* zero, bool each, float* x, int64_t count) {
  const auto put = [&](int64_t i, vf v, int n) INLINED { if (n == lanes) store(x + i, v); else store(x + i, v, n); };
  if (each) {
    in_lanes(count, [&](int64_t i, int n) INLINED {
      put(i, to_float(ints_of(q + i, n) - (zero ? ints_of(zero + i, n) : vi{})) * lanes_of(scale + i, n), n);
    });
  } else {
    const vi z = splat(zero ? int32_t(*zero) : 0);
    const vf s = splat(*scale);
    in_lanes(count, [&](int64_t i, int n) INLINED { put(i, to_float(ints_of(q + i, n) - z) * s, n); });
  }
}
// q - zero needs 33 bits: rare (a bias has no zero point), so left to the compiler.
ACCELNN_INLINE void dequantize_wide(const int32_t* q, const float* scale, const int32_t* zero, bool each, float* x, int64_t count) {
  for (int64_t i = 0; i < count; i++) x[i] = float(int64_t(q[i]) - zero[each ? i : 0]) * scale[each ? i : 0];
}

template <class T> ACCELNN_INLINE Status dequantize_linear(const Call& c) {
  const T* zero = c.in[2].absent() ? nullptr : c.in[2].as<T>();
  over_runs(c, c.in[0], c.in[1], c.integer(dequantize_linear_attr::axis), [&](int64_t at, int64_t n, int64_t channel, bool each) {
    const T* q = c.in[0].as<T>() + at;
    const float* scale = c.in[1].as<float>() + channel;
    float* x = c.out[0].as<float>() + at;
    if constexpr (sizeof(T) == 4) if (zero) { dequantize_wide(q, scale, zero + channel, each, x, n); return; }
    dequantize_run(q, scale, zero ? zero + channel : nullptr, each, x, n);
  });
  return {};
}

#undef INLINED

}  // namespace quantize
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
