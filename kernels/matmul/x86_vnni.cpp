#include "matmul/generic_i8.h"

namespace accelnn {
Status qmatmul_u8_x86_vnni(const Call& call) { return qmatmul(call); }
}  // namespace accelnn
