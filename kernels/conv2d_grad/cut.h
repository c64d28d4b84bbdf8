// Sizes of workspaces.
#pragma once
#include "conv2d_grad/layout.h"

namespace accelnn {
namespace conv_grad {

// Saturating, for sizes that a hostile shape may blow up; the allocator refuses what comes out.
constexpr int64_t huge = int64_t(1) << 60;
inline int64_t times(int64_t a, int64_t b) {
  int64_t p;
  return __builtin_mul_overflow(a, b, &p) || p > huge ? huge : p;
}
inline int64_t plus(int64_t a, int64_t b) { return at_most(a + b, huge); }

// Hands out pieces of the workspace one after the other.
struct Cut {
  int64_t at = 0;
  int64_t take(int64_t bytes) {
    const int64_t here = at;
    at = plus(at, bytes >= huge ? huge : round_up(bytes, 64));
    return here;
  }
};

// Distances that are no multiple of 2 KiB: rows there would share L1 sets.
inline int64_t spread(int64_t n) { return n % 512 == 0 ? n + 16 : n; }

}  // namespace conv_grad
}  // namespace accelnn
