// The slow truth: the formulas of the contracts, loop by loop, floats summed in double.
#include "conv2d/conv2d.h"
#include "conv2d/geometry.h"
#include "conv2d/qconv2d.h"
#include "matmul/activation.h"

namespace accelnn {

namespace {

using conv::Geometry;

// visit(offset in x, offset in w) for every product of one output; outside of x the offset is -1.
template <class F> void each_product(const Geometry& g, int64_t image, int64_t o, int64_t i, int64_t j, const F& visit) {
  for (int64_t c = 0; c < g.cg; c++)
    for (int64_t r = 0; r < g.r; r++)
      for (int64_t s = 0; s < g.s; s++) {
        const int64_t h = i * g.sh + r * g.dh - g.top, v = j * g.sw + s * g.dw - g.left;
        const bool inside = h >= 0 && h < g.h && v >= 0 && v < g.w;
        visit(inside ? ((image * g.c + o / g.og * g.cg + c) * g.h + h) * g.w + v : -1, ((o * g.cg + c) * g.r + r) * g.s + s);
      }
}

template <class F> void each_output(const Geometry& g, const F& visit) {
  for (int64_t image = 0; image < g.n; image++)
    for (int64_t o = 0; o < g.o; o++)
      for (int64_t i = 0; i < g.oh; i++)
        for (int64_t j = 0; j < g.ow; j++) visit(image, o, i, j, ((image * g.o + o) * g.oh + i) * g.ow + j);
}

}  // namespace

Status conv2d_f32_ref(const Call& call) {
  const Geometry g = conv::geometry(call, call.in[0], call.in[1], call.out[0]);
  const float *x = call.in[0].as<float>(), *w = call.in[1].as<float>(), *bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  float* y = call.out[0].as<float>();
  const int how = int(call.integer(conv2d_attr::activation));
  each_output(g, [&](int64_t image, int64_t o, int64_t i, int64_t j, int64_t at) {
    double sum = (bias ? double(bias[o]) : 0.0) + (call.in[3].absent() ? 0.0 : double(call.in[3].as<float>()[at]));
    each_product(g, image, o, i, j, [&](int64_t xi, int64_t wi) { sum += (xi < 0 ? 0.0 : double(x[xi])) * w[wi]; });
    y[at] = activate(splat(float(sum)), how)[0];
  });
  return {};
}

Status qconv2d_u8_ref(const Call& call) {
  const TensorView &bias = call.in[4], &out_zero = call.in[5], &y = call.out[0];
  const Geometry g = conv::geometry(call, call.in[0], call.in[2], y);
  const uint8_t *x = call.in[0].as<uint8_t>(), zero = *call.in[1].as<uint8_t>();
  const int8_t* w = call.in[2].as<int8_t>();
  const float* scale = call.in[3].as<float>();
  each_output(g, [&](int64_t image, int64_t o, int64_t i, int64_t j, int64_t at) {
    int32_t sum = 0;
    each_product(g, image, o, i, j, [&](int64_t xi, int64_t wi) { sum += (xi < 0 ? 0 : x[xi] - zero) * w[wi]; });
    int32_t v = int32_t(uint32_t(sum) + (bias.absent() ? 0u : uint32_t(bias.as<int32_t>()[o])));
    if (call.integer(qconv2d_attr::relu) && v < 0) v = 0;
    if (y.dtype == DType::i32) {
      y.as<int32_t>()[at] = v;
      return;
    }
    const float f = float(v) * scale[o];
    if (y.dtype == DType::f32) {
      y.as<float>()[at] = f;
      return;
    }
    float q = rint(splat(f))[0] + float(*out_zero.as<uint8_t>());
    q = q > 0 ? q : 0;
    y.as<uint8_t>()[at] = uint8_t(q < 255 ? q : 255);
  });
  return {};
}

}  // namespace accelnn
