#include "arrange/rows.h"

namespace accelnn {

#define SELDOM(dtype, type, bits) PUBLISH(dtype)
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
