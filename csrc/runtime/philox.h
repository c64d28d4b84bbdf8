// Philox 4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
// Element i of call c under seed s is a pure function of (s, c, i): any thread can make any part, eager and Plan draw the same numbers.
#pragma once
#include "dtype.h"

namespace accelnn {

struct Philox4 { uint32_t v[4]; };

ACCELNN_INLINE Philox4 philox(uint64_t seed, uint64_t call, uint64_t block) {
  uint32_t c0 = uint32_t(block), c1 = uint32_t(block >> 32), c2 = uint32_t(call), c3 = uint32_t(call >> 32);
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c1 = uint32_t(p1);
    c3 = uint32_t(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// [0, 1) on a grid of 2^-24: exact in float32, never 1.
ACCELNN_INLINE float uniform01(uint32_t bits) { return float(bits >> 8) * 0x1p-24f; }

}  // namespace accelnn
