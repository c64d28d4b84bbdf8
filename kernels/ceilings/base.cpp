#include "ceilings/generic.h"

namespace accelnn {
const Ceiling ceilings_base[] = {{"fma", "mul+add", isa::none, 2.0 * chains * lanes, ceiling_fma},
                                 {"read", "loads", isa::none, 0, ceiling_read},
                                 {"copy", "loads and non-temporal stores", isa::none, 0, ceiling_copy}};
}  // namespace accelnn
