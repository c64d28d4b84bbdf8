// Convolutions with block-sparse weights: of the window's R S C x O weights only blocks that hold something are stored, as in sparse/matmul_sparse.h.
// conv2d_sparse(x f32, first i32[S + 1], index i32[B], values f32[B, 16], bias? f32[O], residual? f32) -> y f32
//   y[n, o, i, j] = act( residual[n, o, i, j] + bias[o] + sum_b X[n, c_b, i sh + p_b dh - pad_top, j sw + q_b dw - pad_left] values[b, o % 16] )
//   over the blocks b in [first[o / 16], first[o / 16 + 1]), X = x, and 0 outside of it. A block is 16 outputs of one tap of one channel:
//   index[b] = (p_b S + q_b) C + c_b.     Attributes: conv2d's nine, activation, channels (O), kernel_h, kernel_w (R, S), x_last, y_last
// qconv2d_sparse(x u8, x_zero u8[], first, index, values i8[B, 64], scale f32[O], sums i32[O], bias? i32[O], out_zero? u8[]) -> y u8|f32|i32
//   blocks are 16 outputs of four channels of one tap: index[b] = (p_b S + q_b) ceil(C/4) + c_b / 4, values[b, 4 n + r] is of output n, channel c_b + r;
//   sums[o]: of all weights of an output, those beyond C counted. The sums and the requantization, and so the bits, of qconv2d (conv2d/qconv2d.h) with
//   the same weights. Attributes: conv2d's nine, kernel_h, kernel_w, relu (0, 1), x_last, y_last
// x_last, y_last: 0: [N, C, H, W], [N, O, OH, OW]; 1: [N, H, W, C], [N, OH, OW, O], the residual as y. groups = 1: with more, a block of 16 outputs would
// mostly cross them.
// Error before the activation: gamma_(L+3) (sum |X| |w| + |residual| + |bias|), L the most blocks of a strip; qconv2d_sparse: exact, every row alike.
// NaN and infinity meet only the weights that are stored (and, as the borders' zeros do, only where the window lies).
// `first` and `index` are data: EVERY run tests them before it follows them (first ascending within 0..B, every index that a strip uses within the
// window), fails with a format error and reads nothing out of bounds; y is then undefined. An index may repeat, in any order.
// Everything contiguous, any alignment; y may be the residual's own memory and overlaps nothing else. Sizes from 0. C R S < 2^21, of bytes <= 32768.
// Split over outputs alone: threads never change a bit.
#pragma once
#include "conv2d/geometry.h"
#include "op.h"

#define ACCELNN_OP conv2d_sparse
#define ACCELNN_TABLE "sparse_conv/conv2d_sparse.inc"
#include "attr_slots.h"
#define ACCELNN_OP qconv2d_sparse
#define ACCELNN_TABLE "sparse_conv/qconv2d_sparse.inc"
#include "attr_slots.h"

namespace accelnn {

constexpr int64_t sconv_strip = 16;     // outputs of a block
constexpr int64_t sconv_columns = 64;   // outputs whose bytes are made together

// A checked call, taken apart; a function of shapes and attributes alone. The image is laid out anew: [row][word][pixel], a word being a channel or four
// channels' bytes, so that neighbouring outputs find a tap's words side by side, in one or two cache lines; at a stride sw, every sw-th pixel of a row
// follows the other (`phases`). 1x1 convolutions cut the map into lines of `width` pixels instead of rows; in NCHW their image is what it has to be.
struct SconvProblem {
  conv::Geometry g;
  bool bytes, x_last, y_last, flat, direct;     // direct: the image is used where it is
  int64_t taps, words, strips, blocks;          // of the window; of a pixel; of outputs; of all strips
  int64_t lines, width;                         // of the map, as the loops see it; the last may be shorter (flat)
  int64_t rows, row_words;                      // of a laid out image, and words of one of its rows
  int64_t phases, phase, pitch;                 // pixels of one; words from a channel to the next
  int64_t line_rows, source_rows;               // rows from one line of the map to the next, of the laid out image and of x
  int64_t tap_row;                              // words from one row of taps to the next
  int64_t image, images;                        // words of one, and how many are laid out at a time
  size_t starts_at, scale_at, table_at, image_at, work;         // offsets of blocks begin the workspace; starts and scale in whole tiles of outputs
};
SconvProblem sconv_problem(const Call&);
Status sconv_first(const SconvProblem&, const int32_t* first);     // refuses what does not ascend

}  // namespace accelnn
