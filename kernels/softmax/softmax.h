// softmax(x f32 [..., C]) -> y f32 [..., C]:  y = exp(x - max) / sum exp(x - max), maximum and sum along the last axis.
// Rank >= 1, C >= 1 (refused otherwise), no rows at all is fine. Contiguous, any alignment; y may be x's own memory, no other overlap.
// |err| <= u (|x - max| + ln C + C / 4 + 12) y + 2^-126, u = 2^-24 (smaller results may be 0). The sum's order depends on C and the kernel row alone.
// A NaN or +inf in a row, or -inf everywhere in it, makes the whole row NaN; other -inf give 0.
#pragma once
#include "pool.h"

#define ACCELNN_OP softmax
#define ACCELNN_TABLE "softmax/softmax.inc"
#include "attr_slots.h"

namespace accelnn {

// Rows longer than this have kernels of their own (wide.h). Parts of a call whose result goes past the caches: a room each for a row of exponentials, and
// for a vector and a number a piece of it, which has 128 floats or more.
constexpr int64_t softmax_short = 16, softmax_large_parts = 16, softmax_large_floats = 4 << 20;
ACCELNN_INLINE int64_t softmax_room(int64_t c) { return (c + c / 16 + 128) / 16 * 16; }

}  // namespace accelnn
