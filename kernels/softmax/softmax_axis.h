// softmax_axis(x f32), attributes axis, log -> y like x:  softmax (log 0) or its logarithm (log 1) along dim `axis`, of any size inside of it.
// 0 <= axis < rank, at least one element along it; no others at all is fine. NaN, inf and the error as in softmax.h and log_softmax.h with C the size along
// the axis, and C for C / 4: columns are added up one after the other. Contiguous, any alignment; y may be x's own memory, no other overlap.
#pragma once
#include "pool.h"

#define ACCELNN_OP softmax_axis
#define ACCELNN_TABLE "softmax/softmax_axis.inc"
#include "attr_slots.h"
