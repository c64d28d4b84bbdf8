// Products of bfloat16 operands: how a checked call is carried out, the same on every ISA. A 32-bit lane holds two neighbours along k.
#pragma once
#include "matmul/matmul.h"

namespace accelnn {

enum class Bf16Way : int { panels,     // b in pair panels: the caller's, or packed in the workspace before all else
                           blocks,     // up to 32 rows: b is packed a block at a time into L2, where the tiles use it at once: it leaves memory once
                           streams,    // up to 4 rows, b row by row: sums in L1 or L2 while b passes by in its own order
                           dots };     // few rows, b column by column (a transposed weight): dot products in place
struct Bf16Problem {
  MatmulProblem p;                     // its strides and sizes; nothing else of it counts here
  Bf16Way way;
  bool copy_a;                         // to rows of whole pairs, zero-padded, at copied_a_row
  int64_t copied_a_row;                // elements
  int64_t pairs;                       // ceil(K / 2)
  int64_t row_block;                   // rows of a that stay in L2
  int64_t row_parts, column_parts, group;
  size_t a_bytes, b_bytes, part_bytes; // workspace of an item, then of each part
};
Bf16Problem bf16_problem(const Call&);

constexpr int64_t bf16_few_rows = 32;                            // up to here b is not packed: 16 x 4096 x 4096 ran at 0.43 of the peer with it
constexpr int64_t bf16_block_columns = 128, bf16_block_pairs = 128;      // a block is 64 KiB
constexpr int64_t bf16_stream_rows = 4, bf16_dot_rows = 32;

}  // namespace accelnn
