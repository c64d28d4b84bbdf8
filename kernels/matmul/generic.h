// matmul f32 over the register tile of gemm.h: copy what the tiles cannot read in place, then tiles.
#pragma once
#include "matmul/gemm.h"
#include "matmul/matmul.h"
#include "matmul/pack.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// One matrix product, its operands either where the caller has them or copied.
struct Product {
  int64_t m, n, k;
  const float* a;
  int64_t a_row;
  const float* b;                       // columns before the tail
  int64_t b_row, b_panel;
  const float* tail;                    // the strip from there on, [k][strip], or null
  float* c;                             // row stride n
  const float* residual;                // like c, or null
  Epilogue epilogue;
};

// Rows [m0, m1), columns [n0, n1); n0 is a multiple of `strip`.
inline void multiply(const Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  const int64_t k_blocks = p.k <= k_block ? 1 : (p.k + k_block - 1) / k_block;
  const int64_t tail_from = p.tail ? p.n / strip * strip : p.n;
  for (int64_t kb = 0; kb < k_blocks; kb++) {
    const int64_t k0 = p.k * kb / k_blocks, k1 = p.k * (kb + 1) / k_blocks;
    const bool last = kb == k_blocks - 1;
    for (int64_t r0 = m0; r0 < m1; r0 += row_block) {
      const int64_t r1 = r0 + row_block < m1 ? r0 + row_block : m1, tiles = tiles_of(r1 - r0);
      for (int64_t j = n0; j < n1;) {
        F32Tile t;
        const bool wide = r1 - r0 <= wide_rows && j + wide_columns <= (j < tail_from && tail_from < n1 ? tail_from : n1);
        t.columns = wide ? wide_columns : int(n1 - j < tile_columns ? n1 - j : tile_columns);
        t.k = k1 - k0;
        t.a_row = p.a_row;
        if (j < tail_from) {
          t.b = p.b + k0 * p.b_row + j / panel_columns * p.b_panel + j % panel_columns;
          t.b_row = p.b_row;
          t.b_panel = p.b_panel;
        } else {
          t.b = p.tail + k0 * strip + (j - tail_from);
          t.b_row = strip;
          t.b_panel = panel_columns;
        }
        t.c_row = p.n;
        for (int64_t i = 0; i < tiles; i++) {
          const int64_t i0 = r0 + tile_start(r1 - r0, tiles, i), i1 = r0 + tile_start(r1 - r0, tiles, i + 1);
          t.a = p.a + i0 * p.a_row + k0;
          t.c = p.c + i0 * p.n + j;
          t.add = kb > 0 ? t.c : p.residual ? p.residual + i0 * p.n + j
                                            : nullptr;
          const Epilogue e = last ? p.epilogue.at(i0, j) : p.epilogue.unfinished();
          if (wide) f32_wide_tile(int(i1 - i0), t, e);
          else f32_tile(int(i1 - i0), t, e);
        }
        j += t.columns;
      }
    }
  }
}

// Up to 4 rows of a against up to 4 columns of a transposed b, both contiguous along k.
template <int R, int C>
void dot_tile(int64_t k, const float* a, int64_t a_row, const float* b, int64_t b_column, float* c, int64_t c_row) {
  vf acc[R][C];
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) acc[i][j] = vf{};
  for (int64_t at = 0; at < k; at += lanes) {
    const int n = int(k - at < lanes ? k - at : lanes);
    vf x[R];
#pragma GCC unroll 4
    for (int i = 0; i < R; i++) x[i] = n == lanes ? load(a + i * a_row + at) : load(a + i * a_row + at, n);
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      const vf y = n == lanes ? load(b + j * b_column + at) : load(b + j * b_column + at, n);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) acc[i][j] = fma(x[i], y, acc[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) c[i * c_row + j] = sum_of(acc[i][j]);
}
constexpr int64_t dot_columns = 64;     // at a time through a buffer, where the epilogue finds them
template <int R>
void dot_rows(const Product& p, int64_t b_column, int64_t n0, int64_t n1) {
  float sums[R * dot_columns];
  for (int64_t j0 = n0; j0 < n1; j0 += dot_columns) {
    const int64_t columns = n1 - j0 < dot_columns ? n1 - j0 : dot_columns;
    const float* b = p.b + j0 * b_column;
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4) dot_tile<R, 4>(p.k, p.a, p.a_row, b + j * b_column, b_column, sums + j, dot_columns);
    for (; j < columns; j++) dot_tile<R, 1>(p.k, p.a, p.a_row, b + j * b_column, b_column, sums + j, dot_columns);
    finish_tile(sums, dot_columns, p.residual ? p.residual + j0 : nullptr, p.c + j0, p.n, R, columns, p.epilogue.at(0, j0));
  }
}
inline void dots(const Product& p, int64_t b_column, int64_t n0, int64_t n1) {
  switch (p.m) {
    case 1: dot_rows<1>(p, b_column, n0, n1); break;
    case 2: dot_rows<2>(p, b_column, n0, n1); break;
    case 3: dot_rows<3>(p, b_column, n0, n1); break;
    default: dot_rows<4>(p, b_column, n0, n1); break;
  }
}

inline Status matmul(const Call& call) {
  const MatmulProblem q = matmul_problem(call);
  if (q.batch == 0 || q.m == 0 || q.n == 0) return {};
  const TensorView &a = call.in[0], &b = call.in[1], &y = call.out[0];
  const int batch_dims = q.batch > 1 ? y.rank - 2 : 0;
  const size_t bytes_per_item = q.a_bytes + q.b_bytes;
  Epilogue epilogue;
  if (!call.in[2].absent()) epilogue.column_bias = call.in[2].as<float>();
  epilogue.activation = int(call.integer(matmul_attr::activation));
  epilogue.scale = float(call.real(matmul_attr::scale));

  const auto product = [&](int64_t item, int64_t slot) {
    Product p;
    p.m = q.m;
    p.n = q.n;
    p.k = q.k;
    char* work = static_cast<char*>(call.work) + size_t(slot) * bytes_per_item;
    p.a = q.copy_a ? reinterpret_cast<float*>(work) : a.as<float>() + batch_offset(a, item, batch_dims);
    p.a_row = q.copy_a ? q.copied_a_row : q.a_row;
    const bool panels = q.packed || q.copy_b;
    float* copied = reinterpret_cast<float*>(work + q.a_bytes);
    p.b = q.copy_b ? copied : b.as<float>() + (q.packed ? 0 : batch_offset(b, item, batch_dims));
    p.b_row = panels ? panel_columns : q.b_k;
    p.b_panel = panels ? panel_columns * q.k : panel_columns;
    p.tail = q.copy_tail ? copied : nullptr;
    p.c = y.as<float>() + item * q.m * q.n;
    p.residual = call.in[3].absent() ? nullptr : call.in[3].as<float>() + item * q.m * q.n;
    p.epilogue = epilogue;
    return p;
  };

  constexpr int64_t copy_parts = 8;     // of each operand
  const int64_t parts = q.row_parts * q.column_parts, strips = (q.n + strip - 1) / strip;
  for (int64_t first = 0; first < q.batch; first += q.group) {
    const int64_t items = q.batch - first < q.group ? q.batch - first : q.group;
    if (bytes_per_item)
      parallel(call, items * 2 * copy_parts, items * int64_t(bytes_per_item), [&](int64_t part) {
        const int64_t slot = part / (2 * copy_parts), piece = part % copy_parts, item = first + slot;
        const bool rows_of_a = part / copy_parts % 2 == 0;
        float* work = reinterpret_cast<float*>(static_cast<char*>(call.work) + size_t(slot) * bytes_per_item);
        if (rows_of_a && q.copy_a) {
          const int64_t r0 = tile_start(q.m, copy_parts, piece), r1 = tile_start(q.m, copy_parts, piece + 1);
          gather(a.as<float>() + batch_offset(a, item, batch_dims) + r0 * q.a_row, q.a_row, q.a_k, r1 - r0, q.k, work + r0 * q.copied_a_row,
                 q.copied_a_row);
        } else if (!rows_of_a && q.b_bytes) {
          const float* from = b.as<float>() + batch_offset(b, item, batch_dims);
          float* to = work + q.a_bytes / 4;
          if (q.copy_tail) {            // what lies beyond the last column is read, but belongs to no output
            const int64_t j = q.n / strip * strip, k0 = tile_start(q.k, copy_parts, piece), k1 = tile_start(q.k, copy_parts, piece + 1);
            gather(from + j * q.b_column + k0 * q.b_k, q.b_k, q.b_column, k1 - k0, q.n - j, to + k0 * strip, strip);
            return;
          }
          const int64_t panels = (q.n + panel_columns - 1) / panel_columns;
          for (int64_t i = tile_start(panels, copy_parts, piece); i < tile_start(panels, copy_parts, piece + 1); i++) {
            const int64_t j = i * panel_columns, columns = q.n - j < panel_columns ? q.n - j : panel_columns;
            pack_panel(from + j * q.b_column, q.b_k, q.b_column, q.k, columns, to + i * panel_columns * q.k);
          }
        }
      });
    parallel(call, items * parts, work_of(items * q.m, q.n, q.k), [&](int64_t part) {
      const int64_t slot = part / parts, row_part = part % parts / q.column_parts, column_part = part % q.column_parts;
      const int64_t n0 = tile_start(strips, q.column_parts, column_part) * strip, n1 = tile_start(strips, q.column_parts, column_part + 1) * strip;
      const Product p = product(first + slot, slot);
      const int64_t end = n1 < q.n ? n1 : q.n;
      if (q.dots) dots(p, q.b_column, n0, end);
      else multiply(p, tile_start(q.m, q.row_parts, row_part), tile_start(q.m, q.row_parts, row_part + 1), n0, end);
    });
  }
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
