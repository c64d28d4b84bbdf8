// scatter_nd(x [D1, .., DK, inner..], index [J.., K], s [J.., inner..]) -> y, attribute reduce: x with some slices replaced, or combined with those of s.
//
//   y = x;  then for every j, in row-major order:  y[index[j, 0], .., index[j, K - 1], i] op= s[j, i]
//
// ONNX's ScatterND, torch's index_put. reduce, dtypes, order and errors of sums: as in scatter; index as in gather_nd. y has x's shape.
// Contiguous, y shares no memory with the inputs.
// On a device, which cannot stop a kernel, what an index outside names is left out; no memory outside y is written.
#pragma once
#include "op.h"

#define ACCELNN_OP scatter_nd
#define ACCELNN_TABLE "gather/scatter_nd.inc"
#include "attr_slots.h"
