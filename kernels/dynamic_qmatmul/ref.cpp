// The slow truth: the formulas of the contract, element by element, in float32 where the contract says so.
#include "dynamic_qmatmul/dynamic_qmatmul.h"
#include "matmul/activation.h"
#include "quantize/dynamic_quantize.h"

namespace accelnn {

Status dynamic_qmatmul_f32_ref(const Call& call) {
  const TensorView &a = call.in[0], &b = call.in[1], &bias = call.in[3], &y = call.out[0];
  const bool packed = call.integer(dynamic_qmatmul_attr::packed) != 0;
  const int64_t n = y.dim(-1), k = a.dim(-1), quads = (k + 3) / 4 + 1, a_k = a.stride[a.rank - 1];
  const int64_t rows = n ? y.count() / n : 0;
  Extremes all = {0, 0};
  const bool whole = call.integer(dynamic_qmatmul_attr::whole) != 0;
  for (int64_t i = 0; whole && i < rows; i++)
    for (int64_t l = 0; l < k; l++) {
      Extremes one;
      std::memcpy(&one.top, row_of(a, i) + l * a_k, 4);
      std::memcpy(&one.bottom, row_of(a, i) + l * a_k, 4);
      all = widest(all, one);
    }
  const ByteStep by = byte_step(all);
  for (int64_t i = 0; i < rows; i++) {
    const float* x = row_of(a, i);
    float low = 0, high = 0;
    bool finite = true;
    for (int64_t l = 0; l < k; l++) {
      const float v = x[l * a_k];
      finite = finite && __builtin_isfinite(v);
      if (v < low) low = v;
      if (v > high) high = v;
    }
    float step = (0.5f * high - 0.5f * low) / 127.5f;
    if (step < 1.17549435e-38f) step = 1.17549435e-38f;
    const float inverse = 1.0f / step;
    int zero = finite ? int(rint(splat(-low * inverse))[0]) : 0;
    if (whole) finite = by.step == by.step, step = by.step, zero = by.zero;
    for (int64_t j = 0; j < n; j++) {
      uint32_t sum = 0;
      for (int64_t l = 0; finite && l < k; l++) {
        int q = int(rint(splat(whole ? x[l * a_k] / step : x[l * a_k] * inverse))[0]) + zero;
        if (q > 255) q = 255;
        const int w = packed ? b.as<int8_t>()[(j / 16 * quads + l / 4) * 64 + j % 16 * 4 + l % 4] : b.as<int8_t>()[l * b.stride[0] + j * b.stride[1]];
        sum += uint32_t((q - zero) * w);
      }
      float v = float(int32_t(sum)) * (call.in[2].as<float>()[j] * step);
      if (!finite) v = __builtin_nanf("");
      if (!bias.absent()) v += bias.as<float>()[j];
      y.as<float>()[i * n + j] = activate(splat(v), int(call.integer(dynamic_qmatmul_attr::activation)))[0];
    }
  }
  return {};
}

}  // namespace accelnn
