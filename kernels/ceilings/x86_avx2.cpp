#include "ceilings/generic.h"

namespace accelnn {

// Without VNNI, u8 x s8 products are exact only as pairs of 16 bits: vpmaddwd and an addition, 16 multiply-adds an instruction.
static void ceiling_madd(int64_t steps, const void*, int64_t, void* sink) {
  volatile int16_t seed = 3;
  const __m256i x = _mm256_set1_epi16(seed);
  run_chains<vi>(steps, sink, [=](vi v) __attribute__((always_inline)) {
    __m256i product;                            // outside of the chain, where its latency would show (157 instead of 188 GOP/s); asm, or it is computed once
    __asm__ volatile("vpmaddwd %1, %1, %0" : "=x"(product) : "x"(x));
    return reinterpret_cast<vi>(_mm256_add_epi32(reinterpret_cast<__m256i>(v), product));
  });
}

const Ceiling ceilings_x86_avx2[] = {{"fma", "AVX2 FMA", isa::avx2, 2.0 * chains * lanes, ceiling_fma},
                                     {"int8", "AVX2 vpmaddwd", isa::avx2, 4.0 * chains * lanes, ceiling_madd},
                                     {"read", "AVX2 loads", isa::avx2, 0, ceiling_read},
                                     {"copy", "AVX2 loads and non-temporal stores", isa::avx2, 0, ceiling_copy}};

}  // namespace accelnn
