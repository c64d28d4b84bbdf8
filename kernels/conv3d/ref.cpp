// The slow truth: the formula of the contract in double.
#include "conv3d/conv3d.h"

namespace accelnn {

namespace {
int64_t place(const conv3d::Side& s, int64_t out, int64_t tap) {        // -1 outside
  const int64_t at = out * s.stride + tap * s.dilation - s.before;
  return at >= 0 && at < s.in ? at : -1;
}

double output(const conv3d::Shape& s, const float* x, const float* w, int64_t k, int64_t i, int64_t j) {
  double sum = 0;
  for (int64_t c = 0; c < s.c; c++)
    for (int64_t t = 0; t < s.d.kernel; t++)
      for (int64_t p = 0; p < s.h.kernel; p++)
        for (int64_t q = 0; q < s.w.kernel; q++, w++) {
          const int64_t d = place(s.d, k, t), h = place(s.h, i, p), v = place(s.w, j, q);
          sum += (d < 0 || h < 0 || v < 0 ? 0.0 : double(x[((c * s.d.in + d) * s.h.in + h) * s.w.in + v])) * double(*w);
        }
  return sum;
}
}  // namespace

Status conv3d_f32_ref(const Call& call) {
  const conv3d::Shape s = conv3d::shape(call);
  const float *x = call.in[0].as<float>(), *w = call.in[1].as<float>(), *bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  float* y = call.out[0].as<float>();
  for (int64_t n = 0; n < s.n; n++)
    for (int64_t o = 0; o < s.o; o++)
      for (int64_t k = 0; k < s.d.out; k++)
        for (int64_t i = 0; i < s.h.out; i++)
          for (int64_t j = 0; j < s.w.out; j++)
            *y++ = float(output(s, x + n * s.c * s.d.in * s.h.in * s.w.in, w + o * s.k, k, i, j) + (bias ? double(bias[o]) : 0.0));
  return {};
}

}  // namespace accelnn
