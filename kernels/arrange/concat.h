// concat(x_0, ..., x_m) -> y, attribute axis: the inputs one behind the other along that axis.
//
//   y[o, start_k + a, i] = x_k[o, a, i]        start_k: sizes along axis of the inputs before k;  o, i: the dims before and behind the axis
//
// 1 to 24 inputs of one dtype (any) and one rank >= 1, equal in every other dim; sizes along axis may be 0. All contiguous, y shares no memory with an
// input. Any alignment. Bitwise exact.
#pragma once
#include "op.h"

#define ACCELNN_OP concat
#define ACCELNN_TABLE "arrange/concat.inc"
#include "attr_slots.h"
