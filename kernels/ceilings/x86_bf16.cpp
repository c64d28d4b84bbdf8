#include "ceilings/generic.h"

namespace accelnn {

static void ceiling_dpbf16(int64_t steps, const void*, int64_t, void* sink) {
  volatile float seed = 0.0f;                  // zeros are as quick as anything else, and the sums stay finite
  const __m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(seed), _mm512_set1_ps(seed));
  run_chains<vf>(steps, sink, [=](vf v) __attribute__((always_inline)) { return reinterpret_cast<vf>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(v), x, x)); });
}

const Ceiling ceilings_x86_bf16[] = {{"bf16", "AVX-512 BF16", isa::avx512 | isa::bf16, 4.0 * chains * lanes, ceiling_dpbf16}};

}  // namespace accelnn
