// dx at stride 1 by way of channels last: dy turned, weights turned by 180 degrees and packed, conv2d_nhwc, the result turned back. For what
// conv2d_nhwc does faster than the tiles of dgrad.h: Winograd with dilation, groups or 5x5.
#pragma once
#include "conv2d_nhwc/detour.h"

#include "conv2d_grad/conv2d_dgrad.h"
#include "conv2d_grad/winograd_dgrad.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// F(4,3)'s weights as conv2d_pack lays them out, straight from w. In floats: conv2d_pack's doubles, 45 ns for a pair of channels, would take longer than
// all products of a 14x14 image.
inline void pack_turned(const Call& call, const conv::Geometry& g, const float* w, float* packed) {
  parallel(call, conv::divide_up(g.c, 16), 40 * g.o * g.k, [&](int64_t panel) {
    const int64_t c = panel * 16, group = c / g.cg, n = conv::at_most(16, g.c - c);
    const float* from = w + (group * g.og * g.cg + c % g.cg) * 9;
    float* to = packed + panel * conv_grad::points * g.og * 16;
    for (int64_t o = 0; o < g.og; o++, from += g.k, to += 16)
      for (int64_t j = 0; j < 16; j += lanes)
        winograd_grad::transform_weights(from + j * 9, int(conv::at_least(conv::at_most(lanes, n - j), 0)), to + j, g.og * 16);
  });
}

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
  if (l.algorithm == conv::winograd4) pack_turned(call, g, w.as<float>(), packed);
  else {
    turn_weights(call, g, w.as<float>(), weights);
    conv2d_pack_into(call, weights, l.g.o, l.g.cg, g.r, g.s, g.groups, l.algorithm, packed);
  }
  const float* const b = bias.absent() ? nullptr : bias.as<float>();
  ACCELNN_TRY(conv2d_nhwc_by(l.algorithm, call, l.g, image, packed, b, nullptr, result, activation::none, work + l.inner));
  turn_images(call, result, g.n, l.g.pixels, g.c, dx.as<float>());
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
