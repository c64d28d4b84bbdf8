#include "adaptive_pool/generic.h"

namespace accelnn {
Status adaptive_max_pool2d_f32_base(const Call& c) { return adaptive_max_pool2d(c); }
}  // namespace accelnn
