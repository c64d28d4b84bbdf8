#include "matmul/bf16_generic.h"

namespace accelnn {
Status matmul_bf16_x86_bf16(const Call& call) { return matmul_bf16(call); }
}  // namespace accelnn
