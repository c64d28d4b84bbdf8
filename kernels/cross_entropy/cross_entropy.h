// cross_entropy(logits f32 [N, C, ...], labels i64 [N, ...], weight f32 [C]?) -> loss, total f32 [], max f32 [N, ...], sum f32 [N, ...]:
//   max and sum of exp(logits - max) over the classes;  l[c] = log sum - (logits[c] - max) = -log softmax;   e = label_smoothing, w = weight or 1
//   of a place: (1 - e) w[label] l[label] + e / C sum_c w[c] l[c];   0 where the label is ignore_index
// reduction 0: loss f32 [N, ...] of each place, total = 1; 1: the sum of all over total = sum of w[label] where not ignored, loss f32 [];
// 2: the sum, loss f32 [], total = 1. log_input 1: the input is log probabilities, l = -logits, and max and sum are no outputs.
// C >= 1; no places at all: sum 0, mean NaN. Another label outside [0, C) is an error that names its place; nothing is written then.
// Contiguous, no overlap, any alignment. Sums over places are taken in at most 64 parts, whose number depends on the shape alone, in double.
// With u = 2^-24 and t = |logits[c] - max|: |err l| <= u (2 l + 2 t + 5 ln C + C / 4 + 8);  of a place: the same weighted sum of err l + gamma_(C / 4 + 12) l.
// A NaN or +inf among the logits of a place gives NaN; a label whose logit is -inf gives +inf.
#pragma once
#include "pool.h"

#define ACCELNN_OP cross_entropy
#define ACCELNN_TABLE "cross_entropy/cross_entropy.inc"
#include "attr_slots.h"
