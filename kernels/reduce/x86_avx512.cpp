#include "reduce/generic.h"

namespace accelnn {

Status reduce_f32_x86_avx512(const Call& call);
Status reduce_f32_x86_avx512(const Call& call) { return reduce_rows::run(call); }

}  // namespace accelnn
