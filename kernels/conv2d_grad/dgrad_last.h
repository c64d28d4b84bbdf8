// dx at stride 1 by way of channels last: dy turned, weights turned by 180 degrees and packed, conv2d_nhwc, the result turned back. For the large kernels
// that conv2d_nhwc walks faster than the tiles of dgrad.h.
#pragma once
#include "conv2d_grad/conv2d_dgrad.h"
#include "conv2d_grad/layout.h"
#include "conv2d_nhwc/detour.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// w with channels and outputs exchanged, taps turned by 180 degrees.
inline void turn_weights(const Call& call, const conv::Geometry& g, const float* w, float* to) {
  const int64_t taps = g.r * g.s;
  parallel(call, g.c, 4 * g.o * g.k, [&](int64_t c) {
    float* row = to + c * g.og * taps;
    const float* from = w + c / g.cg * g.og * g.k + c % g.cg * taps;
    for (int64_t o = 0; o < g.og; o++, from += g.k)
      for (int64_t k = taps; k-- > 0;) *row++ = from[k];
  });
}

inline Status conv2d_dgrad_last(const Call& call) {
  const TensorView &dy = call.in[0], &w = call.in[1], &bias = call.in[2], &dx = call.out[0];
  const conv::Geometry g = conv::geometry(call, dx, w, dy);
  const conv_grad::LastLayout l = conv_grad::last_layout(g, call.integer(conv2d_dgrad_attr::exact) != 0);
  char* const work = static_cast<char*>(call.work);
  float *const weights = reinterpret_cast<float*>(work + l.weights), *const image = reinterpret_cast<float*>(work + l.image);
  float *const packed = reinterpret_cast<float*>(work + l.packed), *const result = reinterpret_cast<float*>(work + l.result);
  turn_images(call, dy.as<float>(), g.n, g.o, g.pixels, image);
  turn_weights(call, g, w.as<float>(), weights);
  conv2d_pack_into(call, weights, l.g.o, l.g.cg, g.r, g.s, g.groups, conv::panels, packed);
  const float* const b = bias.absent() ? nullptr : bias.as<float>();
  ACCELNN_TRY(conv2d_nhwc_by(conv::panels, call, l.g, image, packed, b, nullptr, result, activation::none, work + l.inner));
  turn_images(call, result, g.n, l.g.pixels, g.c, dx.as<float>());
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
