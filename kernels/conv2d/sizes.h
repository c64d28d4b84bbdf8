// Sizes that a hostile shape may blow up: saturating, and the allocator refuses what comes out; and a workspace cut into pieces of whole cache lines.
#pragma once
#include "conv2d/geometry.h"

namespace accelnn {
namespace conv {

constexpr int64_t huge = int64_t(1) << 60;
ACCELNN_INLINE int64_t times(int64_t a, int64_t b) {
  int64_t p;
  return __builtin_mul_overflow(a, b, &p) || p > huge ? huge : p;
}
ACCELNN_INLINE int64_t plus(int64_t a, int64_t b) { return at_most(a + b, huge); }
ACCELNN_INLINE int64_t cache_lines(int64_t bytes) { return bytes >= huge ? huge : round_up(bytes, 64); }

// Hands out pieces one after the other; they begin at the bytes that it gives.
struct Cut {
  int64_t at = 0;
  int64_t take(int64_t bytes) {
    const int64_t here = at;
    at = plus(at, cache_lines(bytes));
    return here;
  }
  int64_t take_floats(int64_t n) { return take(times(n, 4)); }
};

}  // namespace conv
}  // namespace accelnn
