// Views as loops: fewest dims, then runs of the innermost one.
#pragma once
#include "tensor.h"

namespace accelnn {

// Drops dims of size 1 and joins neighbours that every one of the n views (all of one shape) walks as one. Returns the rank that is left.
ACCELNN_INLINE int collapse(const TensorView* view, int n, int64_t* shape, int64_t (*stride)[max_rank]) {
  int rank = 0;
  for (int d = 0; d < view[0].rank; d++) {
    const int64_t size = view[0].shape[d];
    if (size == 1) continue;
    bool joins = rank > 0;
    for (int i = 0; i < n && joins; i++) joins = stride[i][rank - 1] == view[i].stride[d] * size;
    if (joins) shape[rank - 1] *= size;
    else shape[rank++] = size;
    for (int i = 0; i < n; i++) stride[i][rank - 1] = view[i].stride[d];
  }
  return rank;
}

struct Strided {
  int rank;
  const int64_t* shape;
  const int64_t* stride;
};

// Calls run(offset of the source, stride, length, position) for the innermost runs that make up elements [first, first + n) in row-major order.
template <class F> ACCELNN_INLINE void for_runs(const Strided& s, int64_t first, int64_t n, const F& run) {
  if (s.rank == 0) {
    if (n) run(int64_t(0), int64_t(0), n, int64_t(0));
    return;
  }
  int64_t index[max_rank], offset = 0, rest = first;
  for (int d = s.rank - 1; d > 0; d--) {
    index[d] = rest % s.shape[d];
    rest /= s.shape[d];
    offset += index[d] * s.stride[d];
  }
  index[0] = rest;
  offset += rest * s.stride[0];
  const int inner = s.rank - 1;
  for (int64_t at = 0; at < n;) {
    const int64_t left = s.shape[inner] - index[inner], length = left < n - at ? left : n - at;
    run(offset, s.stride[inner], length, at);
    at += length;
    offset -= index[inner] * s.stride[inner];
    index[inner] = 0;
    for (int d = inner - 1; d >= 0; d--) {
      offset += s.stride[d];
      if (++index[d] < s.shape[d]) break;
      offset -= s.shape[d] * s.stride[d];
      index[d] = 0;
    }
  }
}

}  // namespace accelnn
