// Products with block-sparse weights: of K x N only blocks that hold something are stored. A block is one 64-byte vector, the same on every ISA.
// matmul_sparse(a f32[..., M, K], first i32[S + 1], index i32[B], values f32[B, 16], bias? f32[N]) -> y f32[..., M, N]
//   S = ceil(N/16) strips of 16 columns; blocks b in [first[s], first[s + 1]) belong to strip s and are 16 columns x 1 k:
//   y[i, 16 s + n] = sum_b a[i, index[b]] * values[b, n] + bias[16 s + n]
//   Error: |y - exact| <= gamma_(C+1) (|A| |W| + |bias|), C the blocks of the strip. NaN and infinity meet only the weights that are stored.
// matmul_sparse_int8(a f32[..., M, K], first i32[S + 1], index i32[B], values i8[B, 64], scale f32[N], sums i32[N], bias? f32[N]) -> y f32[..., M, N]
//   Blocks are 16 columns x 4 k, values[b, 4 n + r] = w[4 index[b] + r, 16 s + n]; sums[j] = sum_k w[k, j]. Rows of a become bytes x with a step and a
//   zero point as in dynamic_qmatmul.h (numbers beyond K count as 0, so their bytes are the zero point):
//   y[i, j] = float(sum_b sum_r x[i, 4 index[b] + r] * values[b, 4 n + r] - zero[i] * sums[j]) * (scale[j] * step[i]) + bias[j], the sum exact (modulo
//   2^32), every float operation rounded once: bitwise equal on every row, and to dynamic_qmatmul with the same weights. |a - step (x - zero)| <=
//   step (1/2 + 2^-12), which bounds the error. Infinity or NaN in a row makes the whole row of y NaN. The sums cannot wrap up to K = 66 000.
// `first` and `index` are data, so a row cannot rely on check(): EVERY run tests them before it follows them (first ascending within 0..B, each index of
// a strip within 0..K-1, or ceil(K/4)-1), fails with a format error and reads nothing out of bounds; y is then undefined. An index may repeat, in any
// order. The test is one vector comparison for 16 blocks.
// Everything contiguous, any alignment; y overlaps no input. M, N, K, B from 0. Split over outputs alone: threads never change a bit.
#pragma once
#include "op.h"

#define ACCELNN_OP matmul_sparse
#define ACCELNN_TABLE "sparse/matmul_sparse.inc"
#include "attr_slots.h"
#define ACCELNN_OP matmul_sparse_int8
#define ACCELNN_TABLE "sparse/matmul_sparse_int8.inc"
#include "attr_slots.h"

namespace accelnn {

constexpr int64_t sparse_strip = 16;

// A checked call, taken apart. Rows are cut into tiles whose activations lie word by word, [k][row of the tile], so that a block finds the words of
// all rows in one or two cache lines (in rows, every word would be a line of its own).
struct SparseProblem {
  bool int8;
  int64_t m, n, k, strips, blocks;
  int64_t words;                                        // of a row: K, or ceil(K/4) groups of four bytes
  int64_t quad_row;                                     // quads from one row of bytes to the next: what the quantizer writes, whole vectors
  size_t panel_bytes, row_bytes, scale_bytes;           // workspace, multiples of 64
};
SparseProblem sparse_problem(const Call&);

struct SparseTile {
  const int32_t* panel;                                 // word (k, half, i) of the tile at (k * halves + half) * rows + i
  const int32_t* index;                                 // of the strip's blocks
  int64_t count;
  const void* values;
  const float* a_scale;                                 // of the tile's rows, int8 only
  const int32_t* a_zero;
  const float* scale;                                   // of the strip's columns, int8 only
  const int32_t* sums;
  const float* bias;                                    // or null
  float* c;
  int64_t c_row;
  int columns;                                          // 1..16
};

// What an ISA brings; the loops are compiled once (shared.cpp). halves: words in which it wants four bytes (2: even and odd ones as 16 bits).
struct SparseIsa {
  int rows, halves;
  void (*tile_f32)(int rows, const SparseTile&);
  void (*tile_int8)(int rows, const SparseTile&);
  bool (*within)(const int32_t* index, int64_t count, int64_t end);
  void (*quantize)(const float* from, int64_t from_row, int64_t rows, int64_t k, char* to, int64_t to_row, float* step, int32_t* zero);
  void (*transpose)(const int32_t* rows, int64_t row_words, int64_t height, int64_t words, int32_t* panel, int64_t panel_row);
};
Status matmul_sparse(const Call&, const SparseIsa&);    // either op

}  // namespace accelnn
