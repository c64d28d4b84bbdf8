#include "random/generic.h"

namespace accelnn {

Status random_uniform_i64_base(const Call& call);
Status random_uniform_i64_base(const Call& call) { return run_uniform(call); }

}  // namespace accelnn
