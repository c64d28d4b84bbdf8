// The slow truth: the formulas of the contracts, loop by loop, summed in double.
#include "conv2d/geometry.h"
#include "conv2d_grad/conv2d_dgrad.h"
#include "conv2d_grad/conv2d_wgrad.h"

namespace accelnn {

using conv::Geometry;

Status conv2d_dgrad_f32_ref(const Call& call) {
  const Geometry g = conv::geometry(call, call.out[0], call.in[1], call.in[0]);
  const float *dy = call.in[0].as<float>(), *w = call.in[1].as<float>(), *bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  float* dx = call.out[0].as<float>();
  for (int64_t image = 0; image < g.n; image++)
    for (int64_t c = 0; c < g.c; c++)
      for (int64_t h = 0; h < g.h; h++)
        for (int64_t v = 0; v < g.w; v++) {
          double sum = bias ? bias[c] : 0.0;
          const int64_t group = c / g.cg;
          for (int64_t o = group * g.og; o < (group + 1) * g.og; o++)
            for (int64_t r = 0; r < g.r; r++)
              for (int64_t s = 0; s < g.s; s++) {
                const int64_t i = h + g.top - r * g.dh, j = v + g.left - s * g.dw;
                if (i < 0 || j < 0 || i % g.sh || j % g.sw || i / g.sh >= g.oh || j / g.sw >= g.ow) continue;
                sum += double(dy[((image * g.o + o) * g.oh + i / g.sh) * g.ow + j / g.sw]) * w[((o * g.cg + c % g.cg) * g.r + r) * g.s + s];
              }
          dx[((image * g.c + c) * g.h + h) * g.w + v] = float(sum);
        }
  return {};
}

Status conv2d_wgrad_f32_ref(const Call& call) {
  const Geometry g = conv::geometry(call, call.in[1], call.out[0], call.in[0]);
  const float *dy = call.in[0].as<float>(), *x = call.in[1].as<float>();
  float* dw = call.out[0].as<float>();
  for (int64_t o = 0; o < g.o; o++)
    for (int64_t c = 0; c < g.cg; c++)
      for (int64_t r = 0; r < g.r; r++)
        for (int64_t s = 0; s < g.s; s++) {
          double sum = 0;
          for (int64_t image = 0; image < g.n; image++)
            for (int64_t i = 0; i < g.oh; i++)
              for (int64_t j = 0; j < g.ow; j++) {
                const int64_t h = i * g.sh + r * g.dh - g.top, v = j * g.sw + s * g.dw - g.left;
                const bool inside = h >= 0 && h < g.h && v >= 0 && v < g.w;
                const double seen = inside ? double(x[((image * g.c + o / g.og * g.cg + c) * g.h + h) * g.w + v]) : 0.0;
                sum += double(dy[((image * g.o + o) * g.oh + i) * g.ow + j]) * seen;
              }
          dw[((o * g.cg + c) * g.r + r) * g.s + s] = float(sum);
        }
  return {};
}

}  // namespace accelnn
