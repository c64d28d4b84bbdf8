// The loops around the block-sparse tiles, compiled once for all ISAs.
#include "pool.h"
#include "sparse/matmul_sparse.h"

namespace accelnn {

Status matmul_sparse(const Call& call, const SparseIsa& isa) {
  const SparseProblem p = sparse_problem(call);
  const char* const name = p.int8 ? "matmul_sparse_int8" : "matmul_sparse";
  const int32_t* const first = call.in[1].as<int32_t>();
  const int32_t* const index = call.in[2].as<int32_t>();
  bool ascending = first[0] >= 0 && first[p.strips] <= p.blocks;
  for (int64_t s = 0; s < p.strips; s++) ascending = ascending && first[s] <= first[s + 1];
  ACCELNN_CHECK(ascending, format, "%s: `first` does not ascend within 0..%lld: the weights are corrupt", name, static_cast<long long>(p.blocks));
  if (p.m == 0 || p.n == 0) return {};

  const TensorView& bias = call.in[p.int8 ? 6 : 4];
  const int64_t halves = p.int8 ? isa.halves : 1, row_words = p.words * halves, tiles = (p.m + isa.rows - 1) / isa.rows;
  char* const work = static_cast<char*>(call.work);
  int32_t* const panels = reinterpret_cast<int32_t*>(work);
  int32_t* const quantized = reinterpret_cast<int32_t*>(work + p.panel_bytes);
  float* const a_scale = reinterpret_cast<float*>(work + p.panel_bytes + p.row_bytes);
  int32_t* const a_zero = reinterpret_cast<int32_t*>(work + p.panel_bytes + p.row_bytes + p.scale_bytes);
  const float* const a = call.in[0].as<float>();
  const auto start = [&](int64_t tile) { return p.m * tile / tiles; };          // balanced: 29 rows are 15 + 14, not 28 + 1

  const int64_t quad_row = p.quad_row * halves;
  const int32_t* const rows = p.int8 ? quantized : call.in[0].as<int32_t>();
  if (p.int8) {
    constexpr int64_t together = 8;                     // rows quantized and turned while they are in L1
    const int64_t pieces = (isa.rows + together - 1) / together;
    parallel(call, tiles * pieces, p.m * p.k * 8, [&](int64_t part) {
      const int64_t i0 = start(part / pieces), height = start(part / pieces + 1) - i0;
      const int64_t r0 = part % pieces * together, n = height - r0 < together ? height - r0 : together;
      if (n <= 0) return;
      int32_t* const to = quantized + (i0 + r0) * quad_row;
      isa.quantize(a + (i0 + r0) * p.k, p.k, n, p.k, reinterpret_cast<char*>(to), quad_row * 4, a_scale + i0 + r0, a_zero + i0 + r0);
      if (p.m > 1) isa.transpose(to, quad_row, n, row_words, panels + i0 * row_words + r0, height);
    });
  } else if (p.m > 1) {
    parallel(call, 4 * tiles, p.m * p.k * 8, [&](int64_t part) {
      const int64_t tile = part / 4, i0 = start(tile), height = start(tile + 1) - i0;
      const int64_t k0 = row_words * (part % 4) / 4, k1 = row_words * (part % 4 + 1) / 4;
      isa.transpose(rows + i0 * row_words + k0, row_words, height, k1 - k0, panels + i0 * row_words + k0 * height, height);
    });
  }

  // About 16 parts, of 100 000 multiply-adds at least; the tiles' panels stay near the core while the strips' blocks stream past.
  const double work_done = double(p.m) * double(p.blocks) * (p.int8 ? 64 : 16);
  const int64_t by_work = work_done / 1e5 / double(tiles) < 16 ? int64_t(work_done / 1e5 / double(tiles)) : 16, wanted = (16 + tiles - 1) / tiles;
  int64_t column_parts = by_work < wanted ? by_work : wanted;
  column_parts = column_parts < 1 ? 1 : column_parts > p.strips ? p.strips
                                                                : column_parts;
  const int64_t worth = work_done < 1e18 ? int64_t(work_done / (p.int8 ? 2 : 0.5)) : int64_t(1e18);
  int corrupt = 0;
  parallel(call, tiles * column_parts, worth, [&](int64_t part) {
    const int64_t tile = part / column_parts, column_part = part % column_parts, i0 = start(tile);
    SparseTile t;
    t.panel = p.m > 1 ? panels + i0 * row_words : rows;
    t.a_scale = a_scale + i0;
    t.a_zero = a_zero + i0;
    t.c_row = p.n;
    for (int64_t s = p.strips * column_part / column_parts; s < p.strips * (column_part + 1) / column_parts; s++) {
      const int64_t j = s * sparse_strip;
      t.index = index + first[s];
      t.count = first[s + 1] - first[s];
      if (!isa.within(t.index, t.count, p.words)) {
        __atomic_store_n(&corrupt, 1, __ATOMIC_RELAXED);
        return;
      }
      t.values = static_cast<const char*>(call.in[3].data) + int64_t(first[s]) * 64;
      t.scale = p.int8 ? call.in[4].as<float>() + j : nullptr;
      t.sums = p.int8 ? call.in[5].as<int32_t>() + j : nullptr;
      t.bias = bias.absent() ? nullptr : bias.as<float>() + j;
      t.c = call.out[0].as<float>() + i0 * p.n + j;
      t.columns = int(p.n - j < sparse_strip ? p.n - j : sparse_strip);
      (p.int8 ? isa.tile_int8 : isa.tile_f32)(int(start(tile + 1) - i0), t);
    }
  });
  ACCELNN_CHECK(!corrupt, format, "%s: an index is not within 0..%lld: the weights are corrupt", name, static_cast<long long>(p.words - 1));
  return {};
}

}  // namespace accelnn
