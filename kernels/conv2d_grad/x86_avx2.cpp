#include "lanes.h"

#include "conv2d_grad/dgrad.h"
#include "conv2d_grad/wgrad.h"

namespace accelnn {

Status conv2d_dgrad_f32_x86_avx2(const Call& call) { return conv2d_dgrad_f32(call); }
Status conv2d_wgrad_f32_x86_avx2(const Call& call) { return conv2d_wgrad_f32(call); }

}  // namespace accelnn
