// argmax(x) -> y i64: where the largest (least = 1: the smallest) element along axis stands.
//
//   y[o, i] = the first a with x[o, a, i] >= x[o, b, i] for all b        (last = 1: the last such a)
//
// A NaN is the largest and the smallest: the first (last) one is the answer, as in torch and numpy. keepdim 1: the axis stays, with size 1.
// x: f32, i8, u8, i32 or i64, contiguous, with at least one element along the axis where y has elements. y: contiguous, no memory shared with x.
// Any alignment. Exact.
#pragma once
#include "op.h"

#define ACCELNN_OP argmax
#define ACCELNN_TABLE "order/argmax.inc"
#include "attr_slots.h"
