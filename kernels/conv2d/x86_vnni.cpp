#include "conv2d/quantized.h"

namespace accelnn {

Status qconv2d_u8_x86_vnni(const Call& call) { return qconv2d_u8(call); }

}  // namespace accelnn
