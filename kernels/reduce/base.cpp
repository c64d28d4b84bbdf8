#include "reduce/generic.h"

namespace accelnn {

Status reduce_f32_base(const Call& call);
Status reduce_f32_base(const Call& call) { return reduce_rows::run(call); }

}  // namespace accelnn
