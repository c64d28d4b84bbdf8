#include "conv2d/planes.h"
#include "conv2d_grad/dgrad_last.h"
#include "conv2d_nhwc/detour.h"

namespace accelnn {
Status conv2d_nhwc_f32_x86_avx512(const Call& call) { return conv2d_nhwc(call); }
Status conv2d_f32_x86_avx512_planes(const Call& call) { return conv2d_planes(call); }
Status conv2d_f32_x86_avx512_last(const Call& call) { return conv2d_detour(call); }
Status conv2d_dgrad_f32_x86_avx512_last(const Call& call) { return conv2d_dgrad_last(call); }
}  // namespace accelnn
