// ctc_loss_grad(log_probs f32 [T, N, C], targets i64 [N, S], input_lengths i64 [N], target_lengths i64 [N], dloss f32 [N]), attribute blank
//   -> dlog_probs f32 [T, N, C]:   -dloss[n] times the probability that symbol c stands at step t, given the targets; 0 beyond input_lengths[n]
// The derivative by each log probability for itself: torch's has the term of a log_softmax before it added, which that layer's own gradient adds here.
// 0 where dloss is 0, NaN where the loss is +inf and dloss is not 0. Lengths and targets as in ctc_loss.h. Contiguous, no overlap; error as there.
#pragma once
#include "pool.h"

#define ACCELNN_OP ctc_loss_grad
#define ACCELNN_TABLE "ctc/ctc_loss_grad.inc"
#include "attr_slots.h"
