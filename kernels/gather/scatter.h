// scatter(x, index, s) -> y, attributes axis, reduce: x with some elements replaced, or combined with those of s.
//
//   y = x;  then for every element of index, in row-major order:  y[.., index[.., j, ..], ..] op= s[.., j, ..]
//
// reduce 0: replaced (the last one stays), 1: added, 2: multiplied, 3: the larger, 4: the smaller (NaN stays). torch's scatter, ONNX's ScatterElements.
// x, s, y: one dtype: any for reduce 0, else f32, i32 or i64 (modulo 2^bits). index: i64 or i32, as in gather; s at least as large in every dim.
// y has x's shape. Contiguous, y shares no memory with the inputs. Sums round once a term, in that order, whatever the threads:
// |err| <= gamma_m (|x| + sum |s|) for m terms; products likewise; the others are exact.
// On a device, which cannot stop a kernel, what an index outside names is left out; no memory outside y is written.
#pragma once
#include "op.h"

#define ACCELNN_OP scatter
#define ACCELNN_TABLE "gather/scatter.inc"
#include "attr_slots.h"

namespace accelnn {

namespace scatter_reduce {
enum Reduce : int64_t { replace = 0,
                        add = 1,
                        mul = 2,
                        max = 3,
                        min = 4,
                        count_ };
}

}  // namespace accelnn
