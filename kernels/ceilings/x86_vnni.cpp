#include "ceilings/generic.h"

namespace accelnn {

static void ceiling_dpbusd(int64_t steps, const void*, int64_t, void* sink) {
  volatile char seed = 3;
  const __m512i x = _mm512_set1_epi8(seed);
  run_chains<vi>(steps, sink, [=](vi v) __attribute__((always_inline)) {
    return reinterpret_cast<vi>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(v), x, x));
  });
}

const Ceiling ceilings_x86_vnni[] = {{"int8", "AVX-512 VNNI", isa::avx512 | isa::vnni, 8.0 * chains * lanes, ceiling_dpbusd}};

}  // namespace accelnn
