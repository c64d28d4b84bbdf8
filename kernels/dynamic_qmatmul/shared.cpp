// The loops around the tiles of any ISA: rows are quantized once, in parallel, then every part multiplies its block of them with its columns.
#include "dynamic_qmatmul/tiles.h"
#include "matmul/gemm.h"
#include "matmul/matmul.h"
#include "matmul/pack_i8.h"
#include "pool.h"

namespace accelnn {

constexpr int64_t group = 16;          // rows that one part quantizes

// f(rows r0 to r1, where they lie, their stride), a few at a time.
template <class F> static void each_group(const Call& call, const DynamicProblem& p, int64_t worth, const F& f) {
  const TensorView& a = call.in[0];
  parallel(call, (p.rows + group - 1) / group, worth * p.rows * p.k, [&](int64_t part) {
    const int64_t r0 = part * group, r1 = r0 + group < p.rows ? r0 + group : p.rows;
    if (p.gather) f(r0, r1, reinterpret_cast<const float*>(static_cast<char*>(call.work) + p.copy_at) + r0 * p.k, p.k);
    else if (p.even_rows) f(r0, r1, a.as<float>() + r0 * p.a_row, p.a_row);
    else
      for (int64_t r = r0; r < r1; r++) f(r, r + 1, row_of(a, r), 0);
  });
}

// One step for all rows (whole = 1). What a row reaches waits where its step and zero point will be.
static void quantize_whole(const Call& call, const DynamicProblem& p, const DynamicIsa& isa) {
  char* const work = static_cast<char*>(call.work);
  float* const step = reinterpret_cast<float*>(work);
  int32_t* const zero = reinterpret_cast<int32_t*>(work + p.zero_at);
  if (p.gather)
    parallel(call, (p.rows + group - 1) / group, 4 * p.rows * p.k, [&](int64_t part) {
      const int64_t r0 = part * group, r1 = r0 + group < p.rows ? r0 + group : p.rows;
      float* const copy = reinterpret_cast<float*>(work + p.copy_at);
      const float* from[group];
      for (int64_t r = r0; r < r1; r++) from[r - r0] = row_of(call.in[0], r);
      for (int64_t k = 0; k < p.k; k++)
        for (int64_t r = r0; r < r1; r++) copy[r * p.k + k] = from[r - r0][k * p.a_k];
    });
  each_group(call, p, 1, [&](int64_t r0, int64_t r1, const float* from, int64_t row) {
    const Extremes e = isa.extremes(from, row, r1 - r0, p.k);
    for (int64_t r = r0; r < r1; r++) std::memcpy(step + r, &e.bottom, 4), zero[r] = e.top;
  });
  Extremes all = {0, 0};
  for (int64_t r = 0; r < p.rows; r++) {
    Extremes e = {zero[r], 0};
    std::memcpy(&e.bottom, step + r, 4);
    all = widest(all, e);
  }
  const ByteStep by = byte_step(all);
  for (int64_t r = 0; r < p.rows; r++) step[r] = by.step, zero[r] = by.zero;
  each_group(call, p, 4, [&](int64_t r0, int64_t r1, const float* from, int64_t row) {
    isa.by_step(from, row, r1 - r0, p.k, work + p.quads_at + r0 * p.quad_row, p.quad_row, by);
  });
}

static void quantize_all(const Call& call, const DynamicProblem& p, const DynamicIsa& isa) {
  const TensorView& a = call.in[0];
  char* const work = static_cast<char*>(call.work);
  float* const step = reinterpret_cast<float*>(work);
  int32_t* const zero = reinterpret_cast<int32_t*>(work + p.zero_at);
  parallel(call, (p.rows + group - 1) / group, 4 * p.rows * p.k, [&](int64_t part) {
    const int64_t r0 = part * group, r1 = r0 + group < p.rows ? r0 + group : p.rows;
    char* const to = work + p.quads_at + r0 * p.quad_row;
    if (p.gather) {                    // k outside: the rows of a transposed a are neighbours
      float* const copy = reinterpret_cast<float*>(work + p.copy_at) + r0 * p.k;
      const float* from[group];
      for (int64_t r = r0; r < r1; r++) from[r - r0] = row_of(a, r);
      for (int64_t k = 0; k < p.k; k++)
        for (int64_t r = 0; r < r1 - r0; r++) copy[r * p.k + k] = from[r][k * p.a_k];
      isa.quantize(copy, p.k, r1 - r0, p.k, to, p.quad_row, step + r0, zero + r0);
    } else if (p.even_rows) {
      isa.quantize(a.as<float>() + r0 * p.a_row, p.a_row, r1 - r0, p.k, to, p.quad_row, step + r0, zero + r0);
    } else {
      for (int64_t r = r0; r < r1; r++) isa.quantize(row_of(a, r), 0, 1, p.k, to + (r - r0) * p.quad_row, p.quad_row, step + r, zero + r);
    }
  });
}

Status dynamic_qmatmul(const Call& call, const DynamicIsa& isa) {
  const DynamicProblem p = dynamic_problem(call, isa.quad_bytes);
  if (p.rows == 0 || p.n == 0) return {};
  const TensorView &b = call.in[1], &bias = call.in[3], &y = call.out[0];
  const int64_t panel_bytes = (p.k4 + 1) * 64;
  char* const work = static_cast<char*>(call.work);
  int8_t* const panels = p.packed ? b.as<int8_t>() : reinterpret_cast<int8_t*>(work + p.panels_at);
  if (!p.packed)
    parallel(call, (p.n + panels_at_once * 16 - 1) / (panels_at_once * 16), work_of(p.k, p.n, 2), [&](int64_t i) {
      const int64_t j = i * panels_at_once * 16, columns = p.n - j < panels_at_once * 16 ? p.n - j : panels_at_once * 16;
      pack_panels(b.as<int8_t>() + j * b.stride[1], b.stride[0], b.stride[1], p.k, columns, panels + j / 16 * panel_bytes, panel_bytes);
    });
  (call.integer(dynamic_qmatmul_attr::whole) ? quantize_whole : quantize_all)(call, p, isa);

  // Above it tiles of 32 columns are as fast from far and 7 % faster near.
  const bool narrow = p.rows <= (isa.most_narrow ? isa.most_narrow : 2 * isa.narrow_rows);
  const int most_rows = narrow ? isa.narrow_rows : isa.rows, step_columns = narrow ? isa.narrow_columns : isa.columns;
  const int64_t strips = (p.n + strip - 1) / strip;
  parallel(call, p.row_parts * p.column_parts, work_of(p.rows, p.n, p.k) / 4, [&](int64_t part) {
    const int64_t row_part = part / p.column_parts, column_part = part % p.column_parts;
    const int64_t m0 = tile_start(p.rows, p.row_parts, row_part), m1 = tile_start(p.rows, p.row_parts, row_part + 1);
    const int64_t tiles = tiles_of(m1 - m0, most_rows);
    const int64_t n0 = tile_start(strips, p.column_parts, column_part) * strip, n1 = tile_start(strips, p.column_parts, column_part + 1) * strip;
    const int64_t end = n1 < p.n ? n1 : p.n;
    const bool whole = isa.begin && !narrow;
    if (whole) isa.begin(int(m1 - m0 < isa.rows ? m1 - m0 : isa.rows));
    float padded_scale[strip] = {}, padded_bias[strip] = {};
    const auto tile_at = [&](int64_t j, int64_t i) {
      DynamicTile t;
      t.k4 = p.k4;
      t.a_row = p.quad_row;
      t.large = p.k4 * p.n * 4 > caps().l3 / 4;
      t.columns = int(end - j < step_columns ? end - j : step_columns);
      t.b = reinterpret_cast<const char*>(panels) + j / panel_columns * panel_bytes + j % panel_columns * 4;
      t.b_panel = t.columns <= panel_columns ? 0 : panel_bytes;      // a last odd panel is read twice rather than past its end
      t.c_row = p.n;
      t.scale = call.in[2].as<float>() + j;
      t.bias = bias.absent() ? nullptr : bias.as<float>() + j;
      t.activation = int(call.integer(dynamic_qmatmul_attr::activation));
      if (t.columns < step_columns) {
        std::memcpy(padded_scale, t.scale, size_t(t.columns) * 4);
        t.scale = padded_scale;
        if (t.bias) std::memcpy(padded_bias, t.bias, size_t(t.columns) * 4);
        if (t.bias) t.bias = padded_bias;
      }
      int64_t i0 = m0 + tile_start(m1 - m0, tiles, i), i1 = m0 + tile_start(m1 - m0, tiles, i + 1);
      if (whole) {                     // all but the last are full; the last makes up its least number of rows from those before
        i0 = m0 + i * most_rows, i1 = m1 - i0 < most_rows ? m1 : i0 + most_rows;
        const int64_t least = m1 - m0 < isa.least_rows ? m1 - m0 : isa.least_rows;
        if (i1 - i0 < least) i0 = i1 - least;
      }
      // The next columns' weights, a share with each tile: 128 rows over 768 x 3072, whose weights lie beyond L2, 3 % faster.
      if (!narrow && !whole && tiles > 1 && j + 2 * step_columns <= end) {
        const int64_t bytes = step_columns / panel_columns * panel_bytes;
        const char* const next = reinterpret_cast<const char*>(panels) + (j + step_columns) / panel_columns * panel_bytes;
        for (int64_t at = bytes * i / tiles; at < bytes * (i + 1) / tiles; at += 64) __builtin_prefetch(next + at, 0, 2);
      }
      t.a = work + p.quads_at + i0 * p.quad_row;
      t.step = reinterpret_cast<const float*>(work) + i0;
      t.zero = reinterpret_cast<const int32_t*>(work + p.zero_at) + i0;
      t.c = y.as<float>() + i0 * p.n + j;
      (narrow ? isa.narrow : isa.tile)(int(i1 - i0), t);
    };
    if (whole) {                         // rows of a stay in L1 while the weights pass by in the order in which they lie
      for (int64_t i = 0; i < tiles; i++)
        for (int64_t j = n0; j < end; j += step_columns) tile_at(j, i);
    } else {
      for (int64_t j = n0; j < end; j += step_columns)
        for (int64_t i = 0; i < tiles; i++) tile_at(j, i);
    }
    if (whole) isa.end();
  });
  return {};
}

}  // namespace accelnn
