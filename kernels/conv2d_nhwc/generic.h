// conv2d_nhwc, whichever way its weights were packed for.
#pragma once
#include "conv2d_nhwc/channelwise.h"
#include "conv2d_nhwc/direct.h"
#include "conv2d_nhwc/folded.h"
#include "conv2d_nhwc/winograd.h"
#include "conv2d_nhwc/winograd_lanes.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

inline Status conv2d_nhwc_by(int algorithm, const Call& call, const conv::Geometry& g, const float* x, const float* packed, const float* bias,
                             const float* residual, float* y, int how, char* work) {
  switch (algorithm) {
    case conv::winograd2: return conv2d_winograd<Points4<2>>(call, g, algorithm, x, packed, bias, residual, y, how, work);
    case conv::winograd4: return conv2d_winograd<Points6<4>>(call, g, algorithm, x, packed, bias, residual, y, how, work);
    case conv::winograd5: return conv2d_winograd<Points6<2>>(call, g, algorithm, x, packed, bias, residual, y, how, work);
    case conv::strided: return conv2d_winograd<Strided5>(call, g, algorithm, x, packed, bias, residual, y, how, work);
    case conv::folded: return conv2d_folded(call, g, x, packed, bias, residual, y, how, work);
    case conv::lanes_of: return conv2d_channelwise(call, g, x, packed, bias, residual, y, how);
    default: return conv2d_direct(call, g, x, packed, bias, residual, y, how, work);
  }
}

inline Status conv2d_nhwc(const Call& call) {
  const TensorView &bias = call.in[2], &residual = call.in[3];
  return conv2d_nhwc_by(int(call.integer(conv2d_nhwc_attr::algorithm)), call, conv::geometry_nhwc(call), call.in[0].as<float>(), call.in[1].as<float>(),
                        bias.absent() ? nullptr : bias.as<float>(), residual.absent() ? nullptr : residual.as<float>(), call.out[0].as<float>(),
                        int(call.integer(conv2d_nhwc_attr::activation)), static_cast<char*>(call.work));
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
