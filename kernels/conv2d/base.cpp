#include "conv2d/generic.h"
#include "matmul/gemm_i8.h"

namespace accelnn {

Status conv2d_f32_base(const Call& call) { return conv2d_f32(call); }
Status qconv2d_u8_base(const Call& call) { return qconv2d(call, i8_isa<false>()); }

}  // namespace accelnn
