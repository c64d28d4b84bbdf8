// Slow truth: one element after the other, every instruction in double and rounded to float32 once.
// Runs only when forced or in tests, so libm is fine.
#include <cmath>
#include "copy/convert.h"
#include "pointwise/program.h"

namespace accelnn {

namespace {

using namespace pointwise_program;

float read(const TensorView& v, int64_t offset) {
  switch (v.dtype) {
    case DType::f32: return v.as<float>()[offset];
    case DType::f16: return widen(v.as<half>()[offset]);
    case DType::bf16: return widen(v.as<bfloat>()[offset]);
    case DType::i8: return widen(v.as<int8_t>()[offset]);
    case DType::u8: return widen(v.as<uint8_t>()[offset]);
    default: return widen(v.as<boolean>()[offset]);
  }
}

double bounded(double x, double low, double high) {
  x = low > x ? low : x;
  return high < x ? high : x;
}
double value_of(int64_t opcode, double a, double b, double c) {
  switch (opcode) {
    case op_copy: return a;
    case op_neg: return -a;
    case op_abs: return std::fabs(a);
    case op_add: return a + b;
    case op_sub: return a - b;
    case op_mul: return a * b;
    case op_div: return a / b;
    case op_min: return a < b || a != a ? a : b;
    case op_max: return a > b || a != a ? a : b;
    case op_fma: return double(std::fma(float(a), float(b), float(c)));
    case op_sqrt: return std::sqrt(a);
    case op_rsqrt: return 1 / std::sqrt(a);
    case op_exp: return std::exp(a);
    case op_log: return std::log(a);
    case op_log1p: return std::log1p(a);
    case op_tanh: return std::tanh(a);
    case op_sigmoid: return 1 / (1 + std::exp(-a));
    case op_erf: return std::erf(a);
    case op_relu: return a > 0 || a != a ? a : 0;
    case op_square: return a * a;
    case op_reciprocal: return 1 / a;
    case op_floor: return std::floor(a);
    case op_rint: return std::nearbyint(a);
    case op_sign: return a > 0 ? 1 : a < 0 ? -1
                                           : a;
    case op_eq: return a == b;
    case op_ne: return a != b;
    case op_lt: return a < b;
    case op_le: return a <= b;
    case op_gt: return a > b;
    case op_ge: return a >= b;
    case op_select: return a != 0 ? b : c;
    case op_pow:
      if (b == 0 || a == 1) return 1;
      if (a != a || b != b) return a + b;
      return (a < 0 && b != std::nearbyint(b)) || (a == -1 && std::isinf(b)) ? NAN : std::pow(a, b);   // the contract's, not C's, NaN at -inf and -1
    case op_sin: return std::sin(a);
    case op_cos: return std::cos(a);
    case op_gelu: return a == -HUGE_VAL ? 0 : 0.5 * a * std::erfc(-a * M_SQRT1_2);
    case op_gelu_slope: return std::isinf(a) ? a > 0 : 0.5 * std::erfc(-a * M_SQRT1_2) + a * 0.3989422804014327 * std::exp(-0.5 * a * a);
    case op_silu: return a / (1 + std::exp(-a));
    case op_silu_slope: {
      const double s = 1 / (1 + std::exp(-a));
      return s + a * s * (1 - s);
    }
    case op_hardsigmoid: return bounded(a / 6 + 0.5, 0, 1);
    case op_hardswish: return a * bounded(a / 6 + 0.5, 0, 1);
    case op_hardswish_slope: return a <= -3 ? 0 : a >= 3 ? 1
                                                         : a / 3 + 0.5;
    case op_leaky: return a > 0 ? b : b * c;
    case op_clamp: return bounded(a, b, c);
    case op_within: return a > b && a < c;
    case op_gate: return a > 0 ? b : 0;
    case op_expm1: return std::expm1(a);
  }
  return NAN;
}

Status run(const Call& call) {
  Program p;
  ACCELNN_TRY(parse(call, &p));
  const TensorView& y = call.out[0];
  const int64_t count = y.count();
  for (int64_t i = 0; i < count; i++) {
    float value[max_values];
    for (int k = 0; k < p.n_in; k++) {
      const TensorView& x = call.in[k];
      int64_t rest = i, offset = 0;
      for (int d = x.rank - 1; d >= 0; d--) offset += rest % x.shape[d] * x.stride[d], rest /= x.shape[d];
      value[k] = read(x, offset);
    }
    for (int k = 0; k < p.n_instructions; k++) {
      const int64_t* word = p.code + 4 * k;
      double v[3] = {};
      for (int j = 0; j < opcodes[word[0]].operands; j++) v[j] = value[word[1 + j]];
      value[p.n_in + k] = word[0] == op_const ? float_of(uint32_t(word[1])) : float(value_of(word[0], v[0], v[1], v[2]));
    }
    for (int o = 0; o < p.n_out; o++) {
      const float v = value[p.out_value[o]];
      if (call.out[o].dtype == DType::f32) call.out[o].as<float>()[i] = v;
      else if (call.out[o].dtype == DType::u8) call.out[o].as<uint8_t>()[i] = narrow<uint8_t>(v);
      else call.out[o].as<boolean>()[i] = narrow<boolean>(v);
    }
  }
  return {};
}

}  // namespace

#define PUBLISH(dtype)                              \
  Status pointwise_##dtype##_ref(const Call& call); \
  Status pointwise_##dtype##_ref(const Call& call) { return run(call); }
PUBLISH(f32)
PUBLISH(f16)
PUBLISH(bf16)
PUBLISH(i8)
PUBLISH(u8)
PUBLISH(bool)

}  // namespace accelnn
