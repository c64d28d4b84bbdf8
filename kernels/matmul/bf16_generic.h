// matmul of bfloat16 over gemm_bf16.h: four ways through b (bf16.h), one store.
#pragma once
#include "matmul/gemm_bf16.h"
#include "matmul/pack.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// One panel: to[k * 32 + 2 j + r] = from[(2 k + r) * b_k + j * b_column] for j < columns; zeros beyond columns and rows.
inline void pack_pairs(const uint16_t* from, int64_t b_k, int64_t b_column, int64_t rows, int64_t columns, uint16_t* to) {
  const int64_t whole = rows / 2;
  int64_t k = 0;
  if (columns == panel_columns && b_column == 1) {
    for (; k < whole; k++, from += 2 * b_k)
#pragma GCC unroll 4
      for (int j = 0; j < panel_columns; j += lanes) store_bits(to + k * 32 + 2 * j, load_wide(from + j) | load_wide(from + b_k + j) << 16);
  } else if (columns == panel_columns && b_k == 1 && b_column % 2 == 0) {      // pairs are floats to a transposition
    gather(reinterpret_cast<const float*>(from), 1, b_column / 2, whole, columns, reinterpret_cast<float*>(to), 16);
    k = whole, from += 2 * whole;
  }
  for (; 2 * k < rows; k++, from += 2 * b_k)
    for (int64_t j = 0; j < panel_columns; j++) {
      to[k * 32 + 2 * j] = j < columns ? from[j * b_column] : uint16_t(0);
      to[k * 32 + 2 * j + 1] = j < columns && 2 * k + 1 < rows ? from[b_k + j * b_column] : uint16_t(0);
    }
}

// Panels of `columns` columns, `panel` elements apart: side by side where rows of b are contiguous, as pack_panels (pack.h).
inline void pack_pair_panels(const uint16_t* from, int64_t b_k, int64_t b_column, int64_t rows, int64_t columns, uint16_t* to, int64_t panel) {
  constexpr int64_t abreast = panels_abreast * panel_columns;
  if (b_column == 1)
    for (; columns >= abreast; columns -= abreast, from += abreast, to += panels_abreast * panel) {
      for (int64_t k = 0; k + 2 <= rows; k += 2)
#pragma GCC unroll 8
        for (int64_t q = 0; q < panels_abreast; q++)
          for (int j = 0; j < panel_columns; j += lanes) {
            const uint16_t* const at = from + k * b_k + q * panel_columns + j;
            store_bits(to + q * panel + k * 16 + 2 * j, load_wide(at) | load_wide(at + b_k) << 16);
          }
      if (rows % 2)
        for (int64_t q = 0; q < panels_abreast; q++)
          pack_pairs(from + (rows - 1) * b_k + q * panel_columns, b_k, 1, 1, panel_columns, to + q * panel + (rows - 1) * 16);
    }
  for (int64_t j = 0; j < columns; j += panel_columns)
    pack_pairs(from + j * b_column, b_k, b_column, rows, columns - j < panel_columns ? columns - j : panel_columns, to + j / panel_columns * panel);
}

struct Bf16Product {
  const Bf16Problem* q;
  const char* a;                        // rows of pairs; of floats for streams
  int64_t a_row;                        // bytes
  const uint16_t* b;                    // panels, or the caller's at b_k, b_column
  char* scratch;                        // of this part
  Bf16Epilogue epilogue;
};

// Tiles over rows [m0, m1) and `columns` columns of panels at b.
inline void bf16_tiles_over(const Bf16Product& p, Bf16Tile t, int64_t m0, int64_t m1, int64_t columns, int64_t k0, const char* b, float* sums,
                            int64_t sums_row) {
  const int64_t tiles = tiles_of(m1 - m0);
  for (int64_t j = 0; j < columns;) {
    const bool wide = m1 - m0 <= wide_rows && j + wide_columns <= columns;
    const int64_t n = wide ? wide_columns : columns - j < tile_columns ? columns - j
                                                                       : tile_columns;
    t.b = b + j / panel_columns * t.b_panel + j % panel_columns * 4;
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t i0 = m0 + tile_start(m1 - m0, tiles, i), i1 = m0 + tile_start(m1 - m0, tiles, i + 1);
      t.a = p.a + i0 * p.a_row + 4 * k0;
      t.sums = sums + (i0 - m0) * sums_row + j;
      t.sums_row = sums_row;
      if (wide) bf16_tiles<4, wide_rows>.height[i1 - i0](t);
      else if (n <= lanes) bf16_tiles<1, tile_rows>.height[i1 - i0](t);
      else bf16_tiles<tile_vectors, tile_rows>.height[i1 - i0](t);
    }
    j += n;
  }
}

inline void bf16_panels(const Bf16Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  alignas(64) float sums[tile_rows * wide_columns];
  static_assert(wide_columns >= tile_columns && tile_rows >= wide_rows);
  const int64_t panel = p.q->pairs * 64, step = m1 - m0 <= wide_rows ? wide_columns : tile_columns, tiles = tiles_of(m1 - m0);
  for (int64_t j = n0; j < n1; j += step) {
    const int64_t columns = n1 - j < step ? n1 - j : step;
    const char* b = reinterpret_cast<const char*>(p.b) + j / panel_columns * panel + j % panel_columns * 4;
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t i0 = m0 + tile_start(m1 - m0, tiles, i), i1 = m0 + tile_start(m1 - m0, tiles, i + 1);
      bf16_tiles_over(p, {p.q->pairs, nullptr, p.a_row, nullptr, panel, nullptr, 0, false}, i0, i1, columns, 0, b, sums, wide_columns);
      bf16_finish(sums, wide_columns, i0, j, i1 - i0, columns, p.epilogue);
    }
  }
}

// `tiles` are bf16_tiles_over, or an ISA's own.
template <class Tiles> void bf16_blocks(const Bf16Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1, const Tiles& tiles) {
  const MatmulProblem& m = p.q->p;
  char* const block = p.scratch;
  float* const sums = reinterpret_cast<float*>(p.scratch + bf16_block_bytes);
  for (int64_t j = n0; j < n1; j += bf16_block_columns) {
    const int64_t columns = n1 - j < bf16_block_columns ? n1 - j : bf16_block_columns;
    for (int64_t k = 0; k < p.q->pairs || k == 0; k += bf16_block_pairs) {
      const int64_t pairs = p.q->pairs - k < bf16_block_pairs ? p.q->pairs - k : bf16_block_pairs, rows = m.k - 2 * k < 2 * pairs ? m.k - 2 * k : 2 * pairs;
      const uint16_t* from = p.b + 2 * k * m.b_k + j * m.b_column;
      int64_t i = 0;
      if (m.b_column == 1 && rows % 2 == 0) {          // row by row, as b lies in memory
        const int64_t whole = columns / panel_columns * panel_columns;
        for (int64_t r = 0; r < pairs; r++)
          for (i = 0; i < whole; i += panel_columns) {
            const uint16_t* at = from + 2 * r * m.b_k + i;
            __builtin_prefetch(at + 4 * m.b_k);
            __builtin_prefetch(at + 5 * m.b_k);
            pack_pairs(at, m.b_k, 1, 2, panel_columns, reinterpret_cast<uint16_t*>(block + i / panel_columns * bf16_block_panel + r * 64));
          }
        i = whole;
      }
      for (; i < columns; i += panel_columns)
        pack_pairs(from + i * m.b_column, m.b_k, m.b_column, rows, columns - i < panel_columns ? columns - i : panel_columns,
                   reinterpret_cast<uint16_t*>(block + i / panel_columns * bf16_block_panel));
      tiles(p, {pairs, nullptr, p.a_row, nullptr, bf16_block_panel, nullptr, 0, k > 0}, m0, m1, columns, k, block, sums, bf16_block_columns);
    }
    bf16_finish(sums, bf16_block_columns, m0, j, m1 - m0, columns, p.epilogue);
  }
}

// Eight rows of b at a time against all sums: b passes by in its own order, which is what the prefetcher wants.
template <int R> void bf16_stream_rows_of(const Bf16Product& p, int64_t m0, int64_t n0, int64_t n1) {
  const MatmulProblem& m = p.q->p;
  float* const sums = reinterpret_cast<float*>(p.scratch);
  const int64_t width = (n1 - n0 + strip - 1) / strip * strip;
  const float* const a = reinterpret_cast<const float*>(p.a + m0 * p.a_row);
  const int64_t a_row = p.a_row / 4;
  for (int64_t i = 0; i < R * width; i += lanes) store(sums + i, vf{});
  for (int64_t k = 0; k < m.k; k += 8) {
    const int depth = int(m.k - k < 8 ? m.k - k : 8);
    int64_t j = 0;
    if (depth == 8)
      for (; j + 2 * lanes <= n1 - n0; j += 2 * lanes) {         // a whole cache line of 64-byte vectors: its half would be gone when j comes back
        const uint16_t* b = p.b + k * m.b_k + n0 + j;
        vf acc[R][2];
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) acc[i][0] = load(sums + i * width + j), acc[i][1] = load(sums + i * width + j + lanes);
#pragma GCC unroll 8
        for (int l = 0; l < 8; l++) {
          const vf x0 = low_half(load_wide(b + l * m.b_k)), x1 = low_half(load_wide(b + l * m.b_k + lanes));
#pragma GCC unroll 4
          for (int i = 0; i < R; i++) {
            const vf v = splat(a[i * a_row + k + l]);
            acc[i][0] = fma(v, x0, acc[i][0]), acc[i][1] = fma(v, x1, acc[i][1]);
          }
        }
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) store(sums + i * width + j, acc[i][0]), store(sums + i * width + j + lanes, acc[i][1]);
      }
    for (; j < n1 - n0; j += lanes) {
      const int n = int(n1 - n0 - j < lanes ? n1 - n0 - j : lanes);
      const uint16_t* b = p.b + k * m.b_k + n0 + j;
      vf acc[R];
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) acc[i] = load(sums + i * width + j);
      for (int l = 0; l < depth; l++) {
        const vf x = load_bf16(b + l * m.b_k, n);
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) acc[i] = fma(splat(a[i * a_row + k + l]), x, acc[i]);
      }
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) store(sums + i * width + j, acc[i]);
    }
  }
  bf16_finish(sums, width, m0, n0, R, n1 - n0, p.epilogue);
}
inline void bf16_streams(const Bf16Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  switch (m1 - m0) {
    case 1: return bf16_stream_rows_of<1>(p, m0, n0, n1);
    case 2: return bf16_stream_rows_of<2>(p, m0, n0, n1);
    case 3: return bf16_stream_rows_of<3>(p, m0, n0, n1);
    default: return bf16_stream_rows_of<4>(p, m0, n0, n1);
  }
}

ACCELNN_REST vi load_pairs(const uint16_t* p, int64_t n) {       // n of 2 * lanes elements, zeros behind
#if defined(__AVX512F__)
  return reinterpret_cast<vi>(_mm512_maskz_loadu_epi16(__mmask32((1u << n) - 1), p));
#else
  vi v = {};
  std::memcpy(&v, p, size_t(n) * 2);
  return v;
#endif
}
// R rows of a against C columns of b, both contiguous along k.
template <int R, int C>
void bf16_dot_tile(int64_t k, const char* a, int64_t a_row, const uint16_t* b, int64_t b_column, float* sums, int64_t sums_row) {
  vf acc[R][C];
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) acc[i][j] = vf{};
  int64_t at = 0;
  const auto step = [&](const auto& pairs_at) __attribute__((always_inline)) {
    vi x[R];
#pragma GCC unroll 4
    for (int i = 0; i < R; i++) x[i] = pairs_at(reinterpret_cast<const uint16_t*>(a + i * a_row) + at);
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      const vi y = pairs_at(b + j * b_column + at);
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) {
        acc[i][j] = dot2(acc[i][j], take<0>(x[i]), take<0>(y));
        if (halves == 2) acc[i][j] = dot2(acc[i][j], take<halves - 1>(x[i]), take<halves - 1>(y));
      }
    }
  };
  for (; at + 2 * lanes <= k; at += 2 * lanes) step([](const uint16_t* p) __attribute__((always_inline)) { return load_bits(p); });
  if (at < k) step([&](const uint16_t* p) __attribute__((always_inline)) { return load_pairs(p, k - at); });
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) sums[i * sums_row + j] = sum_across(acc[i][j])[0];
}
template <int R> void bf16_dot_rows_of(const Bf16Product& p, int64_t row, const uint16_t* b, int64_t columns, float* sums, int64_t sums_row) {
  const char* a = p.a + row * p.a_row;
  const int64_t step = p.q->p.b_column;
  if (columns == 4) return bf16_dot_tile<R, 4>(p.q->p.k, a, p.a_row, b, step, sums, sums_row);
  for (int64_t j = 0; j < columns; j++) bf16_dot_tile<R, 1>(p.q->p.k, a, p.a_row, b + j * step, step, sums + j, sums_row);
}
inline void bf16_dots(const Bf16Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  constexpr int64_t chunk = 64;
  alignas(64) float sums[bf16_dot_rows * chunk];
  for (int64_t j0 = n0; j0 < n1; j0 += chunk) {
    const int64_t columns = n1 - j0 < chunk ? n1 - j0 : chunk;
    for (int64_t j = 0; j < columns; j += 4)
      for (int64_t i = m0; i < m1; i += 4) {
        const uint16_t* b = p.b + (j0 + j) * p.q->p.b_column;
        float* const to = sums + (i - m0) * chunk + j;
        const int64_t four = columns - j < 4 ? columns - j : 4;
        switch (m1 - i) {
          case 1: bf16_dot_rows_of<1>(p, i, b, four, to, chunk); break;
          case 2: bf16_dot_rows_of<2>(p, i, b, four, to, chunk); break;
          case 3: bf16_dot_rows_of<3>(p, i, b, four, to, chunk); break;
          default: bf16_dot_rows_of<4>(p, i, b, four, to, chunk); break;
        }
      }
    bf16_finish(sums, chunk, m0, j0, m1 - m0, columns, p.epilogue);
  }
}

// Rows of a, to floats for streams, else to whole pairs.
inline void bf16_copy_row(const Bf16Problem& q, const uint16_t* from, char* to) {
  const int64_t step = q.p.a_k;
  if (q.way == Bf16Way::streams) {
    float* const row = reinterpret_cast<float*>(to);
    int64_t k = 0;
    if (step == 1)
      for (; k + lanes <= q.p.k; k += lanes) store(row + k, low_half(load_wide(from + k)));
    for (; k < q.p.k; k++) {
      const uint32_t bits = uint32_t(from[k * step]) << 16;
      std::memcpy(row + k, &bits, 4);
    }
    return;
  }
  uint16_t* const row = reinterpret_cast<uint16_t*>(to);
  if (step == 1) std::memcpy(row, from, size_t(q.p.k) * 2);
  else
    for (int64_t k = 0; k < q.p.k; k++) row[k] = from[k * step];
  if (q.p.k % 2) row[q.p.k] = 0;
}

// part(product, m0, m1, n0, n1) makes rows [m0, m1) of columns [n0, n1) of an item.
template <class Part> Status bf16_parts(const Call& call, const Bf16Problem& q, const Part& make) {
  const MatmulProblem& m = q.p;
  if (m.batch == 0 || m.m == 0 || m.n == 0) return {};
  const TensorView &a = call.in[0], &b = call.in[1], &bias = call.in[2], &residual = call.in[3], &y = call.out[0];
  const int batch_dims = m.batch > 1 ? y.rank - 2 : 0;
  const size_t item_bytes = q.a_bytes + q.b_bytes;
  const int64_t parts = q.row_parts * q.column_parts, strips = (m.n + q.column_unit - 1) / q.column_unit, panels = (m.n + panel_columns - 1) / panel_columns;
  constexpr int64_t copy_parts = 8;     // of each operand
  char* const work = static_cast<char*>(call.work);
  const int64_t row_bytes = q.copied_a_row * (q.way == Bf16Way::streams ? 4 : 2);
  Bf16Epilogue epilogue = {};
  epilogue.bias = bias.absent() ? nullptr : bias.data;
  epilogue.bias_type = bias.absent() ? DType::f32 : bias.dtype;
  epilogue.type = y.dtype;
  epilogue.row = m.n;
  epilogue.activation = int(call.integer(matmul_attr::activation));
  epilogue.scale = float(call.real(matmul_attr::scale));

  for (int64_t first = 0; first < m.batch; first += q.group) {
    const int64_t items = m.batch - first < q.group ? m.batch - first : q.group;
    if (item_bytes)
      parallel(call, items * 2 * copy_parts, items * int64_t(item_bytes), [&](int64_t part) {
        const int64_t slot = part / (2 * copy_parts), piece = part % copy_parts, item = first + slot;
        char* const at = work + size_t(slot) * item_bytes;
        if (part / copy_parts % 2 == 0) {
          if (!q.copy_a) return;
          const uint16_t* from = a.as<uint16_t>() + batch_offset(a, item, batch_dims);
          for (int64_t i = tile_start(m.m, copy_parts, piece); i < tile_start(m.m, copy_parts, piece + 1); i++)
            bf16_copy_row(q, from + i * m.a_row, at + i * row_bytes);
        } else if (q.b_bytes) {
          const uint16_t* from = b.as<uint16_t>() + batch_offset(b, item, batch_dims);
          const int64_t p0 = tile_start(panels, copy_parts, piece), p1 = tile_start(panels, copy_parts, piece + 1), j = p0 * panel_columns;
          const int64_t columns = (m.n < p1 * panel_columns ? m.n : p1 * panel_columns) - j;
          pack_pair_panels(from + j * m.b_column, m.b_k, m.b_column, m.k, columns, reinterpret_cast<uint16_t*>(at + q.a_bytes) + p0 * q.pairs * 32,
                           q.pairs * 32);
        }
      });
    parallel(call, items * parts, work_beside_b(items * m.m, m.n, m.k) / 2, [&](int64_t part) {
      const int64_t slot = part / parts, at_part = part % parts, item = first + slot;
      // What stays in L2 is first a's rows, with tiles b's columns.
      const int64_t row_part = q.tiles ? at_part % q.row_parts : at_part / q.column_parts;
      const int64_t column_part = q.tiles ? at_part / q.row_parts : at_part % q.column_parts;
      const int64_t n0 = tile_start(strips, q.column_parts, column_part) * q.column_unit;
      const int64_t end = tile_start(strips, q.column_parts, column_part + 1) * q.column_unit;
      const int64_t n1 = end < m.n ? end : m.n, units = (m.m + q.row_unit - 1) / q.row_unit, last = tile_start(units, q.row_parts, row_part + 1) * q.row_unit;
      const int64_t m0 = tile_start(units, q.row_parts, row_part) * q.row_unit, m1 = last < m.m ? last : m.m;
      char* const at = work + size_t(slot) * item_bytes;
      Bf16Product p;
      p.q = &q;
      p.a = q.copy_a ? at : a.as<char>() + 2 * batch_offset(a, item, batch_dims);
      p.a_row = q.copy_a ? row_bytes : 2 * m.a_row;
      p.b = q.b_bytes ? reinterpret_cast<const uint16_t*>(at + q.a_bytes) : b.as<uint16_t>() + (m.packed ? 0 : batch_offset(b, item, batch_dims));
      p.scratch = work + size_t(q.group) * item_bytes + size_t(part) * q.part_bytes;
      p.epilogue = epilogue;
      p.epilogue.y = y.as<char>() + item * m.m * m.n * int64_t(size_of(y.dtype));
      p.epilogue.residual = residual.absent() ? nullptr : residual.as<char>() + item * m.m * m.n * int64_t(size_of(y.dtype));
      make(p, m0, m1, n0, n1);
    });
  }
  return {};
}

inline Status matmul_bf16(const Call& call) {
  const Bf16Problem q = bf16_problem(call, false);
  return bf16_parts(call, q, [&](const Bf16Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
    switch (q.way) {
      case Bf16Way::panels: return bf16_panels(p, m0, m1, n0, n1);
      case Bf16Way::blocks: return bf16_blocks(p, m0, m1, n0, n1, bf16_tiles_over);
      case Bf16Way::streams: return bf16_streams(p, m0, m1, n0, n1);
      case Bf16Way::dots: return bf16_dots(p, m0, m1, n0, n1);
    }
  });
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
