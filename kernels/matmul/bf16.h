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
  bool tiles;                          // by tile registers (AMX); otherwise such a row leaves the call to AVX512-BF16
  bool copy_a;                         // to rows of whole pairs, zero-padded, at copied_a_row
  int64_t copied_a_row;                // elements
  int64_t pairs;                       // ceil(K / 2)
  int64_t row_block;                   // rows of a that stay in L2
  int64_t row_unit, column_unit;       // what a part has a multiple of
  int64_t row_parts, column_parts, group;
  size_t a_bytes, b_bytes, part_bytes; // workspace of an item, then of each part
};
Bf16Problem bf16_problem(const Call&, bool has_tiles);

// Up to here b is not packed as a whole: with M, K, N = 16, 4096, 4096 that gave 0.43 of the peer's speed.
constexpr int64_t bf16_few_rows = 32;
// Of a block; its panels lie an odd number of cache lines apart. M, K, N = 8, 768, 3072; 32, 3072, 768; 16, 4096, 4096 with blocks of 512 x 64:
// 322, 896, 5630 us; 256 x 64: 362, 905, 5340; 512 x 32: 316, 946, 5120; 2048 x 16: 321, 1190, 5260; 1024 x 16: 392, 1210, 4970. The two of 16 pairs
// also fetched the next block while one was used, which at 512 x 32 gained nothing (314, 918, 5470) over four rows ahead while packing.
constexpr int64_t bf16_block_columns = 512, bf16_block_pairs = 64;
constexpr int64_t bf16_block_panel = (bf16_block_pairs + 1) * 64, bf16_block_bytes = bf16_block_columns / 16 * bf16_block_panel;
constexpr int64_t bf16_least_tile_rows = 2, bf16_tile_near_k = 512;
constexpr int64_t bf16_stream_rows = 4, bf16_dot_rows = 32;

}  // namespace accelnn
