#include "qconv/generic.h"

namespace accelnn {
Status qconv2d_packed_u8_arm_dotprod(const Call& call) { return qconv2d_packed(call, qconv_isa()); }
}  // namespace accelnn
