#include "matmul/bf16_generic.h"
#include "matmul/generic.h"

namespace accelnn {
Status matmul_f32_arm_neon(const Call& call) { return matmul(call); }
Status matmul_bf16_arm_neon(const Call& call) { return matmul_bf16(call); }
}  // namespace accelnn
