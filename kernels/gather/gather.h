// gather(x, index) -> y, attribute axis: one element of x for every index.
//
//   y[.., j, ..] = x[.., index[.., j, ..], ..]        the index stands at dim axis, the other dims are those of y
//
// torch's gather, numpy's take_along_axis, ONNX's GatherElements. x: any dtype. index: i64 or i32, of y's shape and x's rank >= 1, in every dim but
// axis at most as large as x, values in [-n, n), n = x's size along axis; negative ones count from the end. One outside is an error that names it and
// where it stands; y is then unspecified. Contiguous, no overlap, any alignment. Bitwise exact.
// On a device, which cannot stop a kernel, what an index outside names is 0; no memory outside x is read.
#pragma once
#include "op.h"

#define ACCELNN_OP gather
#define ACCELNN_TABLE "gather/gather.inc"
#include "attr_slots.h"
