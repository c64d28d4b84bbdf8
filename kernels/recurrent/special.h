// Cells with what ONNX allows beyond its defaults: other functions, peepholes, coupled gates. Formula by formula, function after function: right, not fast
// (an LSTM cell 3 to 4 times as long as cells.h's), and no branch in the loops of the defaults.
#pragma once
#include "recurrent/cells.h"
#include "recurrent/recurrent.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

inline __attribute__((noinline)) vf cell_function(const CellFunction& f, vf x) {
  const vf alpha = splat(f.alpha), beta = splat(f.beta), zero = {}, one = splat(1.0f);
  switch (f.code) {
    case cell_function::sigmoid: return sigmoid_of(x);
    case cell_function::tanh: return tanh_of(x);
    case cell_function::relu: return max(x, zero);
    case cell_function::affine: return fma(alpha, x, beta);
    case cell_function::leaky_relu: return select(x < 0.0f, alpha * x, x);
    case cell_function::thresholded_relu: return select(x < alpha, zero, x);      // NaN stays
    case cell_function::scaled_tanh: return alpha * tanh_of(beta * x);
    case cell_function::hard_sigmoid: return min(max(fma(alpha, x, beta), zero), one);
    case cell_function::elu: {
      const vf below = select(x < 0.0f, x, zero);
      return select(x < 0.0f, alpha * select(below > -25.0f, Exponential(below).less_one(), splat(-1.0f)), x);
    }
    case cell_function::softsign: return x / (one + abs(x));
    default: return max(x, zero) + log(one + exp(-abs(x)));      // softplus
  }
}

struct SpecialSums {
  vf s[4];            // as the cell's slots
};
struct SpecialCell {
  vf h, c;
};
inline __attribute__((noinline)) SpecialCell special_cell(int kind, const SpecialFunctions& f, const SpecialSums& a, vf h, vf c, const float* peep,
                                                          int64_t units, int some, float clip, bool late) {
  const vf limit = splat(clip);
  const auto cut_to = [&](vf x) __attribute__((always_inline)) {
    if (clip > 0) {
      x = limit < x ? limit : x;
      x = -limit > x ? -limit : x;
    }
    return x;
  };
  const auto peeped = [&](vf x, int which, vf state) __attribute__((always_inline)) {
    return cut_to(peep ? fma(load(peep + which * units, some), state, x) : x);
  };
  if (kind == cell::lstm) {
    const vf i = cell_function(f.f[0], peeped(a.s[0], 0, c));
    const vf forget = f.coupled ? 1.0f - i : cell_function(f.f[0], peeped(a.s[1], 2, c));
    const vf next = fma(forget, c, i * cell_function(f.f[1], cut_to(a.s[2])));
    return {cell_function(f.f[0], peeped(a.s[3], 1, next)) * cell_function(f.f[2], next), next};
  }
  if (kind == cell::gru) {
    const vf r = cell_function(f.f[0], cut_to(a.s[0])), z = cell_function(f.f[0], cut_to(a.s[1]));
    const vf n = cell_function(f.f[1], cut_to(late ? a.s[3] + a.s[2] : fma(r, a.s[2], a.s[3])));
    return {fma(z, h, (1.0f - z) * n), c};
  }
  return {cell_function(f.f[0], cut_to(a.s[0])), c};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
