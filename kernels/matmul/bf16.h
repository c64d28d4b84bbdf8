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
// AMX. One row stays with AVX512-BF16 (as fast: it waits for memory). Two by two tiles up to this K, whose 32 rows of A are 32 KiB of L1; two by three
// beyond, five tiles of operands for six products, because both then come from L2. GFLOP/s of the loops alone at 512, 1024, 2048, on a Xeon
// core at 3456 (tdpbf16ps from registers), L2 at 173 GB/s and L3 at 30, both cores busy:
//   rows of A inside, three tiles by two                           1500, 1370, 1140 (A passes by row by row, which the prefetcher cannot follow)
//   the same, A copied in the order of tiles, with the copy        1560, 1480, 1350
//   columns of B inside, two by two                                2100, 1490, 1240
//   columns of B inside, two by three                              1620, 1610, 1330
//   k in blocks of 512 and of 256, sums through memory             2100, 1530, 1290
//   the same, A's block copied before use                          1680, 1500, 1270
// Software prefetch of the tiles themselves, 2 or 4 steps ahead, took 5 to 25 % away; of the next 32 rows of A into L2, spread over the steps, it gave
// 2 to 8 % at 1024 and 2048. A with an odd row stride, copied by the call: no gain. Column parts that are whole steps of three panels: 7 % at 1024.
// Against torch (oneDNN, AMX), interleaved, thread time of one thread on a busy machine (repeated: +-4 %,
// at 768^3 and 1024^3 +-10 %): weights packed, the 28 shapes of shapes.toml
// 2.66x geomean, 1024 0.96 to 1.01 the least; both operands given 1.33x, 1024 0.87 to 0.90 the least: the panels are packed before the product begins.
constexpr int64_t bf16_least_tile_rows = 2, bf16_tile_near_k = 512;
constexpr int64_t bf16_stream_rows = 4, bf16_dot_rows = 32;

}  // namespace accelnn
