// conv2d (NCHW) by way of channels last.
#pragma once
#include "conv2d/conv2d.h"
#include "conv2d_nhwc/apart.h"
#include "conv2d_nhwc/generic.h"
#include "conv2d_nhwc/pack.h"
#include "conv2d_nhwc/turn.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

inline Status conv2d_detour(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &residual = call.in[3], &y = call.out[0];
  const conv::Geometry g = conv::geometry(call, x, w, y);
  const conv::Detour d = conv::detour(g, call.integer(conv2d_attr::exact) != 0);
  if (d.chunks) return conv2d_apart(call, g, d);
  char* const work = static_cast<char*>(call.work);
  float *const image = reinterpret_cast<float*>(work + d.x), *const packed = reinterpret_cast<float*>(work + d.packed);
  float* const result = reinterpret_cast<float*>(work + d.y);
  turn_images(call, x.as<float>(), g.n, g.c, g.h * g.w, image);
  conv2d_pack_into(call, w.as<float>(), g.o, g.cg, g.r, g.s, g.groups, d.algorithm, packed);
  if (!residual.absent()) turn_images(call, residual.as<float>(), g.n, g.o, g.pixels, result);
  ACCELNN_TRY(conv2d_nhwc_by(d.algorithm, call, g, image, packed, bias.absent() ? nullptr : bias.as<float>(), residual.absent() ? nullptr : result, result,
                             int(call.integer(conv2d_attr::activation)), work + d.inner));
  turn_images(call, result, g.n, g.pixels, g.o, y.as<float>());
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
