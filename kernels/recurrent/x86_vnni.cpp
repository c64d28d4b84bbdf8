#include "recurrent/generic.h"

namespace accelnn {
Status recurrent_f32_x86_vnni(const Call& call) { return recurrent(call); }
}  // namespace accelnn
