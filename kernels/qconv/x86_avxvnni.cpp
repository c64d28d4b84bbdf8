#include "qconv/generic.h"

namespace accelnn {
Status qconv2d_packed_u8_x86_avxvnni(const Call& call) { return qconv2d_packed(call, qconv_isa()); }
}  // namespace accelnn
