// conv3d: cross-correlation over three dimensions with zero padding.
//   y[n, o, k, i, j] = bias[o] + sum over c < C, t < T, p < R, q < S of
//                      X[n, c, k sd + t dd - pad_front, i sh + p dh - pad_top, j sw + q dw - pad_left] w[o, c, t, p, q]
// where X is x, and 0 outside of it.   OD = floor((D + pad_front + pad_back - (T - 1) dd - 1) / sd) + 1, OH and OW alike.
//   in:  x f32[N, C, D, H, W], w f32[O, C, T, R, S], bias? f32[O]          out: y f32[N, O, OD, OH, OW]
// All contiguous, any alignment; y overlaps nothing. T, R, S are at least 1; N, O, C may be 0 (no channels: y = bias).
// |err| <= gamma_(K+3) (sum |X| |w| + |bias|), K = C T R S. NaN propagates. Padding is multiplied like data, as in conv2d.
#pragma once
#include "op.h"

#define ACCELNN_OP conv3d
#define ACCELNN_TABLE "conv3d/conv3d.inc"
#include "attr_slots.h"

namespace accelnn {
namespace conv3d {

// One of the three dimensions.
struct Side {
  int64_t in, out, kernel, stride, before, after, dilation;
};
struct Shape {
  int64_t n, c, o;
  Side d, h, w;
  int64_t k;                            // taps of an output, all channels
};
Shape shape(const Call& call);

// Workspace: offsets of the runs of taps, packed weights, the volumes channels last with borders, and for each part the outputs of a unit.
struct Layout {
  int64_t runs, run;                    // pieces of taps that lie side by side in that copy: a row of the window, or a tap where columns are dilated
  int64_t depth, row, plane, volume;    // of the copy: planes; elements from row to row, plane to plane, volume to volume
  int64_t band, bands;                  // rows of output in a unit of work, units a plane
  int64_t images;                       // that are copied at a time
  int64_t units, parts;
  int64_t offsets, packed, image, part, slice;
  size_t bytes;
};
Layout layout(const Shape& s);

}  // namespace conv3d
}  // namespace accelnn
