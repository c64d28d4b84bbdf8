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

// The planes that meet are found first, up to four at a time, so that each sum is made in a register.
inline Status fold_planes(const Call& call) {
  const planes::Slab s = planes::slab(call, call.out[0], call.in[0]);
  const float* const y = call.in[0].as<float>();
  parallel(call, s.n * s.c * s.d, 2 * call.in[0].count(), [&](int64_t unit) {
    const int64_t d = unit % s.d, c = unit / s.d % s.c, n = unit / s.d / s.c;
    float* const to = call.out[0].as<float>() + unit * s.p;
    const float* from[4] = {};
    int found = 0;
    bool first = true;
    const auto add = [&] {
      if (first && found == 1) std::memcpy(to, from[0], size_t(s.p) * sizeof(float));
      else
        for (int64_t j = 0; j < s.p; j += lanes) {
          const int m = int(s.p - j < lanes ? s.p - j : lanes);
          const auto read = [m](const float* p) __attribute__((always_inline)) { return m == lanes ? load(p) : load(p, m); };
          vf sum = read(first ? from[0] + j : to + j);
          for (int t = first; t < found; t++) sum += read(from[t] + j);
          if (m == lanes) store(to + j, sum);
          else store(to + j, sum, m);
        }
      first = false;
      found = 0;
    };
    for (int64_t t = 0; t < s.kernel; t++) {
      const int64_t shifted = d + s.front - t * s.dilation, i = shifted / s.stride;
      if (shifted < 0 || shifted % s.stride || i >= s.od) continue;
      from[found++] = y + (((n * s.od + i) * s.c + c) * s.kernel + t) * s.p;
      if (found == 4) add();
    }
    if (found) add();
    if (first) std::memset(to, 0, size_t(s.p) * sizeof(float));
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
