// Both directions, split over whole planes of the output.
#pragma once
#include "planes/slab.h"
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

inline Status unfold_planes(const Call& call) {
  const planes::Slab s = planes::slab(call, call.in[0], call.out[0]);
  const float* const x = call.in[0].as<float>();
  float* const y = call.out[0].as<float>();
  const size_t bytes = size_t(s.p) * sizeof(float);
  if (s.p == 0) return {};
  parallel(call, s.n * s.od * s.c, 2 * call.out[0].count(), [&](int64_t unit) {
    const int64_t c = unit % s.c, i = unit / s.c % s.od, n = unit / s.c / s.od;
    const float* const from = x + (n * s.c + c) * s.d * s.p;
    float* const to = y + unit * s.kernel * s.p;
    for (int64_t t = 0; t < s.kernel; t++) {
      const int64_t d = i * s.stride + t * s.dilation - s.front;
      if (d >= 0 && d < s.d) std::memcpy(to + t * s.p, from + d * s.p, bytes);
      else std::memset(to + t * s.p, 0, bytes);
    }
  });
  return {};
}

// A piece of the plane at a time, so that its sums stay in L1 over the taps.
inline Status fold_planes(const Call& call) {
  const planes::Slab s = planes::slab(call, call.out[0], call.in[0]);
  const float* const y = call.in[0].as<float>();
  constexpr int64_t piece = 2048;
  parallel(call, s.n * s.c * s.d, 2 * call.in[0].count(), [&](int64_t unit) {
    const int64_t d = unit % s.d, c = unit / s.d % s.c, n = unit / s.d / s.c;
    float* const to = call.out[0].as<float>() + unit * s.p;
    for (int64_t p = 0; p < s.p; p += piece) {
      const int64_t length = s.p - p < piece ? s.p - p : piece;
      bool first = true;
      for (int64_t t = 0; t < s.kernel; t++) {
        const int64_t shifted = d + s.front - t * s.dilation, i = shifted / s.stride;
        if (shifted < 0 || shifted % s.stride || i >= s.od) continue;
        const float* const from = y + (((n * s.od + i) * s.c + c) * s.kernel + t) * s.p + p;
        if (first) std::memcpy(to + p, from, size_t(length) * sizeof(float));
        else
          for (int64_t j = 0; j < length; j += lanes) {
            const int m = int(length - j < lanes ? length - j : lanes);
            store(to + p + j, load(to + p + j, m) + load(from + j, m), m);
          }
        first = false;
      }
      if (first) std::memset(to + p, 0, size_t(length) * sizeof(float));
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
