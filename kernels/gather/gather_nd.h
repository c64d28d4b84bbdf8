// gather_nd(x [B.., D1, .., DK, inner..], index [B.., J.., K]) -> y [B.., J.., inner..], attribute batch: how many dims B has.
//
//   y[b, j, i] = x[b, index[b, j, 0], .., index[b, j, K - 1], i]
//
// ONNX's GatherND; numpy's x[i0, .., iK-1] with stacked indices. x: any dtype. index: i64 or i32; component k in [-Dk, Dk), negative ones count from the
// end; one outside is an error that names it and where it stands; y is then unspecified. K >= 1. Contiguous, no overlap. Bitwise exact.
// On a device, which cannot stop a kernel, what an index outside names is 0; no memory outside x is read.
#pragma once
#include "op.h"

#define ACCELNN_OP gather_nd
#define ACCELNN_TABLE "gather/gather_nd.inc"
#include "attr_slots.h"
