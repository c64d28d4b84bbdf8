// qmatmul around the byte tiles of any ISA: u8 activations broadcast against s8 weight panels.
#include "matmul/gemm.h"
#include "matmul/i8.h"
#include "matmul/matmul.h"
#include "matmul/pack.h"
#include "matmul/qmatmul.h"
#include "pool.h"

namespace accelnn {

Status qmatmul(const Call& call, const I8Isa& isa) {
  const QmatmulProblem q = qmatmul_problem(call);
  if (q.m == 0 || q.n == 0) return {};
  const TensorView &a = call.in[0], &b = call.in[2], &bias = call.in[4], &y = call.out[0];
  const int64_t panels = (q.n + panel_columns - 1) / panel_columns, k4 = (q.k + 3) / 4, panel_bytes = (k4 + 1) * 64;
  char* const work = static_cast<char*>(call.work);
  int32_t* const start = reinterpret_cast<int32_t*>(work);
  uint8_t* const copied_a = reinterpret_cast<uint8_t*>(work + q.start_bytes);
  int8_t* const packed_b = q.packed ? b.as<int8_t>() : reinterpret_cast<int8_t*>(work + q.start_bytes + q.a_bytes);

  if (q.copy_a)
    for (int64_t i = 0; i < q.m; i++) {
      const uint8_t* from = a.as<uint8_t>() + i * q.a_row;
      uint8_t* to = copied_a + i * q.copied_a_row;
      if (q.a_k == 1) std::memcpy(to, from, size_t(q.k));
      else
        for (int64_t k = 0; k < q.k; k++) to[k] = from[k * q.a_k];
      std::memset(to + q.k, 0, size_t(q.copied_a_row - q.k));
    }
  if (!q.packed)
    parallel(call, panels, work_of(q.k, q.n, 4), [&](int64_t i) {
      const int64_t j = i * panel_columns;
      const int64_t columns = q.n - j < panel_columns ? q.n - j : panel_columns;
      pack_panel(b.as<int8_t>() + j * q.b_column, q.b_k, q.b_column, q.k, columns, packed_b + i * panel_bytes);
    });
  // The zero point of a leaves the inner loop: sum (a - zero) b = sum a b - zero * sum b. Unsigned arithmetic, because it may wrap.
  const uint32_t a_zero = uint32_t(*call.in[1].as<uint8_t>() - isa.offset);
  const int8_t* row_of_sums = packed_b + k4 * 64;
  for (int64_t i = 0; i < q.n; i += panel_columns, row_of_sums += panel_bytes)
    for (int64_t j = i; j < q.n && j < i + panel_columns; j++) {
      uint32_t sum;
      std::memcpy(&sum, row_of_sums + (j - i) * 4, 4);
      start[j] = int32_t((bias.absent() ? 0u : uint32_t(bias.as<int32_t>()[j])) - a_zero * sum);
    }

  const float* scale = call.in[3].as<float>();
  const int zero = call.in[5].absent() ? 0 : *call.in[5].as<uint8_t>();
  const bool relu = call.integer(qmatmul_attr::relu) != 0;
  const int64_t strips = (q.n + strip - 1) / strip, bytes = int64_t(size_of(y.dtype));
  parallel(call, q.row_parts * q.column_parts, work_of(q.m, q.n, q.k) / 4, [&](int64_t part) {
    const int64_t row_part = part / q.column_parts, column_part = part % q.column_parts;
    const int64_t m0 = tile_start(q.m, q.row_parts, row_part), m1 = tile_start(q.m, q.row_parts, row_part + 1);
    const int64_t tiles = tiles_of(m1 - m0, isa.rows);
    const int64_t n0 = tile_start(strips, q.column_parts, column_part) * strip, n1 = tile_start(strips, q.column_parts, column_part + 1) * strip;
    const int64_t end = n1 < q.n ? n1 : q.n;
    if (isa.begin) isa.begin(int(m1 - m0 < isa.rows ? m1 - m0 : isa.rows));
    I8Sums sums;
    for (int64_t j = n0; j < end; j += isa.columns) {
      const int columns = int(end - j < isa.columns ? end - j : isa.columns);
      I8Tile t;
      t.k4 = k4;
      t.a_row = q.copy_a ? q.copied_a_row : q.a_row;
      t.b = packed_b + j / panel_columns * panel_bytes + j % panel_columns * 4;
      t.b_row = 64;
      t.b_panel = columns <= panel_columns ? 0 : panel_bytes;      // a last odd panel is read twice rather than past its end
      for (int64_t i = 0; i < tiles; i++) {
        int64_t i0 = m0 + tile_start(m1 - m0, tiles, i), i1 = m0 + tile_start(m1 - m0, tiles, i + 1);
        if (isa.begin) {                 // all but the last are full; the last makes up its least number of rows from those before
          i0 = m0 + i * isa.rows, i1 = m1 - i0 < isa.rows ? m1 : i0 + isa.rows;
          const int64_t least = m1 - m0 < isa.least_rows ? m1 - m0 : isa.least_rows;
          if (i1 - i0 < least) i0 = i1 - least;
        }
        t.a = (q.copy_a ? copied_a : a.as<uint8_t>()) + i0 * t.a_row;
        isa.tile(int(i1 - i0), t, sums);
        isa.finish(sums, int(i1 - i0), columns, static_cast<char*>(y.data) + (i0 * q.n + j) * bytes, q.n,
                   {y.dtype, scale + j, start + j, zero, relu});
      }
    }
    if (isa.end) isa.end();
  });
  return {};
}

}  // namespace accelnn
