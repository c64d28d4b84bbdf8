// The slow truth: element by element.
#include "planes/slab.h"

namespace accelnn {

namespace {
// visit(element of x or -1, element of y) for all of y, row by row.
template <class F> void each(const planes::Slab& s, const F& visit) {
  int64_t at = 0;
  for (int64_t n = 0; n < s.n; n++)
    for (int64_t i = 0; i < s.od; i++)
      for (int64_t c = 0; c < s.c; c++)
        for (int64_t t = 0; t < s.kernel; t++)
          for (int64_t p = 0; p < s.p; p++, at++) {
            const int64_t d = i * s.stride + t * s.dilation - s.front;
            visit(d >= 0 && d < s.d ? ((n * s.c + c) * s.d + d) * s.p + p : -1, at);
          }
}
}  // namespace

Status unfold_planes_f32_ref(const Call& call) {
  const float* x = call.in[0].as<float>();
  float* y = call.out[0].as<float>();
  each(planes::slab(call, call.in[0], call.out[0]), [&](int64_t from, int64_t to) { y[to] = from < 0 ? 0.0f : x[from]; });
  return {};
}

Status fold_planes_f32_ref(const Call& call) {
  const planes::Slab s = planes::slab(call, call.out[0], call.in[0]);
  const float* y = call.in[0].as<float>();
  float* x = call.out[0].as<float>();
  for (int64_t i = 0; i < call.out[0].count(); i++) x[i] = 0.0f;
  each(s, [&](int64_t to, int64_t from) {
    if (to >= 0) x[to] += y[from];
  });
  return {};
}

}  // namespace accelnn
