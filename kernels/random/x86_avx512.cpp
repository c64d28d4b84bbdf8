#include "random/generic.h"

namespace accelnn {

Status random_uniform_i64_x86_avx512(const Call& call);
Status random_uniform_i64_x86_avx512(const Call& call) { return run_uniform(call); }

}  // namespace accelnn
