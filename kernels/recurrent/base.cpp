#include "copy/convert.h"
#include "recurrent/backward.h"
#include "recurrent/wgrad_generic.h"

namespace accelnn {

Status recurrent_f32_base(const Call& call) { return recurrent(call); }
Status recurrent_grad_f32_base(const Call& call) { return recurrent_grad(call); }
Status recurrent_wgrad_f32_base(const Call& call) { return recurrent_wgrad(call); }

// One panel of int8: [ceil(K/4)][g][64], the scales, the columns' sums.
static void pack_bytes(const float* w, int64_t units, int64_t first, int gates, int64_t rows, int8_t* to) {
  const int64_t quads = (rows + 3) / 4;
  for (int g = 0; g < gates; g++)
    for (int64_t u = 0; u < unit_block; u++) {
      const float* const from = w + (g * units + first + u) * rows;
      const bool there = first + u < units;
      float most = 0;
      for (int64_t k = 0; there && k < rows; k++) {
        const float size = __builtin_fabsf(from[k]);
        most = size > most || size != size ? size : most;
      }
      const float scale = most / 127.0f;
      int32_t sum = 0;
      int8_t* const at = to + g * 64 + 4 * u;
      for (int64_t k = 0; k < 4 * quads; k++) {
        const float x = there && k < rows ? from[k] / scale : 0.0f;
        const int32_t i = x >= -127.5f && x <= 127.5f ? int32_t(x + 12582912.0f - 12582912.0f) : 0;      // NaN: 0
        at[k / 4 * gates * 64 + k % 4] = int8_t(i);
        sum += i;
      }
      std::memcpy(at + quads * gates * 64, &scale, 4);
      std::memcpy(at + (quads + 1) * gates * 64, &sum, 4);
    }
}

// Packing only moves bytes: wider vectors would not be faster.
Status recurrent_pack_f32_base(const Call& call) {
  const TensorView &w = call.in[0], &to = call.out[0];
  const int gates = int(call.integer(recurrent_pack_attr::gates));
  const int64_t units = w.shape[0] / gates, rows = w.shape[1];
  if (to.dtype == DType::f32) {
    parallel(call, to.shape[0], w.count() * 8, [&](int64_t q) {
      pack_units(w.as<float>(), units, q * unit_block, gates, rows, to.as<float>() + q * rows * gates * unit_block);
    });
    return {};
  }
  if (to.dtype == DType::i8) {
    parallel(call, to.shape[0], w.count() * 16, [&](int64_t q) {
      pack_bytes(w.as<float>(), units, q * unit_block, gates, rows, to.as<int8_t>() + q * to.shape[1] * gates * 64);
    });
    return {};
  }
  parallel(call, to.shape[0], w.count() * 16, [&](int64_t q) {
    uint16_t* p = to.as<uint16_t>() + q * to.shape[1] * gates * 2 * unit_block;
    for (int64_t k = 0; k < 2 * to.shape[1]; k++)
      for (int g = 0; g < gates; g++)
        for (int64_t u = 0; u < unit_block; u++) {
          const int64_t unit = q * unit_block + u;
          p[(k / 2 * gates + g) * 2 * unit_block + 2 * u + k % 2] =
              k < rows && unit < units ? narrow_bfloat(w.as<float>()[(g * units + unit) * rows + k]).bits : uint16_t(0);
        }
  });
  return {};
}

}  // namespace accelnn
