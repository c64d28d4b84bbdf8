#include "ceilings/generic.h"

namespace accelnn {
const Ceiling ceilings_x86_avx512[] = {{"fma", "AVX-512 FMA", isa::avx512, 2.0 * chains * lanes, ceiling_fma},
                                       {"read", "AVX-512 loads", isa::avx512, 0, ceiling_read},
                                       {"copy", "AVX-512 loads and non-temporal stores", isa::avx512, 0, ceiling_copy}};
}  // namespace accelnn
