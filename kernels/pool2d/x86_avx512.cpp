#include "generic.h"

namespace accelnn {

Status max_pool2d_f32_x86_avx512(const Call& c) { return pool2d::max_pool2d(c); }
Status max_pool2d_u8_x86_avx512(const Call& c) { return max_pool2d_bytes(c, pool2d::max_tile_plane); }
Status max_pool2d_grad_f32_x86_avx512(const Call& c) { return pool2d::max_pool2d_grad(c); }
Status max_pool2d_gather_f32_x86_avx512(const Call& c) { return pool2d::max_pool2d_gather(c); }
Status avg_pool2d_f32_x86_avx512(const Call& c) { return pool2d::avg_pool2d(c); }
Status avg_pool2d_grad_f32_x86_avx512(const Call& c) { return pool2d::avg_pool2d_grad(c); }

}  // namespace accelnn
