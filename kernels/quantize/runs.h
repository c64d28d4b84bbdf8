// A tensor as [outer, C, inner] around the quantization axis, cut into runs that have one scale, or whose neighbours have neighbouring scales.
#pragma once
#include "dequantize_linear.h"
#include "dynamic_quantize.h"
#include "quantize_linear.h"
#include "vec.h"

namespace accelnn {

// Elements of quantize_linear with one scale and zero point, or with `each` one after the other.
struct QuantizeRun {
  const float *x, *scale;
  const uint8_t* zero;
  uint8_t* q;
  int64_t count;
  bool each;
};
void quantize_few(const QuantizeRun&, int32_t least);
Status quantize_linear(const Call&, void (*run)(const QuantizeRun&, int32_t least));
Status dynamic_quantize(const Call&, Extremes (*extremes)(const float* x, int64_t count), void (*run)(const QuantizeRun&, int32_t least));
constexpr int64_t quantize_chunk = 16384;      // elements a part: 64 KiB of floats, about 3 us

inline namespace ACCELNN_TARGET {
namespace quantize {

// run(at, n, channel, each): elements [at, at + n) have the scale of `channel`, or with `each` those of channel, channel + 1, ...
template <class F> ACCELNN_INLINE void over_runs(const Call& call, const TensorView& x, const TensorView& scale, int64_t axis, const F& run) {
  constexpr int64_t chunk = quantize_chunk;
  const int64_t count = x.count(), parts = (count + chunk - 1) / chunk;
  int64_t inner = 1, c = 1;
  if (scale.rank == 1) {
    if (axis < 0) axis += x.rank;
    c = x.shape[axis];
    for (int i = int(axis) + 1; i < x.rank; i++) inner *= x.shape[i];
  }
  parallel(call, parts, 5 * count, [&](int64_t part) {
    int64_t at = part * chunk;
    const int64_t end = at + chunk < count ? at + chunk : count;
    if (c == 1) {
      run(at, end - at, 0, false);
      return;
    }
    while (at < end) {
      const int64_t channel = at / inner % c, whole = inner == 1 ? c - channel : inner - at % inner, n = whole < end - at ? whole : end - at;
      run(at, n, channel, inner == 1);
      at += n;
    }
  });
}

}  // namespace quantize
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
