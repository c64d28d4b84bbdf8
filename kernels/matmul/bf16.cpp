#include "matmul/bf16.h"

namespace accelnn {

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static int64_t clamp(int64_t n, int64_t low, int64_t high) { return n < low ? low : n > high ? high
                                                                                             : n; }

Bf16Problem bf16_problem(const Call& call, bool has_tiles) {
  Bf16Problem q = {};
  MatmulProblem& p = q.p;
  p = matmul_operands(call);
  q.pairs = (p.k + 1) / 2;
  if (p.packed || p.m > bf16_few_rows) q.way = Bf16Way::panels;
  else if (p.b_column != 1 && p.b_k == 1 && p.m <= bf16_dot_rows) q.way = Bf16Way::dots;
  else if (p.b_column == 1 && p.m <= bf16_stream_rows) q.way = Bf16Way::streams;
  else q.way = Bf16Way::blocks;
  // A pair at the end of an odd row would take in the next row, or whatever follows the last. Rows a multiple of 2 KiB apart share the cache sets of L1.
  // Streams want floats.
  q.copy_a = q.way == Bf16Way::streams || p.a_k != 1 || (q.way != Bf16Way::dots && (p.k % 2 != 0 || (p.a_row % 1024 == 0 && p.m > 8 && p.n > 2 * strip)));
  q.tiles = has_tiles && (q.way == Bf16Way::panels || q.way == Bf16Way::blocks) && p.m >= bf16_least_tile_rows;
  if (q.tiles) q.copy_a = p.a_k != 1;  // the last k go through a buffer
  q.copied_a_row = round_up(p.k, 32) + (round_up(p.k, 32) % 64 ? 0 : 32);       // an odd number of cache lines: all sets in turn
  // One chain over all of k: no sums of y are read back (y may be bf16). So the rows of a that L2 holds beside a panel depend on k.
  q.row_block = clamp((row_block * 2048 / (p.k < 1 ? 1 : p.k)) / 14 * 14, 28, row_block);
  q.row_unit = q.tiles ? 32 : 1;
  q.column_unit = q.tiles && q.way == Bf16Way::panels && p.k > bf16_tile_near_k ? 3 * strip : strip;       // two steps of three panels
  q.row_parts = (p.m + q.row_block - 1) / q.row_block;
  q.column_parts = column_parts_of(p.m, p.n, p.k, q.row_parts);
  if (q.tiles && q.way == Bf16Way::panels) {         // the part of b stays in L2
    const int64_t least = (p.n * p.k * 2 + caps().l2 / 3 - 1) / (caps().l2 / 3), strips = (p.n + q.column_unit - 1) / q.column_unit;
    q.column_parts = clamp(least, 1, strips);
    const int64_t by_work = work_of(p.m, p.n, p.k) / 4000000 / q.column_parts, rows = (p.m + 31) / 32;
    q.row_parts = clamp(by_work < 16 / q.column_parts ? by_work : 16 / q.column_parts, 1, rows);
    if (q.row_parts * q.column_parts < 4) q.column_parts = clamp(column_parts_of(p.m, p.n, p.k / 8, 1) / q.row_parts, q.column_parts, strips);
  }
  // Narrow parts of rows of b are short runs of memory, which the prefetcher cannot follow.
  const int64_t most = q.way == Bf16Way::blocks ? p.n / bf16_block_columns : q.way == Bf16Way::streams ? p.n / 1024
                                                                                                       : q.column_parts;
  q.column_parts = clamp(q.column_parts, 1, most < 2 ? 2 : most);
  q.group = p.m && p.n && p.batch ? clamp(16 / (q.row_parts * q.column_parts), 1, p.batch) : 0;
  q.a_bytes = q.copy_a ? size_t(round_up(p.m * q.copied_a_row * (q.way == Bf16Way::streams ? 4 : 2), 64)) : 0;
  q.b_bytes = q.way == Bf16Way::panels && !p.packed ? size_t(round_up(p.n, 16) * q.pairs * 4) : 0;
  const int64_t strips = (p.n + strip - 1) / strip, columns = (strips + q.column_parts - 1) / q.column_parts * strip;     // of the widest part
  q.part_bytes = q.way == Bf16Way::blocks ? size_t(bf16_block_bytes + bf16_block_columns * bf16_few_rows * 4)
      : q.way == Bf16Way::streams         ? size_t(p.m * columns * 4)
                                          : 0;
  return q;
}

}  // namespace accelnn
