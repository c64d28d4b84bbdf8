#include "weight_only/generic.h"

namespace accelnn {
Status matmul_int4_f32_x86_avx2(const Call& call) { return matmul_int4(call, int4_isa()); }
}  // namespace accelnn
