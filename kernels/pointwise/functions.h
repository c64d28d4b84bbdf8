// What each opcode does to one vector. Comparisons give 1.0 or 0.0.
#pragma once
#include "pointwise/gelu.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace pointwise_function {

ACCELNN_INLINE vf truth(vi mask) { return as_float(mask & as_bits(splat(1.0f))); }
ACCELNN_INLINE vf with_sign(vf magnitude, vi sign) { return as_float(as_bits(magnitude) ^ (sign & int32_t(0x80000000))); }

// log(1 + x) with the rounding of 1 + x taken back: u = 1 + x exactly rounded, log(u) * x / (u - 1).
ACCELNN_INLINE vf log1p_of(vf x) {
  const vf u = x + 1.0f, y = accelnn::log(u) * (x / (u - 1.0f));
  return select((u == 1.0f) | (x == __builtin_inff()), x, select(u == 0.0f, splat(-__builtin_inff()), y));
}
ACCELNN_INLINE vf pow_of(vf a, vf b) {
  const vf whole = accelnn::rint(b), y = accelnn::exp(b * accelnn::log(accelnn::abs(a))), half = b * 0.5f;
  const vi is_whole = whole == b, is_odd = is_whole & (accelnn::rint(half) != half);
  const vf signed_y = with_sign(y, as_bits(a) & is_odd);
  const vf r = select((a < 0.0f) & ~is_whole, splat(__builtin_nanf("")), signed_y);
  return select((b == 0.0f) | (a == 1.0f), splat(1.0f), select((a != a) | (b != b), a + b, r));
}
// x = q pi/2 + r in three parts of few bits (Cody and Waite), then the Cephes polynomials on [-pi/4, pi/4]; `quarter` 1 gives the cosine.
ACCELNN_INLINE vf sine_of(vf x, int32_t quarter) {
  const vf n = accelnn::rint(x * 0.636619772f);
  vf r = accelnn::fma(n, splat(-1.5703125f), x);
  r = accelnn::fma(n, splat(-4.837512969970703125e-4f), r);
  r = accelnn::fma(n, splat(-7.54978995489188216e-8f), r);
  const vf bounded = select(accelnn::abs(n) < 1e9f, n, splat(0.0f)), z = r * r;
  const vi q = to_int(bounded) + quarter;
  vf s = accelnn::fma(z, splat(-1.9515295891e-4f), splat(8.3321608736e-3f));
  s = accelnn::fma(s, z, splat(-1.6666654611e-1f));
  s = accelnn::fma(s * z, r, r);
  vf c = accelnn::fma(z, splat(2.443315711809948e-5f), splat(-1.388731625493765e-3f));
  c = accelnn::fma(c, z, splat(4.166664568298827e-2f));
  c = accelnn::fma(c, z * z, 1.0f - 0.5f * z);
  return with_sign(select((q & 1) != 0, c, s), q << 30);
}

// One instruction where there is one; the same bits.
ACCELNN_INLINE vf rint_of(vf x) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_roundscale_ps(__mmask16(-1), reinterpret_cast<__m512>(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__AVX2__)
  return reinterpret_cast<vf>(_mm256_round_ps(reinterpret_cast<__m256>(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
  return accelnn::rint(x);
#endif
}
ACCELNN_INLINE vf floor_of(vf x) {
  const vf r = rint_of(x);
  return select(r > x, r - 1.0f, r);
}

// e^x - 1 as tanh makes it, doubled at the end so that 2^128 is no factor.
ACCELNN_INLINE vf expm1_of(vf x) {
  const vf inside = clamp_of(x, splat(-20.0f), splat(89.0f));
  const vf shifted = accelnn::fma(inside, splat(1.44269504f), splat(12582912.0f)), n = shifted - 12582912.0f;
  vf r = accelnn::fma(n, splat(-0.693359375f), inside);
  r = accelnn::fma(n, splat(2.12194440e-4f), r);
  vf p = accelnn::fma(r, splat(0.0013882522471249104f), splat(0.00836651399731636f));
  p = accelnn::fma(p, r, splat(0.04166720062494278f));
  p = accelnn::fma(p, r, splat(0.1666654348373413f));
  p = accelnn::fma(p, r, splat(0.4999999701976776f));
  const vf half = as_float((as_bits(shifted) << 23) + 0x3f000000), t = accelnn::fma(half, accelnn::fma(p * r, r, r), half - 0.5f);
  return as_float(as_bits(t + t) | (as_bits(x) & int32_t(0x80000000)));          // -0 stays
}
ACCELNN_INLINE vf exp_negative(vf x) { return accelnn::exp2(x * -1.44269504f); }
ACCELNN_INLINE vf silu_slope_of(vf x) {
  const vf s = 1.0f / (1.0f + exp_negative(x));
  return accelnn::fma(x * s, 1.0f - s, s);
}
ACCELNN_INLINE vf hardsigmoid_of(vf x) { return clamp_of(accelnn::fma(x, splat(1.0f / 6.0f), splat(0.5f)), splat(0.0f), splat(1.0f)); }
ACCELNN_INLINE vf hardswish_slope_of(vf x) {
  const vf y = accelnn::fma(x, splat(1.0f / 3.0f), splat(0.5f));
  return select(x <= -3.0f, splat(0.0f), select(x >= 3.0f, splat(1.0f), y));
}

#define FUNCTION(name, ...)                                                                                                  \
  struct f_##name {                                                                                                          \
    static ACCELNN_INLINE vf of([[maybe_unused]] vf a, [[maybe_unused]] vf b, [[maybe_unused]] vf c) { return __VA_ARGS__; } \
  };
FUNCTION(const, a)
FUNCTION(copy, a)
FUNCTION(neg, -a)
FUNCTION(abs, accelnn::abs(a))
FUNCTION(add, a + b)
FUNCTION(sub, a - b)
FUNCTION(mul, a* b)
FUNCTION(div, a / b)
FUNCTION(min, accelnn::min(a, b))
FUNCTION(max, accelnn::max(a, b))
FUNCTION(fma, accelnn::fma(a, b, c))
FUNCTION(sqrt, accelnn::sqrt(a))
FUNCTION(rsqrt, 1.0f / accelnn::sqrt(a))
FUNCTION(exp, accelnn::exp(a))
FUNCTION(log, accelnn::log(a))
FUNCTION(log1p, log1p_of(a))
FUNCTION(tanh, accelnn::tanh(a))
FUNCTION(sigmoid, 1.0f / (1.0f + accelnn::exp(-a)))             // exp of a large -a is inf, and that is right: vec.h's other side costs five instructions
FUNCTION(erf, accelnn::erf(a))
FUNCTION(relu, accelnn::max(a, splat(0.0f)))
FUNCTION(square, a* a)
FUNCTION(reciprocal, 1.0f / a)
FUNCTION(floor, floor_of(a))
FUNCTION(rint, rint_of(a))
FUNCTION(sign, accelnn::select((a < 0.0f) | (a > 0.0f), as_float((as_bits(a) & int32_t(0x80000000)) | as_bits(splat(1.0f))), a))
FUNCTION(eq, truth(a == b))
FUNCTION(ne, truth(a != b))
FUNCTION(lt, truth(a < b))
FUNCTION(le, truth(a <= b))
FUNCTION(gt, truth(a > b))
FUNCTION(ge, truth(a >= b))
FUNCTION(select, accelnn::select(a != 0.0f, b, c))
FUNCTION(pow, pow_of(a, b))
FUNCTION(sin, sine_of(a, 0))
FUNCTION(cos, sine_of(a, 1))
FUNCTION(gelu, gelu_of(a))
FUNCTION(gelu_slope, gelu_slope_of(a))
FUNCTION(silu, a / (1.0f + exp_negative(a)))
FUNCTION(silu_slope, silu_slope_of(a))
FUNCTION(hardsigmoid, hardsigmoid_of(a))
FUNCTION(hardswish, a* hardsigmoid_of(a))
FUNCTION(hardswish_slope, hardswish_slope_of(a))
FUNCTION(leaky, accelnn::select(a > 0.0f, b, b* c))
FUNCTION(clamp, clamp_of(a, b, c))
FUNCTION(within, truth((a > b) & (a < c)))
FUNCTION(gate, accelnn::select(a > 0.0f, b, splat(0.0f)))
FUNCTION(expm1, expm1_of(a))
// Two in a row (generic.h): both round.
FUNCTION(mul_add, a* b + c)
FUNCTION(mul_sub, a* b - c)
FUNCTION(sub_of_mul, c - a * b)
FUNCTION(add_mul, (a + b) * c)
FUNCTION(sub_mul, (a - b) * c)
#undef FUNCTION

}  // namespace pointwise_function
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
