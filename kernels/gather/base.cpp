#include "gather/rows.h"

namespace accelnn {

#define SELDOM(dtype, type, bits) MOVED(dtype, bits)
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
