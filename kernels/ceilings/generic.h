#pragma once
#include "ceilings/ceilings.h"
#include "stream.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Twelve chains: enough for two instructions a cycle of four or five cycles each, and 14 registers with the operands (AVX2 has 16).
constexpr int chains = 12;

// step(v) is applied to every chain, `steps` times; the chains depend on nothing else, so nothing can be hoisted. They begin differently: g++ computes
// equal chains once (and reports 340 GFLOP/s where the core has 116).
template <class V, class F> ACCELNN_INLINE void run_chains(int64_t steps, void* sink, F step) {
  V v[chains];
  for (int k = 0; k < chains; k++) std::memset(&v[k], k, sizeof(V));
  for (int64_t i = 0; i < steps; i++) {
#pragma GCC unroll 12
    for (int k = 0; k < chains; k++) v[k] = step(v[k]);
  }
  for (int k = 1; k < chains; k++) v[0] += v[k];
  std::memcpy(sink, &v[0], sizeof v[0]);
}

inline void ceiling_fma(int64_t steps, const void*, int64_t, void* sink) {
  volatile float half = 0.5f, one = 1.0f;      // converges to 2: neither denormals nor infinities on the way
  const vf x = splat(half), y = splat(one);
  run_chains<vf>(steps, sink, [=](vf v) __attribute__((always_inline)) { return fma(v, x, y); });
}

// Sequential, eight vectors at a time, no prefetch instructions: what a kernel's streams look like.
inline void ceiling_read(int64_t steps, const void* data, int64_t bytes, void* sink) {
  vi v[8] = {};
  for (int64_t i = 0; i < steps; i++) {
    const char* p = static_cast<const char*>(data);
    for (const char* end = p + bytes; p < end; p += 8 * vector_bytes) {
#pragma GCC unroll 8
      for (int k = 0; k < 8; k++) v[k] ^= load_bits(p + k * vector_bytes);
    }
    __asm__ volatile("" ::: "memory");         // another pass reads again
  }
  for (int k = 1; k < 8; k++) v[0] ^= v[k];
  std::memcpy(sink, &v[0], sizeof v[0]);
}

// From the first half of the memory to the second, past the caches: what an elementwise kernel on large arrays can reach.
inline void ceiling_copy(int64_t steps, const void* data, int64_t bytes, void* sink) {
  const int64_t half = bytes / 2 / int64_t(sizeof(float));
  const float* from = static_cast<const float*>(data);
  float* to = const_cast<float*>(from) + half;
  for (int64_t s = 0; s < steps; s++)
    for (int64_t i = 0; i < half; i += 8 * lanes) {
#pragma GCC unroll 8
      for (int k = 0; k < 8; k++) store_past(to + i + k * lanes, load(from + i + k * lanes));
    }
  finish_past();
  std::memcpy(sink, to, sizeof(vf));
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
