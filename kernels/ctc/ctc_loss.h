// ctc_loss(log_probs f32 [T, N, C], targets i64 [N, S], input_lengths i64 [N], target_lengths i64 [N]), attribute blank -> loss f32 [N]:
//   -log sum of the probabilities of all paths of input_lengths[n] symbols that are targets[n, 0..target_lengths[n]) once repetitions and then blanks are
//   taken out (Graves et al. 2006); +inf where there is none. No symbols and no targets: 0.
// Forward variables in logarithms, the largest of each step taken off and added up in double, so that long inputs cost no digits.
// 0 <= input_lengths[n] <= T, 0 <= target_lengths[n] <= S, targets in [0, C), 0 <= blank < C: an error names what is not. Contiguous, no overlap.
// No bound is proved: twice the error of the same recursion in plain float32 (docs/numerics.md). NaN among the probabilities that are used gives NaN.
#pragma once
#include "pool.h"

#define ACCELNN_OP ctc_loss
#define ACCELNN_TABLE "ctc/ctc_loss.inc"
#include "attr_slots.h"
