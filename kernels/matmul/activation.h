// The activations that matmul and conv2d can apply before they store. The numbers are attribute values: append only.
#pragma once
#include "pointwise/gelu.h"

namespace accelnn {

namespace activation {
enum : int { none = 0,
             relu,
             gelu,
             silu,
             sigmoid,
             tanh,
             hardsigmoid,
             hardswish,
             count_ };      // gelu is the exact one, x/2 (1 + erf(x / sqrt 2))
}

inline namespace ACCELNN_TARGET {

// The bits of pointwise's: x / 6 + 1/2 between 0 and 1. NaN stays.
ACCELNN_INLINE vf hardsigmoid(vf x) {
  vf s = fma(x, splat(1.0f / 6.0f), splat(0.5f));
  s = 0.0f > s ? vf{} : s;
  return 1.0f < s ? splat(1.0f) : s;
}

ACCELNN_INLINE vf activate(vf x, int how) {
  switch (how) {
    case activation::relu: return max(x, vf{});
    case activation::gelu: return pointwise_function::gelu_of(x);
    case activation::silu: return x * sigmoid(x);
    case activation::sigmoid: return sigmoid(x);
    case activation::tanh: return tanh(x);
    case activation::hardsigmoid: return hardsigmoid(x);
    case activation::hardswish: return x * hardsigmoid(x);
  }
  return x;
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
