// reduce: sum, mean, max, min or product over any set of axes.
//
//   y[kept] = f over all reduced indices of x[kept, reduced]        mean = sum / count
//
// kind: 0 sum, 1 mean, 2 max, 3 min, 4 prod. axes: each in [0, rank), none twice, any order; none: y = x. keepdim 1: reduced dims stay with size 1.
// x: f32, any strides >= 0 (x that is not contiguous is copied first, to the workspace). y: f32, contiguous, no memory shared with x.
// Empty: sum 0, product 1, mean NaN; max and min of nothing are refused. Outputs without elements: nothing is written.
// NaN propagates, also through max and min. Alignment: none needed.
// Order: fixed by shape, axes and row alone, not by strides or threads: leaves of at most 32 terms an accumulator, pairwise above them.
// Error of sum: |err| <= gamma_d sum |x|, d = 38 + ceil(log2 count); of mean: the same over count, and one rounding; of prod:
// gamma_(count - 1) |y| (no bound where a partial product over- or underflows). max and min are exact.
#pragma once
#include "op.h"

#define ACCELNN_OP reduce
#define ACCELNN_TABLE "reduce/reduce.inc"
#include "attr_slots.h"

namespace accelnn {

namespace reduce_kind {
enum Kind : int64_t { sum = 0,
                      mean = 1,
                      max = 2,
                      min = 3,
                      prod = 4,
                      count_ };
}

// A checked call as loops over contiguous x: a set of outputs, for each a sequence of rows, each row a run of `run` elements that is either reduced
// itself (along) or stands for `run` neighbouring outputs.
struct ReduceLoops {
  struct Dims {
    int n;
    int64_t size[max_rank], stride[max_rank], count;
  };
  bool along;
  Dims kept, reduced;               // without the run
  int64_t run, outputs, terms;      // terms: elements an output
  int64_t rows_per_leaf, pieces;    // a leaf is that many rows, or one of so many pieces of a row
  int64_t leaves, segments;         // segments of 64 leaves: the parts of a reduction with few outputs
};
constexpr int64_t leaf_depth = 32, leaves_per_segment = 64;
ReduceLoops reduce_loops(const Call&, int64_t lanes);

}  // namespace accelnn
