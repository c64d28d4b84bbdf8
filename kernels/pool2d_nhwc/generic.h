// Pooling where channels lie side by side: a vector of channels walks the window; every pixel that is read is a whole line or more.
#pragma once
#include "pool2d_nhwc/pool2d_nhwc.h"
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

template <bool Mean> ACCELNN_INLINE vf pooled(const float* from, int64_t rows, int64_t columns, int64_t row, int64_t pixel, int n) {
  const auto at = [&](const float* p) { return n == lanes ? load(p) : load(p, n); };
  if (rows == 2 && columns == 2) {      // as the loops, which take 1.4 times as long for so little
    const vf a = at(from), b = at(from + pixel), c = at(from + row), d = at(from + row + pixel);
    return Mean ? vf{} + a + b + c + d : max(d, max(c, max(b, a)));
  }
  vf v = Mean ? vf{} : at(from);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t s = 0; s < columns; s++) {
      const vf x = at(from + r * row + s * pixel);
      v = Mean ? v + x : max(x, v);       // in this order the first of equal zeros stays
    }
  return v;
}

inline Status pool2d_nhwc(const Call& call) {
  const PoolNhwc p = pool_nhwc(call);
  const float* const x = call.in[0].as<float>();
  float* const y = call.out[0].as<float>();
  const int64_t lines = p.n * p.oh, parts = lines < 64 ? lines : 64, row = p.w * p.c;
  parallel(call, parts, lines * p.ow * p.c * (4 + p.kernel_h * p.kernel_w), [&](int64_t part) {
    for (int64_t line = lines * part / parts; line < lines * (part + 1) / parts; line++) {
      const int64_t top = line % p.oh * p.stride_h - p.top, r0 = top < 0 ? 0 : top, r1 = top + p.kernel_h < p.h ? top + p.kernel_h : p.h;
      for (int64_t j = 0; j < p.ow; j++) {
        const int64_t left = j * p.stride_w - p.left, s0 = left < 0 ? 0 : left, s1 = left + p.kernel_w < p.w ? left + p.kernel_w : p.w;
        const float* const from = x + (line / p.oh * p.h + r0) * row + s0 * p.c;
        float* const to = y + (line * p.ow + j) * p.c;
        const float count = float(p.kind == 1 ? p.kernel_h * p.kernel_w : (r1 - r0) * (s1 - s0));
        for (int64_t c = 0; c < p.c; c += lanes) {
          const int n = int(p.c - c < lanes ? p.c - c : lanes);
          const vf v = p.kind ? pooled<true>(from + c, r1 - r0, s1 - s0, row, p.c, n) / count : pooled<false>(from + c, r1 - r0, s1 - s0, row, p.c, n);
          if (n == lanes) store(to + c, v);
          else store(to + c, v, n);
        }
      }
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
