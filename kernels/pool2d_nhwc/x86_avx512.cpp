#include "pool2d_nhwc/bytes.h"
#include "pool2d_nhwc/generic.h"

namespace accelnn {
Status pool2d_nhwc_f32_x86_avx512(const Call& call) { return pool2d_nhwc(call); }
Status pool2d_nhwc_u8_x86_avx512(const Call& call) { return pool2d_nhwc_bytes(call); }
}  // namespace accelnn
