// resize_grad(dy [.., B, ..]) -> dx [.., A, ..], attributes as resize: its transpose.
//
//   dx[o, a, i] = sum over b, t with clamp(at[b, t], 0, A - 1) = a of w[b, t] dy[o, b, i], in the order of b, then t
//
// f32, contiguous, no memory shared, any alignment. |err| <= gamma_(m + 2) sum |w| |dy|, m terms.
#pragma once
#include "op.h"

#define ACCELNN_OP resize_grad
#define ACCELNN_TABLE "resize/resize_grad.inc"
#include "attr_slots.h"
