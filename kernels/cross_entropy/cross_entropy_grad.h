// cross_entropy_grad(logits f32 [N, C, ...], labels i64 [N, ...], dloss f32, total f32 [], max f32 [N, ...]?, sum f32 [N, ...]?, weight f32 [C]?)
//   -> dlogits like logits, in one pass over them:  with e and w as in cross_entropy.h, p = exp(logits - max) / sum, d = dloss (of the place; over total
//   where reduction is 1):   dlogits[c] = d (p (1 - e) w[label] + p e / C sum w - [c == label] (1 - e) w[label] - e / C w[c]);  0 where ignored
// log_input 1: without the terms with p, and without max and sum. Labels, aliasing and empties as in cross_entropy.h, but dlogits may be logits' own memory.
// |err| <= |d| u ((2 |logits - max| + C / 4 + 16) p ((1 - e) w[label] + e / C sum |w|) + 8 ([c == label] w[label] + e / C w[c])) + 2^-126 |d|, w absolute.
#pragma once
#include "pool.h"

#define ACCELNN_OP cross_entropy_grad
#define ACCELNN_TABLE "cross_entropy/cross_entropy_grad.inc"
#include "attr_slots.h"
