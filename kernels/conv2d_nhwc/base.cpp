#include "conv2d_nhwc/generic.h"
#include "conv2d_nhwc/pack.h"

namespace accelnn {

Status conv2d_nhwc_f32_base(const Call& call) { return conv2d_nhwc(call); }

Status conv2d_pack_f32_base(const Call& call) {
  const TensorView& w = call.in[0];
  conv2d_pack_into(call, w.as<float>(), w.shape[0], w.shape[1], w.shape[2], w.shape[3], call.integer(conv2d_pack_attr::groups),
                   int(call.integer(conv2d_pack_attr::algorithm)), call.out[0].as<float>());
  return {};
}

}  // namespace accelnn
