#include "conv2d/generic.h"
#include "conv2d/pixels.h"
#include "matmul/gemm_i8.h"

namespace accelnn {

Status conv2d_f32_x86_avx2(const Call& call) { return conv2d_f32(call); }
Status conv2d_f32_x86_avx2_pixels(const Call& call) { return conv2d_pixels(call); }
Status qconv2d_u8_x86_avx2(const Call& call) { return qconv2d(call, i8_isa<false>()); }

}  // namespace accelnn
