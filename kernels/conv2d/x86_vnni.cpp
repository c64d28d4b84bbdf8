#include "matmul/gemm_i8.h"

namespace accelnn {

Status qconv2d_u8_x86_vnni(const Call& call) { return qconv2d(call, i8_isa<false>()); }

}  // namespace accelnn
