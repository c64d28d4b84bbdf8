#include "conv2d_nhwc/generic.h"

namespace accelnn {
Status conv2d_nhwc_f32_x86_avx512(const Call& call) { return conv2d_nhwc(call); }
}  // namespace accelnn
