// layer_norm_grad(dy f32, x f32 [R..., D...], rstd f32 [R...], mean f32 [R...]?, weight f32 [D...]?) -> dx like x, dweight f32 [D...], dbias f32 [D...]:
//   z = (x - mean) rstd, g = dy weight:   dx = rstd (g - sum g / n - z sum (g z) / n)   dweight = sum over rows dy z   dbias = sum over rows dy
// rstd and mean as layer_norm gave them; rms 1: no mean, and dx without sum g / n. params: 0 dx alone, 1 with dweight, 2 with dbias too.
// Contiguous, any alignment; dx may be the memory of dy or of x, no other overlap. No rows: dweight and dbias are 0.
// Sums over rows are taken in at most 16 parts, whose number depends on the shape alone, and added in their order.
// With d and z as in layer_norm.h, e = gamma_(d+8) (|z| + 1) + 2 u |mean| rstd, means over the row, R rows:
//   |err dx| <= 1.01 rstd (gamma_(d+8) (|g| + mean |g| + |z| mean |g z|) + e mean |g z| + |z| mean (|g| e))
//   |err dweight| <= 1.01 sum |dy| e + gamma_(R+4) sum |dy z|        |err dbias| <= gamma_(R+4) sum |dy|
#pragma once
#include "pool.h"

#define ACCELNN_OP layer_norm_grad
#define ACCELNN_TABLE "norm/layer_norm_grad.inc"
#include "attr_slots.h"

namespace accelnn {

// Parts of a sum over `rows` rows: from the shape alone.
ACCELNN_INLINE int64_t layer_norm_grad_parts(int64_t rows) {
  const int64_t parts = rows / 16;
  return parts < 1 ? 1 : parts > 16 ? 16
                                    : parts;
}

}  // namespace accelnn
