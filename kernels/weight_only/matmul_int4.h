// matmul_int4(a f32[..., M, K], w u8[S, G, B], bias? f32[N]) -> y f32[..., M, N]:  y[i, j] = sum_k a[i, k] * w[k, j] + bias[j]
//   w[k, j] = s[k / group, j] * (q[k, j] - z[k / group, j]); q in 0..15, s float16, z 8 or, with zero_points = 1, a byte of its own.
//   The packed stream: S = ceil(N/16) strips of 16 columns, in each G = ceil(K/group) groups, in each B bytes, group = 32, 64 or 128:
//     group * 8 bytes   byte 64 v + 4 n + r holds column n of the strip: q[8 v + r] in the low nibble, q[8 v + 4 + r] in the high one
//     32 bytes          the 16 scales, float16
//     16 bytes          the 16 zero points, with zero_points = 1 only
//   so that a strip is one sequential read of 4.5 bits a weight at group 32, 4.125 at 128. Weights are the unsigned operand: 15 * 127 * 2 products
//   never saturate 16 bits, on no ISA.
// compute = 0: activations as they are. Error: |y - exact| <= gamma_(K+2) (|A| |W| + |bias|), W the dequantized weights (each exact in float32).
// compute = 1: activations in int8, a scale for each row and group: t = max |a|, x = rint(a * (127 / t)), halves to even, sa = t / 127; then
//   y = ((0 + p_0) + p_1) + ... + bias,   p_g = float(sum_k x * (q - z)) * (sa * s), integers exact, every float operation rounded once, in order of g.
//   Bitwise equal on every row. |a - sa x| <= t / 254 (1 + 2^-21), which bounds the error by the groups' t |W| / 254 and gamma_(G+3) |A| |W|.
//   A group with t < 2^-100 counts as zeros. Infinity or NaN in a group makes its whole row NaN.
// matmul_int4_pack(q u8, s f32[N, G], z? u8[N, G]) -> w u8[S, G, B]
//   q [N, K]: one number 0..15 a byte (the low four bits count); the last group is filled up with zero weights.
//   q [N, G, group/2]: two a byte, the even k in the low nibble, as ONNX's MatMulNBits stores them. s is rounded to float16, halves to even; beyond
//   65504 it becomes infinite. Columns beyond N have scale 0.
// Everything contiguous, any alignment; y overlaps no input. M, N, K from 0; an empty sum is 0. Any bytes in w are a matrix: nothing in it is an index.
// Split over outputs alone: threads never change a bit.
#pragma once
#include "op.h"

#define ACCELNN_OP matmul_int4
#define ACCELNN_TABLE "weight_only/matmul_int4.inc"
#include "attr_slots.h"
#define ACCELNN_OP matmul_int4_pack
#define ACCELNN_TABLE "weight_only/matmul_int4_pack.inc"
#include "attr_slots.h"

namespace accelnn {

constexpr int64_t int4_strip = 16;
constexpr float int4_least = 0x1p-100f;                // 127 / t stays finite

// A checked call, taken apart; a function of shapes and attributes alone.
struct Int4Problem {
  int64_t m, n, k, group, groups, strips, group_bytes;
  bool zero_points, int8, copy_a;
  int64_t a_row;                                       // bytes of a prepared (or original) row
  int64_t row_block, row_parts, column_parts;
  size_t a_bytes, scale_bytes, start_bytes;            // workspace, multiples of 64
};
Int4Problem int4_problem(const Call&);

// One register tile: some rows against one strip.
struct Int4Tile {
  int64_t groups;
  int blocks;                                          // of 32 k in a group
  bool zero_points;
  const uint8_t* w;
  const char* a;                                       // rows of int8 or f32, padded to whole groups
  int64_t a_row;                                       // bytes
  const float* scale;                                  // int8: of row i and group g at [i * groups + g]
  const int32_t* start;                                // int8: -8 sum x, or with zero points -sum x
  const float* bias;                                   // of the strip, or null
  float* c;
  int64_t c_row;
  int columns;                                         // 1..16
};

// What an ISA brings; the loops around it are compiled once (shared.cpp).
struct Int4Isa {
  int rows_int8, rows_f32;                             // of the highest tile
  void (*tile_int8)(int rows, const Int4Tile&);
  void (*tile_f32)(int rows, const Int4Tile&);
  // One row to int8: x padded with zeros to whole groups.
  void (*quantize)(const float* a, int64_t k, int64_t group, int8_t* x, float* scale, int32_t* start, int32_t factor);
};
Status matmul_int4(const Call&, const Int4Isa&);

}  // namespace accelnn
