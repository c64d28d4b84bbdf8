// adaptive_max_pool2d(x f32 [N, C, H, W]) -> y f32 [N, C, OH, OW], index? i32 [N, C, OH, OW];  OH = out_h, OW = out_w
//   y[n, c, i, j] = max of x[n, c, h, w] over floor(i H / OH) <= h < ceil((i + 1) H / OH) and w alike;  index = h * W + w of the first maximum in row
//   order, or of the first NaN: a NaN wins. H * W < 2^31.
// Where windows are all of one size, max_pool2d does the same. H, W >= 1; N, C, OH, OW may be 0. Contiguous, the outputs overlap nothing; any alignment.
// Exact, the same bits in every row (-0 and +0 are equal: the first one stays).
#pragma once
#include "pool.h"

#define ACCELNN_OP adaptive_max_pool2d
#define ACCELNN_TABLE "adaptive_pool/adaptive_max_pool2d.inc"
#include "attr_slots.h"

namespace accelnn {

// Which of n elements the i-th of m windows sees: [begin, end).
struct Span { int64_t begin, end; };
ACCELNN_INLINE Span adaptive_span(int64_t i, int64_t n, int64_t m) { return {i * n / m, ((i + 1) * n + m - 1) / m}; }

// Planes are shared out to this many parts; each needs room for a row of maxima, a row of their places, and the windows' columns.
ACCELNN_INLINE int64_t adaptive_parts(int64_t planes) { return planes < 64 ? planes : 64; }
ACCELNN_INLINE int64_t adaptive_row(int64_t w) { return (w + 15) / 16 * 16; }
ACCELNN_INLINE int64_t adaptive_room(int64_t w, int64_t ow) { return 2 * adaptive_row(w) + adaptive_row(2 * ow); }

}  // namespace accelnn
