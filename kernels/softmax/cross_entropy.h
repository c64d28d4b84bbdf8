// cross_entropy(logits f32 [N, C], labels i64 [N]) -> loss f32 [N]:  loss[n] = log sum_c exp(logits[n, c]) - logits[n, labels[n]]
// computed around the row's maximum. C >= 1; N = 0 is fine. A label outside [0, C) is an error that names row and label; nothing is written then.
// Contiguous, no overlap, any alignment.
// |err| <= u (2 loss + 2 |logit - max| + 5 ln C + C / 4 + 8), u = 2^-24. A NaN or +inf in a row gives NaN; a label whose logit is -inf gives +inf.
#pragma once
#include "pool.h"

#define ACCELNN_OP cross_entropy
#define ACCELNN_TABLE "softmax/cross_entropy.inc"
#include "attr_slots.h"
