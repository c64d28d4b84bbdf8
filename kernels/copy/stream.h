// Bytes from one place to another. Where more is written than the caches hold, past them: an ordinary store reads its line from memory first, a
// non-temporal one does not.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Results of this many bytes go past the caches. Smaller ones may still be there when the next op reads them.
constexpr int64_t stream_bytes = int64_t(16) << 20;

#if defined(__x86_64__)
// One line or more, both ends free. Ends with no fence: stream_end() after the last one of a part.
ACCELNN_INLINE void stream_copy(char* to, const char* from, int64_t n) {
  const int64_t head = -reinterpret_cast<intptr_t>(to) & (vector_bytes - 1);
  if (n < 4 * vector_bytes + head) {
    std::memcpy(to, from, size_t(n));
    return;
  }
  std::memcpy(to, from, size_t(head));
  int64_t i = head;
  for (; i + vector_bytes <= n; i += vector_bytes) {
    const vi v = load_bits(from + i);
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), reinterpret_cast<__m512i>(v));
#elif defined(__AVX2__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i), reinterpret_cast<__m256i>(v));
#else
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), reinterpret_cast<__m128i>(v));
#endif
  }
  std::memcpy(to + i, from + i, size_t(n - i));
}
ACCELNN_INLINE void stream_end() { _mm_sfence(); }
#else
ACCELNN_INLINE void stream_copy(char* to, const char* from, int64_t n) { std::memcpy(to, from, size_t(n)); }
ACCELNN_INLINE void stream_end() {}
#endif

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
