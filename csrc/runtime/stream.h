// Results that go past the caches, and inputs that are called for in time. An array larger than the last cache is written with non-temporal stores: a
// plain store reads every line first (a copy moves 3 bytes for 2), and drives out what somebody will still read. Smaller ones stay: who reads them
// next finds them.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Inputs and outputs of a call together: no cache of ours keeps that until somebody reads it. A number of its own, so that the same code runs everywhere.
constexpr int64_t past_cache_bytes = 32 << 20;

// p is aligned to a vector. Whole lines only, in order: a line is sent once its 64 bytes are there.
ACCELNN_INLINE void store_past(float* p, vf v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
#elif defined(__AVX2__)
  _mm256_stream_ps(p, reinterpret_cast<__m256>(v));
#elif defined(__x86_64__)
  _mm_stream_ps(p, reinterpret_cast<__m128>(v));
#else
  store(p, v);
#endif
}
// At the end of a part: other threads see what was stored past the caches.
ACCELNN_INLINE void finish_past() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}
// Bytes of an array of this size go past the caches when nothing but a copy is made of it; smaller ones may still be there when the next op reads them.
constexpr int64_t stream_bytes = int64_t(16) << 20;
// n bytes past the caches, any address; finish_past() after the last of a part.
ACCELNN_INLINE void stream_copy(char* to, const char* from, int64_t n) {
#if defined(__x86_64__)
  const int64_t head = -reinterpret_cast<intptr_t>(to) & (vector_bytes - 1);
  if (n >= 4 * vector_bytes + head) {
    std::memcpy(to, from, size_t(head));
    for (to += head, from += head, n -= head; n >= vector_bytes; to += vector_bytes, from += vector_bytes, n -= vector_bytes)
      store_past(reinterpret_cast<float*>(to), as_float(load_bits(from)));
  }
#endif
  std::memcpy(to, from, size_t(n));
}
// A line into L2, where far more misses wait at a time than in L1. Any address: beyond an array's end it does nothing.
ACCELNN_INLINE void call_for(const float* p) { __builtin_prefetch(p, 0, 2); }

// The line at the end of a row that ends inside of it is stored plainly, waits for memory, and every store behind it waits too: some 100 ns a row (25000 rows
// of 1000 floats: layer_norm 8.2 ms, 4.9 of 1008). So it is called for when the row begins.
ACCELNN_INLINE void call_for_end(const float* end) { __builtin_prefetch(end - 1, 1, 3); }

// y[0..n) = f(i, k): k lanes from i on. With `past`, whole aligned vectors go past the caches; y is aligned to floats then.
template <bool past, class F> ACCELNN_INLINE void write_row(float* y, int64_t n, const F& f) {
  int64_t i = 0;
  if constexpr (past) {
    call_for_end(y + n);
    const int64_t head = int64_t(-reinterpret_cast<uintptr_t>(y) / sizeof(float)) & (lanes - 1);
    if (head) {
      i = head < n ? head : n;
      store(y, f(0, int(i)), int(i));
    }
  }
  for (; i + lanes <= n; i += lanes) {
    if constexpr (past) store_past(y + i, f(i, lanes));
    else store(y + i, f(i, lanes));
  }
  if (i < n) store(y + i, f(i, int(n - i)), int(n - i));
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
