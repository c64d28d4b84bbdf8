// The functions of recurrent cells over common denominators: an LSTM cell divides twice instead of five times, a GRU cell twice instead of three times.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// The smaller, the larger; NaN where x is. One instruction: of the comparison and the selection that g++ makes, a cell has ten each, and the next cells wait.
ACCELNN_INLINE vf at_most(vf high, vf x) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_min_ps(__mmask16(-1), reinterpret_cast<__m512>(high), reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<vf>(_mm256_min_ps(reinterpret_cast<__m256>(high), reinterpret_cast<__m256>(x)));
#else
  return high < x ? high : x;
#endif
}
ACCELNN_INLINE vf at_least(vf low, vf x) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_max_ps(__mmask16(-1), reinterpret_cast<__m512>(low), reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<vf>(_mm256_max_ps(reinterpret_cast<__m256>(low), reinterpret_cast<__m256>(x)));
#else
  return low > x ? low : x;
#endif
}

// e^x = power (1 + rest), power a power of two, rest = 2^f - 1 with |f| <= 1/2 as f times a polynomial, accurate for small x too. x is cut to +-25, where a
// logistic function is 1e-11 from its end and a product of three stays finite. x / ln 2 is rounded once: e^x then errs by |x| 2^-24 of itself, which a
// logistic function or tanh multiplies by at most 0.23 / |x|. vec.h's two-part reduction has three multiply-adds more: 17.3 instead of 15.8 ns for 16 LSTM
// cells. NaN passes: it is the operand that a comparison falls back on.
struct Exponential {
  vf power, rest;
  ACCELNN_INLINE explicit Exponential(vf x, float scale = 1.44269504f) {      // e^x, or of a multiple of x
    const vf magic = splat(12582912.0f);
    x = at_least(splat(-36.0f), at_most(splat(36.0f), x * scale));
    const vf shifted = x + magic, f = x - (shifted - magic);
    vf p = fma(f, splat(1.546145160e-4f), splat(1.339087692e-3f));
    p = fma(p, f, splat(9.618056660e-3f));
    p = fma(p, f, splat(5.550357080e-2f));
    p = fma(p, f, splat(2.402265092e-1f));
    p = fma(p, f, splat(6.931471880e-1f));
    rest = p * f;
    power = as_float((as_bits(shifted) << 23) + 0x3f800000);
  }
  ACCELNN_INLINE vf less_one() const { return fma(power, rest, power - 1.0f); }     // e^x - 1
  ACCELNN_INLINE vf plus_one() const { return fma(power, rest, power + 1.0f); }     // e^x + 1
  ACCELNN_INLINE vf value() const { return fma(power, rest, power); }
};

// s(x) = 1 / denominator(x)
ACCELNN_INLINE vf sigmoid_denominator(vf x) { return Exponential(x, -1.44269504f).plus_one(); }
// tanh(x) = m / (m + 2), m = e^2x - 1: as accurate near 0 as elsewhere, without vec.h's second polynomial.
ACCELNN_INLINE vf tanh_part(vf x) { return Exponential(x, 2 * 1.44269504f).less_one(); }
ACCELNN_INLINE vf tanh_of(vf x) {
  const vf m = tanh_part(x);
  return m / (m + 2.0f);
}
ACCELNN_INLINE vf sigmoid_of(vf x) { return 1.0f / sigmoid_denominator(x); }

struct LstmCell {
  vf i, f, o, g;      // denominators of the logistic ones, tanh's part
  vf c, h;
  ACCELNN_INLINE LstmCell(vf ai, vf af, vf ag, vf ao, vf before)
      : i(sigmoid_denominator(ai)),
        f(sigmoid_denominator(af)),
        o(sigmoid_denominator(ao)),
        g(tanh_part(ag)) {
    const vf d = i * (g + 2.0f);
    c = fma(before, d, g * f) / (f * d);      // one division: c / f + g / (i (g + 2))
    const vf m = tanh_part(c);
    h = m / ((m + 2.0f) * o);
  }
};

struct GruCell {
  vf r, z, n, h;      // denominators, tanh's part
  // `inner`: w_hn h + b_hn, to be multiplied by r
  ACCELNN_INLINE GruCell(vf ar, vf az, vf an, vf inner, vf before) : r(sigmoid_denominator(ar)) {
    n = tanh_part(an + inner / r);
    const Exponential e(az, -1.44269504f);
    z = e.plus_one();
    h = fma(before, n + 2.0f, e.value() * n) / (z * (n + 2.0f));
  }
};

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
