#include "planes/generic.h"

namespace accelnn {

Status unfold_planes_f32_x86_avx512(const Call& call) { return unfold_planes(call); }
Status fold_planes_f32_x86_avx512(const Call& call) { return fold_planes(call); }

}  // namespace accelnn
