// The slow truth: the formulas of the contracts, element by element.
#include "matmul/activation.h"
#include "matmul/matmul.h"
#include "matmul/qmatmul.h"

namespace accelnn {

static double element(const TensorView& v, int64_t at) {
  if (v.dtype == DType::f32) return double(v.as<float>()[at]);
  const uint32_t bits = uint32_t(v.as<uint16_t>()[at]) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return double(f);
}

static Status matmul_ref(const Call& call) {
  const TensorView &a = call.in[0], &b = call.in[1], &bias = call.in[2], &residual = call.in[3], &y = call.out[0];
  const bool packed = call.integer(matmul_attr::packed) != 0;
  const int batch_dims = y.rank - 2;
  const int64_t m = y.dim(-2), n = y.dim(-1), k = a.dim(-1), count = y.count();
  for (int64_t at = 0; at < count; at++) {
    const int64_t item = at / (m * n), i = at / n % m, j = at % n;
    const int64_t row = batch_offset(a, item, batch_dims) + i * a.stride[batch_dims];
    double sum = 0;
    for (int64_t l = 0; l < k; l++) {
      const int64_t x = !packed   ? batch_offset(b, item, batch_dims) + l * b.stride[batch_dims] + j * b.stride[batch_dims + 1]
          : b.dtype == DType::f32 ? (j / 16 * k + l) * 16 + j % 16
                                  : (j / 16 * ((k + 1) / 2) + l / 2) * 32 + j % 16 * 2 + l % 2;
      sum += element(a, row + l * a.stride[batch_dims + 1]) * element(b, x);
    }
    sum *= double(float(call.real(matmul_attr::scale)));
    if (!residual.absent()) sum += element(residual, at);
    if (!bias.absent()) sum += element(bias, j);
    const float v = activate(splat(float(sum)), int(call.integer(matmul_attr::activation)))[0];
    if (y.dtype == DType::f32) {
      y.as<float>()[at] = v;
      continue;
    }
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    y.as<uint16_t>()[at] = uint16_t(v != v ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
  return {};
}
Status matmul_f32_ref(const Call& call) { return matmul_ref(call); }
Status matmul_bf16_ref(const Call& call) { return matmul_ref(call); }

Status matmul_pack_bf16_ref(const Call& call) {
  const TensorView &b = call.in[0], &p = call.out[0];
  const int64_t k = b.shape[0], n = b.shape[1], pairs = p.shape[1], count = p.count();
  for (int64_t at = 0; at < count; at++) {
    const int64_t j = at / (32 * pairs) * 16 + at % 32 / 2, l = at / 32 % pairs * 2 + at % 2;
    p.as<uint16_t>()[at] = j < n && l < k ? b.as<uint16_t>()[l * b.stride[0] + j * b.stride[1]] : uint16_t(0);
  }
  return {};
}

Status matmul_pack_f32_ref(const Call& call) {
  const TensorView &b = call.in[0], &p = call.out[0];
  const int64_t k = b.shape[0], n = b.shape[1], count = p.count();
  for (int64_t at = 0; at < count; at++) {
    const int64_t j = at / (16 * k) * 16 + at % 16, l = at / 16 % k;
    p.as<float>()[at] = j < n ? b.as<float>()[l * b.stride[0] + j * b.stride[1]] : 0.0f;
  }
  return {};
}

Status matmul_pack_i8_ref(const Call& call) {
  const TensorView &b = call.in[0], &p = call.out[0];
  const int64_t k = b.shape[0], n = b.shape[1], rows = p.shape[1];
  for (int64_t q = 0; q < p.shape[0]; q++) {
    int8_t* panel = p.as<int8_t>() + q * rows * 64;
    for (int64_t c = 0; c < 16; c++) {
      const int64_t j = q * 16 + c;
      int32_t sum = 0;
      for (int64_t l = 0; l < (rows - 1) * 4; l++) {
        const int8_t v = j < n && l < k ? b.as<int8_t>()[l * b.stride[0] + j * b.stride[1]] : int8_t(0);
        panel[l / 4 * 64 + c * 4 + l % 4] = v;
        sum += v;
      }
      std::memcpy(panel + (rows - 1) * 64 + c * 4, &sum, 4);
    }
  }
  return {};
}

Status qmatmul_u8_ref(const Call& call) {
  const TensorView &a = call.in[0], &b = call.in[2], &bias = call.in[4], &out_zero = call.in[5], &y = call.out[0];
  const bool packed = call.integer(qmatmul_attr::packed) != 0, relu = call.integer(qmatmul_attr::relu) != 0;
  const int64_t m = y.shape[0], n = y.shape[1], k = a.shape[1], rows = (k + 3) / 4 + 1;
  const int a_zero = *call.in[1].as<uint8_t>();
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      uint32_t sum = bias.absent() ? 0u : uint32_t(bias.as<int32_t>()[j]);
      for (int64_t l = 0; l < k; l++) {
        const int x = a.as<uint8_t>()[i * a.stride[0] + l * a.stride[1]] - a_zero;
        const int w = packed ? b.as<int8_t>()[(j / 16 * rows + l / 4) * 64 + j % 16 * 4 + l % 4] : b.as<int8_t>()[l * b.stride[0] + j * b.stride[1]];
        sum += uint32_t(x * w);
      }
      int32_t v = int32_t(sum);
      if (relu && v < 0) v = 0;
      const float f = float(v) * call.in[3].as<float>()[j];
      if (y.dtype == DType::i32) y.as<int32_t>()[i * n + j] = v;
      else if (y.dtype == DType::f32) y.as<float>()[i * n + j] = f;
      else {
        const float q = rint(splat(f))[0] + float(*out_zero.as<uint8_t>());
        y.as<uint8_t>()[i * n + j] = q > 0.0f ? uint8_t(q < 255.0f ? q : 255.0f) : uint8_t(0);
      }
    }
  return {};
}

}  // namespace accelnn
