#include "arithmetic/rows.h"

namespace accelnn {

#define SELDOM(dtype, type, bits) PUBLISH(dtype, type)
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
