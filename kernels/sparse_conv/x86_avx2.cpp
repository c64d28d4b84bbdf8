#include "sparse_conv/generic.h"

namespace accelnn {
Status conv2d_sparse_f32_x86_avx2(const Call& call) { return conv2d_sparse(call, sconv_isa_f32()); }
Status qconv2d_sparse_u8_x86_avx2(const Call& call) { return conv2d_sparse(call, sconv_isa_bytes()); }
}  // namespace accelnn
