// Indices are outside data: each is looked at before it is followed.
#pragma once
#include "op.h"

namespace accelnn {
namespace gather_index {

// i64 or i32, read as i64.
struct Index {
  const void* data;
  bool wide;
  ACCELNN_INLINE explicit Index(const TensorView& v) : data(v.data), wide(v.dtype == DType::i64) {}
  ACCELNN_INLINE int64_t operator[](int64_t i) const { return wide ? static_cast<const int64_t*>(data)[i] : static_cast<const int32_t*>(data)[i]; }
};

// In [0, n), counted from the end where it is negative; anything else: false.
ACCELNN_INLINE bool inside(int64_t* i, int64_t n) {
  if (*i < 0) *i += n;
  return uint64_t(*i) < uint64_t(n);
}

// The first bad place wins, so that the message does not depend on threads.
struct FirstBad {
  int64_t at = INT64_MAX;
  ACCELNN_INLINE void note(int64_t position) {
    int64_t seen = __atomic_load_n(&at, __ATOMIC_RELAXED);
    while (position < seen && !__atomic_compare_exchange_n(&at, &seen, position, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  }
};
// sizes: of the dims that the index's last `n_sizes` components go into (1: all of it goes into one dim).
Status index_status(const char* op, const FirstBad& bad, const TensorView& index, const int64_t* sizes, int64_t n_sizes);

// A checked call's dims as three numbers.
struct Rows {
  int64_t outer, size, inner, indices;       // x [outer, size, inner], `indices` numbers of rows
};
Rows rows_of(const TensorView& whole, int64_t axis, const TensorView& index);

// Where element e of `index` (gather, scatter) belongs: the offset in x without the axis's own part, walked along the last dim.
struct Lines {
  int rank, axis;
  int64_t lines, length;                     // of index: product of all dims but the last; the last
  int64_t x_stride[max_rank], s_stride[max_rank], shape[max_rank];
  int64_t size;                              // x's along the axis
  bool along;                                // the axis is the last dim
};
Lines lines_of(const TensorView& x, const TensorView& index, const TensorView& s, int64_t axis);
struct Line { int64_t x, s; };               // offsets of its first element
ACCELNN_INLINE Line line_at(const Lines& l, int64_t line) {
  Line at = {0, 0};
  for (int d = l.rank - 2; d >= 0; d--) {
    const int64_t i = line % l.shape[d];
    line /= l.shape[d];
    if (d != l.axis) at.x += i * l.x_stride[d];
    at.s += i * l.s_stride[d];
  }
  return at;
}

// gather_nd and scatter_nd: `count` slices of `inner` elements, by K components each.
struct Slices {
  int64_t batches, count, inner, x_batch;    // count: a batch; x_batch: elements of x a batch
  int k;
  int64_t size[max_rank], stride[max_rank];
};
Slices slices_of(const TensorView& x, const TensorView& index, int64_t batch);
// Offset of slice j (over all batches), or -1: component *at is outside.
ACCELNN_INLINE int64_t slice_at(const Slices& s, const Index& index, int64_t j, int64_t* at) {
  int64_t offset = s.batches > 1 ? j / s.count * s.x_batch : 0;
  for (int k = 0; k < s.k; k++) {
    int64_t i = index[j * s.k + k];
    if (!inside(&i, s.size[k])) {
      *at = j * s.k + k;
      return -1;
    }
    offset += i * s.stride[k];
  }
  return offset;
}

}  // namespace gather_index
}  // namespace accelnn
