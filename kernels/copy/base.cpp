#include "copy/rows.h"

namespace accelnn {

#define SELDOM(dtype, type, bits)                                               \
  Status copy_##dtype##_base(const Call& call);                                 \
  Status copy_##dtype##_base(const Call& call) { return run_copy<bits>(call); } \
  Status cast_##dtype##_base(const Call& call);                                 \
  Status cast_##dtype##_base(const Call& call) { return cast_seldom(call); }
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
