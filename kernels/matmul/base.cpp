#include "matmul/bf16_generic.h"
#include "matmul/generic.h"
#include "matmul/gemm_i8.h"
#include "matmul/pack_i8.h"

namespace accelnn {

Status matmul_f32_base(const Call& call) { return matmul(call); }
Status matmul_bf16_base(const Call& call) { return matmul_bf16(call); }
Status qmatmul_u8_base(const Call& call) { return qmatmul(call, i8_isa<true>()); }

// Packing only moves bytes: wider vectors would not be faster.
Status matmul_pack_f32_base(const Call& call) {
  const TensorView &b = call.in[0], &p = call.out[0];
  const int64_t k = b.shape[0], n = b.shape[1], wide = panels_abreast * panel_columns;
  parallel(call, (p.shape[0] + panels_abreast - 1) / panels_abreast, work_of(k, n, 8), [&](int64_t i) {
    const int64_t j = i * wide, columns = n - j < wide ? n - j : wide;
    pack_panels(b.as<float>() + j * b.stride[1], b.stride[0], b.stride[1], k, columns, p.as<float>() + j * k, k * panel_columns);
  });
  return {};
}
Status matmul_pack_bf16_base(const Call& call) {
  const TensorView &b = call.in[0], &p = call.out[0];
  const int64_t k = b.shape[0], n = b.shape[1];
  parallel(call, p.shape[0], work_of(k, n, 4), [&](int64_t i) {
    const int64_t j = i * panel_columns, columns = n - j < panel_columns ? n - j : panel_columns;
    pack_pairs(b.as<uint16_t>() + j * b.stride[1], b.stride[0], b.stride[1], k, columns, p.as<uint16_t>() + i * p.shape[1] * 32);
  });
  return {};
}
Status matmul_pack_i8_base(const Call& call) {
  const TensorView &b = call.in[0], &p = call.out[0];
  const int64_t k = b.shape[0], n = b.shape[1], panel_bytes = p.shape[1] * 64;
  parallel(call, (p.shape[0] + panels_at_once - 1) / panels_at_once, work_of(k, n, 2), [&](int64_t i) {
    const int64_t j = i * panels_at_once * 16, columns = n - j < panels_at_once * 16 ? n - j : panels_at_once * 16;
    pack_panels(b.as<int8_t>() + j * b.stride[1], b.stride[0], b.stride[1], k, columns, p.as<int8_t>() + j / 16 * panel_bytes, panel_bytes);
  });
  return {};
}

}  // namespace accelnn
