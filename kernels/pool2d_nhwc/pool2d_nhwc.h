// pool2d_nhwc(x f32 [N, H, W, C]) -> y f32 [N, OH, OW, C]: max_pool2d and avg_pool2d (pool2d/*.h) on channels last, forward only.
//   windows as in pool2d/window.h, cut to the image; kind 0: maximum, NaN wins; 1: sum / (kernel_h kernel_w); 2: sum / pixels inside the image
// pool2d_nhwc(x u8) -> y u8: kind 0 alone. Between byte convolutions channels last (qconv/) it spares both of them a turned image.
// Contiguous, y does not overlap x; any alignment. The maximum is exact; means: |err| <= gamma_(K+1) * mean|x| over the window, K = kernel_h * kernel_w.
#pragma once
#include "pool.h"

#define ACCELNN_OP pool2d_nhwc
#define ACCELNN_TABLE "pool2d_nhwc/pool2d_nhwc.inc"
#include "attr_slots.h"

namespace accelnn {

struct PoolNhwc {
  int64_t n, h, w, c, oh, ow, kernel_h, kernel_w, stride_h, stride_w, top, left, kind;
};
ACCELNN_INLINE PoolNhwc pool_nhwc(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  return {x.shape[0], x.shape[1], x.shape[2], x.shape[3], y.shape[1], y.shape[2],
          call.integer(pool2d_nhwc_attr::kernel_h), call.integer(pool2d_nhwc_attr::kernel_w),
          call.integer(pool2d_nhwc_attr::stride_h), call.integer(pool2d_nhwc_attr::stride_w),
          call.integer(pool2d_nhwc_attr::pad_top), call.integer(pool2d_nhwc_attr::pad_left), call.integer(pool2d_nhwc_attr::kind)};
}

}  // namespace accelnn
