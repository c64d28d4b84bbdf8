// What each opcode does to one vector. Comparisons give 1.0 or 0.0.
#pragma once
#include "vec.h"

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
FUNCTION(sigmoid, accelnn::sigmoid(a))
FUNCTION(erf, accelnn::erf(a))
FUNCTION(relu, accelnn::max(a, splat(0.0f)))
FUNCTION(square, a* a)
FUNCTION(reciprocal, 1.0f / a)
FUNCTION(floor, accelnn::floor(a))
FUNCTION(rint, accelnn::rint(a))
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
#undef FUNCTION

}  // namespace pointwise_function
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
