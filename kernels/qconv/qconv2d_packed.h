// qconv2d_packed: qconv2d (conv2d/qconv2d.h: the same sums, the same requantization, the same bits) on weights packed once, channels last inside.
//   in:  x u8, x_zero u8[], w i8[P, Q + 1, 64], scale f32[O], bias? i32[O], out_zero? u8[]       out: y u8|f32|i32
//   attributes: conv2d's nine, kernel_h, kernel_w, relu (0, 1), x_last, y_last: 0: x [N, C, H, W], y [N, O, OH, OW]; 1: x [N, H, W, C], y [N, OH, OW, O].
// A window of one group is a sum over Q quads of taps; what a quad is depends on the shape alone, so that every row shares the packed weights:
//   pieces      a window is some pieces of memory, channels last: without groups and dilation_w a filter row is one of S C bytes, else every tap is one
//               of C/g bytes. Quad q of a piece is its bytes 4 q ... 4 q + 3, the weights zero beyond its end.
//   depthwise   (C = O = g) pieces are filter rows of one channel: S taps, again in fours.
//   panels      of 16 outputs (depthwise: 16 channels): w[p, q, 4 n + b] is byte b of quad q for output n of the panel; w[p, Q, ...] holds the 16 sums of
//               all weights, int32. P = g ceil(O/g / 16), depthwise ceil(C / 16). That is matmul_pack of the weights with their taps put in this order.
// Windows of 3 x 3 at stride 1 over 16 to 227 channels go by way of F(4,3) where that pays: the same sums, exactly (winograd.h).
// x, w, y contiguous, any alignment; y overlaps no input. K <= 32768. Sizes from 0. The row of sums is trusted like any other weight.
// Bitwise equal on every row, and to qconv2d. Split over outputs alone: threads never change a bit.
#pragma once
#include "conv2d/geometry.h"
#include "op.h"

#define ACCELNN_OP qconv2d_packed
#define ACCELNN_TABLE "qconv/qconv2d_packed.inc"
#include "attr_slots.h"

namespace accelnn {

// A checked call, taken apart; a function of shapes and attributes alone.
struct QconvProblem {
  conv::Geometry g;
  bool x_last, y_last, depthwise, flat;       // flat: a window is a pixel, the map is one line of them
  bool strips;                               // depthwise windows of 3 x 3 on rows that are copied as they are needed (depthwise.h); if scales are plain
  int64_t pieces_h, pieces_w, piece;         // a window: pieces_h x pieces_w of `piece` bytes
  int64_t quads;                             // of a window: Q
  int64_t panels, columns;                   // of a group; outputs in whole tiles of the widest row
  bool copy;                                 // x is copied: borders, or channels last
  int64_t rows, row, image;                  // of a (copied) image: rows, bytes of one, bytes of all; a pixel is C bytes
  int64_t images;                            // copied at a time
  int64_t lines, line;                       // the map as lines of neighbouring pixels, and the longest
  int64_t bands, column_parts;
  bool winograd;                             // F(4,3), where it pays and is exact (winograd.h)
  int64_t tiles_w, tiles, blocks, block;     // of 4 x 4 outputs: across, of an image; tiles that go through transform, products and back together
  int64_t tile_row, parts;                   // bytes of a tile's channels at one point; parts with a slice of the workspace each
  size_t slice_at, slice;
  bool turn_back;                            // winograd or strips, y u8 [N, O, OH, OW]: the map is made channels last and turned as a whole
  size_t map_at;
  size_t scale_at, weights_at, image_at, bytes;      // workspace: starts at 0, then these; weights: those of depthwise in the order of the lanes
};
QconvProblem qconv_problem(const Call&);

}  // namespace accelnn
