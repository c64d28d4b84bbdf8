// x as [N, C, S]: N samples of C channels of S places, and how the work on it is cut up. From shapes alone, for checks and rows alike.
#pragma once
#include "op.h"

namespace accelnn {
namespace norm_shapes {

// Channels of fewer places are columns of [N, C S] (columns.h); others are runs of contiguous floats (runs.h).
constexpr int64_t short_run = 16;

struct Channels {
  int64_t n, c, s;
  ACCELNN_INLINE bool runs() const { return s >= short_run; }
  // Channels that a part takes together: runs of a few hundred bytes come with their neighbours.
  ACCELNN_INLINE int64_t together() const { return s >= 512 ? 1 : s >= 64 ? 512 / s
                                                                          : 8; }
  ACCELNN_INLINE int64_t blocks() const { return (c + together() - 1) / together(); }
  // Where channels are too few to go round, samples are split too.
  ACCELNN_INLINE int64_t run_parts() const { return blocks() >= 8 || n < 2 ? 1 : n < 16 ? n
                                                                                        : 16; }
  ACCELNN_INLINE int64_t width() const { return c * s; }
  ACCELNN_INLINE int64_t panels() const { return (width() + 1023) / 1024; }
  ACCELNN_INLINE int64_t column_parts() const { return n < 128 ? 1 : n < 1024 ? n / 64
                                                                              : 16; }
};
ACCELNN_INLINE Channels channels_of(const TensorView& x) {
  Channels d = {x.shape[0], x.shape[1], 1};
  for (int i = 2; i < x.rank; i++) d.s *= x.shape[i];
  return d;
}

}  // namespace norm_shapes
}  // namespace accelnn
