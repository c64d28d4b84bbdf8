#include "sparse_conv/generic.h"

namespace accelnn {
Status qconv2d_sparse_u8_x86_vnni(const Call& call) { return conv2d_sparse(call, sconv_isa_bytes()); }
}  // namespace accelnn
