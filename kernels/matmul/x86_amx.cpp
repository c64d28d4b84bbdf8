#include "matmul/amx.h"
#include "matmul/bf16_generic.h"
#include "matmul/gemm_i8.h"

namespace accelnn {

// A's two tiles of rows stay in L1 while B passes by from L2 in the order in which it lies, which the prefetcher can follow, as it cannot 32 rows of A.
static void amx_panels(const Bf16Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  constexpr int64_t three = 3 * amx_panel_columns;
  alignas(64) float sums[amx_rows * three];
  static_assert(amx_height * amx_wide_columns <= amx_rows * three);
  const int64_t panel = p.q->pairs * 64, step = m1 - m0 <= amx_height ? amx_wide_columns : p.q->p.k <= bf16_tile_near_k ? amx_columns
                                                                                                                        : three;
  for (int64_t i = m0; i < m1;) {
    const AmxRows r = amx_rows_from(i, m0, m1);
    const char* const a = p.a + r.first * p.a_row;
    int64_t next = r.first + r.rows;     // row of A on its way to L2
    const int64_t steps = (n1 - n0 + step - 1) / step, share = (amx_rows + steps - 1) / steps;
    for (int64_t j = n0; j < n1; j += step) {
      const int64_t columns = n1 - j < step ? n1 - j : step;
      const int64_t ahead = m1 - next < share ? m1 - next : share;
      amx_tile<AmxPairs>({2 * p.q->p.k, a, p.a_row, reinterpret_cast<const char*>(p.b) + j / panel_columns * panel, panel, reinterpret_cast<char*>(sums),
                          4 * step, false, p.a + next * p.a_row, int(ahead)},
                         int(r.rows), columns);
      next += ahead;
      bf16_finish(sums + (i - r.first) * step, step, i, j, r.first + r.rows - i, columns, p.epilogue);
    }
    i = r.first + r.rows;
  }
}

// For bf16_blocks: at most 32 rows.
static void amx_tiles_over(const Bf16Product& p, const Bf16Tile& t, int64_t m0, int64_t m1, int64_t columns, int64_t k0, const char* b, float* sums,
                           int64_t sums_row) {
  const int64_t step = m1 - m0 <= amx_height ? amx_wide_columns : amx_columns, k = p.q->p.k - 2 * k0 < 2 * t.pairs ? p.q->p.k - 2 * k0 : 2 * t.pairs;
  for (int64_t j = 0; j < columns; j += step)
    amx_tile<AmxPairs>({2 * k, p.a + m0 * p.a_row + 4 * k0, p.a_row, b + j / panel_columns * t.b_panel, t.b_panel, reinterpret_cast<char*>(sums + j),
                        4 * sums_row, t.accumulate},
                       int(m1 - m0), columns - j < step ? columns - j : step);
}

// One row, a narrow b and small products are faster in the vectors of AVX512-BF16 (bf16.h).
Status matmul_bf16_x86_bf16(const Call&);
Status matmul_bf16_x86_amx(const Call& call) {
  const Bf16Problem q = bf16_problem(call, true);
  if (!q.tiles) return matmul_bf16_x86_bf16(call);
  return bf16_parts(call, q, [&](const Bf16Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
    amx_begin<AmxPairs>(m1 - m0 < amx_height ? int(m1 - m0) : amx_height);
    if (q.way == Bf16Way::panels) amx_panels(p, m0, m1, n0, n1);
    else bf16_blocks(p, m0, m1, n0, n1, amx_tiles_over);
    TileOps::release();
  });
}

static void amx_bytes(int rows, const I8Tile& t, I8Sums& sums) {
  amx_tile<AmxBytes>({4 * t.k4, static_cast<const char*>(t.a), t.a_row, static_cast<const char*>(t.b), t.b_panel, reinterpret_cast<char*>(sums.at[0]),
                      sizeof sums.at[0], false},
                     rows, t.b_panel ? amx_columns : amx_panel_columns);
}
static void amx_start(int rows) { amx_begin<AmxBytes>(rows < amx_height ? rows : amx_height); }
Status qmatmul_u8_x86_amx(const Call& call) {
  return qmatmul(call, {amx_rows, amx_columns, amx_bytes, ACCELNN_I8_FINISH<false>, 0, amx_start, TileOps::release, amx_height});
}

}  // namespace accelnn
