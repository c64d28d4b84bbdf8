#include "copy/convert.h"
#include "recurrent/backward.h"

namespace accelnn {

Status recurrent_f32_base(const Call& call) { return recurrent(call); }
Status recurrent_grad_f32_base(const Call& call) { return recurrent_grad(call); }

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
