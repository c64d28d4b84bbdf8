#include "lanes.h"

#include "conv3d/generic.h"

namespace accelnn {

Status conv3d_f32_x86_avx512(const Call& call) { return conv3d_tiles::run(call); }

}  // namespace accelnn
