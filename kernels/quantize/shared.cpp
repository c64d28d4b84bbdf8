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

Status dynamic_quantize(const Call& c, Extremes (*extremes)(const float* x, int64_t count), void (*run)(const QuantizeRun&, int32_t least)) {
  const TensorView &x = c.in[0], &q = c.out[0];
  const int64_t count = x.count(), parts = (count + quantize_chunk - 1) / quantize_chunk;
  const auto size = [&](int64_t part) { return count - part * quantize_chunk < quantize_chunk ? count - part * quantize_chunk : quantize_chunk; };
  Extremes* const found = static_cast<Extremes*>(c.work);
  parallel(c, parts, 2 * count, [&](int64_t part) { found[part] = extremes(x.as<float>() + part * quantize_chunk, size(part)); });
  Extremes all = {0, 0};
  for (int64_t part = 0; part < parts; part++) all = widest(all, found[part]);
  const ByteStep to = byte_step(all);
  *c.out[1].as<float>() = to.step;
  *c.out[2].as<uint8_t>() = uint8_t(to.zero);
  parallel(c, parts, 4 * count, [&](int64_t part) {
    const int64_t at = part * quantize_chunk;
    run({x.as<float>() + at, c.out[1].as<float>(), c.out[2].as<uint8_t>(), q.as<uint8_t>() + at, size(part), false}, 0);
  });
  return {};
}

}  // namespace accelnn
