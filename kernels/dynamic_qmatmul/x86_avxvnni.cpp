#include "dynamic_qmatmul/generic.h"

namespace accelnn {
Status dynamic_qmatmul_f32_x86_avxvnni(const Call& call) { return dynamic_qmatmul(call, dynamic_isa()); }
}  // namespace accelnn
