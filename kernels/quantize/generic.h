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

// Whole vectors; the last one begins further left where it would not be full, and writes some bytes again. least: -128 for i8, 0 for u8, which
// is all that tells the two apart: zero points are read as u8 and get their sign from it.
inline void quantize_run(const QuantizeRun& run, int32_t least) {
  const QuantizeRun r = run;                       // in registers: a store of bytes may change anything else
  if (r.count < lanes) return quantize_few(r, least);
  const vi sign = splat(-least);
  if (r.each) {
    for (int64_t i = 0; i < r.count; i += lanes) {
      const int64_t at = i + lanes <= r.count ? i : r.count - lanes;
      const vi z = (load_bytes(r.zero + at) ^ sign) - sign;
      store_bytes(r.q + at, quantized(load(r.x + at), load(r.scale + at), z, to_float(least - z), to_float(least + 255 - z)));
    }
    return;
  }
  const vi z = (splat(int32_t(*r.zero)) ^ sign) - sign;
  const vf s = splat(*r.scale), low = to_float(least - z), high = to_float(least + 255 - z);
  int64_t i = 0;
  for (; i + lanes <= r.count; i += lanes) store_bytes(r.q + i, quantized(load(r.x + i), s, z, low, high));
  if (i < r.count) store_bytes(r.q + r.count - lanes, quantized(load(r.x + r.count - lanes), s, z, low, high));
}

inline Extremes extremes_of(const float* x, int64_t count) {
  const auto larger = [](vi a, vi b) INLINED { return a > b ? a : b; };
  const auto lower = [](vu a, vu b) INLINED { return a > b ? a : b; };
  vi top[4] = {};
  vu bottom[4] = {};
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
      const vf v = load(x + i + u * lanes);
      top[u] = larger(top[u], as_bits(v)), bottom[u] = lower(bottom[u], reinterpret_cast<vu>(v));
    }
  for (; i < count; i += lanes) {
    const vf v = lanes_of(x + i, int(count - i < lanes ? count - i : lanes));
    top[0] = larger(top[0], as_bits(v)), bottom[0] = lower(bottom[0], reinterpret_cast<vu>(v));
  }
  const vi t = larger(larger(top[0], top[1]), larger(top[2], top[3]));
  const vu b = lower(lower(bottom[0], bottom[1]), lower(bottom[2], bottom[3]));
  Extremes found = {0, 0};
  for (int l = 0; l < lanes; l++) found = widest(found, {t[l], b[l]});
  return found;
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
    if constexpr (sizeof(T) == 4)
      if (zero) {
        dequantize_wide(q, scale, zero + channel, each, x, n);
        return;
      }
    dequantize_run(q, scale, zero ? zero + channel : nullptr, each, x, n);
  });
  return {};
}

#undef INLINED

}  // namespace quantize
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
