#include "sparse_conv/generic.h"

namespace accelnn {
Status conv2d_sparse_f32_arm_neon(const Call& call) { return conv2d_sparse(call, sconv_isa_f32()); }
}  // namespace accelnn
