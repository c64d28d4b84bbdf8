// take(x [outer.., A, inner..], index [J..]) -> y [outer.., J.., inner..], attribute axis (of A): rows of x by number.
//
//   y[o, j, i] = x[o, index[j], i];   0 where index[j] is `skip`
//
// ONNX's Gather, torch's index_select and embedding. x: any dtype. index: i64 or i32, any rank (0: one row, and the axis is gone), each in [-A, A);
// negative ones count from the end. One outside is an error that names it and where it stands; y is then unspecified. skip: a row in [0, A), or -1.
// Contiguous, no overlap, any alignment. Bitwise exact.
// On a device, which cannot stop a kernel, what an index outside names is 0; no memory outside x is read.
#pragma once
#include "op.h"

#define ACCELNN_OP take
#define ACCELNN_TABLE "gather/take.inc"
#include "attr_slots.h"
