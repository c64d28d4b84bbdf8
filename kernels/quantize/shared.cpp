#include "runs.h"

namespace accelnn {

// Fewer than a vector's elements, one by one.
void quantize_few(const QuantizeRun& r, int32_t least) {
  for (int64_t i = 0; i < r.count; i++) {
    const int64_t k = r.each ? i : 0;
    const int32_t zero = (r.zero[k] ^ -least) + least;
    const float low = float(least - zero), high = float(least + 255 - zero), q = __builtin_rintf(r.x[i] / r.scale[k]);
    r.q[i] = uint8_t(int32_t(q < low ? low : q > high ? high
                                 : q == q             ? q
                                                      : 0.0f) +
                     zero);
  }
}

Status quantize_linear(const Call& c, void (*run)(const QuantizeRun&, int32_t least)) {
  const int32_t least = c.out[0].dtype == DType::u8 ? 0 : -128;
  quantize::over_runs(c, c.in[0], c.in[1], c.integer(quantize_linear_attr::axis), [&](int64_t at, int64_t n, int64_t channel, bool each) {
    run({c.in[0].as<float>() + at, c.in[1].as<float>() + channel, c.in[2].as<uint8_t>() + channel, c.out[0].as<uint8_t>() + at, n, each}, least);
  });
  return {};
}

}  // namespace accelnn
