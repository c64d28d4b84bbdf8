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
             count_ };      // gelu is the exact one, x/2 (1 + erf(x / sqrt 2))
}

inline namespace ACCELNN_TARGET {

ACCELNN_INLINE vf activate(vf x, int how) {
  switch (how) {
    case activation::relu: return max(x, vf{});
    case activation::gelu: return pointwise_function::gelu_of(x);
    case activation::silu: return x * sigmoid(x);
    case activation::sigmoid: return sigmoid(x);
    case activation::tanh: return tanh(x);
  }
  return x;
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
