// Products of few rows: as much time as B takes to arrive. B is read once, where it lies and in the order in which it lies; packing it would read and
// write it first. A body for each of the two layouts and for one to four rows, up to 32 and more.
#pragma once
#include "matmul/gemm.h"
#include "matmul/matmul.h"
#include "matmul/pack.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// One matrix product, its operands either where the caller has them or copied.
struct Product {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_k;
  const float* b;
  int64_t b_row, b_panel, b_column;     // b_row: from k to k + 1
  float* c;                             // row stride n
  const float* residual;                // like c, or null
  Epilogue epilogue;
};

// Sums for rows [i0, i0 + rows), columns [j0, j0 + columns) from a buffer into C. Later blocks of k add to what the first has left there.
inline void finish_sums(const Product& p, const float* sums, int64_t sums_row, int64_t i0, int64_t rows, int64_t j0, int64_t columns, bool first, bool last) {
  float* const c = p.c + i0 * p.n + j0;
  const float* const add = !first ? c : p.residual ? p.residual + i0 * p.n + j0
                                                   : nullptr;
  finish_tile(sums, sums_row, add, c, p.n, int(rows), columns, last ? p.epilogue.at(i0, j0) : p.epilogue.unfinished());
}

// --- up to 4 rows, B [K, N] row by row: sums += a[., k] b[k, .], for four k at a time that are 16 rows of B apart: four streams, each sequential for
// 16 rows, keep the memory busiest (34.2 GB/s; a quarter of B apart 32.1, eight neighbouring rows 29.1, four 28.5). Software prefetch cost 13 to 20 %,
// register tiles down K half.
template <int M, int R>
void add_rows(int64_t columns, const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step, float* sums, int64_t sums_row, bool first) {
  vf x[M][R];
#pragma GCC unroll 4
  for (int i = 0; i < M; i++)
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) x[i][r] = splat(a[i * a_row + r * a_step]);
  const auto step = [&](int64_t j, const auto& load_some) __attribute__((always_inline)) {
    vf acc[M];
#pragma GCC unroll 4
    for (int i = 0; i < M; i++) acc[i] = first ? vf{} : load(sums + i * sums_row + j);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const vf y = load_some(b + r * b_step + j);
#pragma GCC unroll 4
      for (int i = 0; i < M; i++) acc[i] = fma(x[i][r], y, acc[i]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < M; i++) store(sums + i * sums_row + j, acc[i]);
  };
  int64_t j = 0;
  for (; j + lanes <= columns; j += lanes) step(j, [](const float* p) __attribute__((always_inline)) { return load(p); });
  const int rest = int(columns - j);
  if (rest) step(j, [rest](const float* p) __attribute__((always_inline)) { return load(p, rest); });
}

constexpr int64_t rows_run = 16, whole_run = 4 * rows_run;
constexpr int64_t rows_columns = 4096;  // of the sums of one row that stay near the core
template <int M>
void product_by_rows(const Product& p, int64_t n0, int64_t n1) {
  // Also where 16 registers do not hold the factors of 4 rows: reloaded from the stack they cost less than twice as many passes over the sums (AVX2,
  // 4 x 4096 x 4096: 5.7 ms with 2 rows of B at a time, 4.4 with 4).
  constexpr int R = 4;
  constexpr int64_t most = rows_columns / M / lanes * lanes;      // a last vector is stored whole
  float sums[M * most];
  for (int64_t j = n0; j < n1; j += most) {
    const int64_t columns = n1 - j < most ? n1 - j : most;
    const float* const b = p.b + j;
    int64_t k = 0;
    while (p.k - k >= R) {
      const int64_t run = p.k - k < R * rows_run ? (p.k - k) / R : rows_run;
      for (int64_t i = 0; i < run; i++, k++)
        add_rows<M, R>(columns, p.a + k * p.a_k, p.a_row, run * p.a_k, b + k * p.b_row, run * p.b_row, sums, most, k == 0);
      k += (R - 1) * run;
    }
    for (; k < p.k; k++) add_rows<M, 1>(columns, p.a + k * p.a_k, p.a_row, 0, b + k * p.b_row, 0, sums, most, k == 0);
    finish_sums(p, sums, most, 0, M, j, columns, true, true);
  }
}

// --- 5 to 32 rows, B [K, N]: strips of so few rows of B at a time that all tiles of rows find them in L1, and while a strip is used, the next one is
// fetched to L2: rows of B are far apart, no hardware prefetcher follows. Each strip is copied into panels first, where its lines do not share cache sets
// and a tile reads whole lines. AVX2, 16 x 4096 x 4096: 7.3 ms, read in place (4 x 24 tiles) 12.4, OpenBLAS 8.5 to 9.4; without fetching the next strip
// 10 to 11, with blocks of 512 or 1024 columns, so as to read longer runs, 15.
constexpr int64_t strip_columns = 64;
inline __attribute__((noinline)) void product_by_copied_strips(const Product& p, int64_t n0, int64_t n1) {
  constexpr int64_t deepest = lanes == 16 ? 64 : 128;
  float panels[strip_columns * deepest];
  const int64_t depth = p.m <= 16 ? 64 : deepest, tiles = tiles_of(p.m);      // more rows pay for more of C to and fro: 10 % at 32 rows
  F32Tile t;
  t.a_row = p.a_row;
  t.b_row = panel_columns;
  t.c_row = p.n;
  int64_t k0 = 0;
  do {                                  // once even without k: bias and residual remain
    t.k = p.k - k0 < depth ? p.k - k0 : depth;
    t.b_panel = t.k * panel_columns;
    const Epilogue whole = k0 + t.k == p.k ? p.epilogue : p.epilogue.unfinished();
    for (int64_t js = n0; js < n1; js += strip_columns) {
      const int64_t end = js + strip_columns < n1 ? js + strip_columns : n1;
      const int64_t calls = tiles * ((end - js + tile_columns - 1) / tile_columns);
      int64_t call = 0, fetched = 0;
      const float* const b = p.b + k0 * p.b_row + js;
      int64_t whole_columns = 0;
      for (; whole_columns + panel_columns <= end - js; whole_columns += panel_columns)
        for (int64_t k = 0; k < t.k; k++)
          for (int v = 0; v < panel_columns; v += lanes) store(panels + whole_columns * t.k + k * panel_columns + v, load(b + k * p.b_row + whole_columns + v));
      if (whole_columns < end - js) pack_panel(b + whole_columns, p.b_row, 1, t.k, end - js - whole_columns, panels + whole_columns * t.k);
      const float* next = end < n1 ? b + strip_columns : b + depth * p.b_row - (js - n0);
      for (int64_t j = js; j < end; j += t.columns) {
        t.columns = int(end - j < tile_columns ? end - j : tile_columns);
        t.b = panels + (j - js) / panel_columns * t.b_panel + (j - js) % panel_columns;
        for (int64_t i = 0; i < tiles; i++) {
          const int64_t i0 = tile_start(p.m, tiles, i);
          for (const int64_t until = depth * ++call / calls; fetched < until; fetched++, next += p.b_row)
            for (int64_t v = 0; v < strip_columns; v += 16) __builtin_prefetch(next + v, 0, 2);
          t.a = p.a + i0 * p.a_row + k0;
          t.c = p.c + i0 * p.n + j;
          t.add = k0 ? t.c : p.residual ? p.residual + i0 * p.n + j
                                        : nullptr;
          f32_tile(int(tile_start(p.m, tiles, i + 1) - i0), t, whole.at(i0, j));
        }
      }
    }
    k0 += t.k;
  } while (k0 < p.k);
}

// With 32 registers and vectors of a whole line, wide tiles read B in place: up to 16 rows, or where the strides of B allow it. 8 x 48: tiles of the usual
// 32 columns ran at 60 to 90 % (more rows of B in flight for fewer bytes of each). 32 x 4096 x 4096: in place 1.13 of OpenBLAS, copied 1.32; 16 rows in
// place 1.58, copied 1.48; 32 x 3072 x 768 in place 1.56, copied 1.41.
#if defined(__AVX512F__)
inline void product_by_strips(const Product& p, int64_t n0, int64_t n1) {
  constexpr int strip_rows = 8, strip_vectors = 3;
  constexpr int64_t width = strip_vectors * lanes;
  // Rows of B at a multiple of 4 KiB share one set of L1: 16 of them then, not 256 (8 rows of A: 59 instead of 35 GFLOP/s).
  const uint64_t bytes = uint64_t(p.b_row) * 4, low = bytes & (0 - bytes);
  if (p.m > 16 && low >= 4096) return product_by_copied_strips(p, n0, n1);
  const int64_t depth = low >= 4096 ? 16 : low <= 256 ? 256
                                                      : int64_t(65536 / low);
  const int64_t tiles = tiles_of(p.m, strip_rows);
  int64_t k0 = 0;
  do {                                  // once even without k: bias and residual remain
    const int64_t k1 = k0 + depth < p.k ? k0 + depth : p.k;
    const Epilogue whole = k1 == p.k ? p.epilogue : p.epilogue.unfinished();
    for (int64_t j = n0; j < n1;) {
      F32Tile t;
      t.columns = int(n1 - j < width ? n1 - j < tile_columns ? n1 - j : tile_columns : width);
      t.k = k1 - k0;
      t.a_row = p.a_row;
      t.b = p.b + k0 * p.b_row + j;
      t.b_row = p.b_row;
      t.b_panel = panel_columns;
      t.c_row = p.n;
      t.b_ends = true;
      t.ahead = width;                  // the same rows of the next strip
      for (int64_t i = 0; i < tiles; i++) {
        const int64_t i0 = tile_start(p.m, tiles, i), rows = tile_start(p.m, tiles, i + 1) - i0;
        t.a = p.a + i0 * p.a_row + k0;
        t.c = p.c + i0 * p.n + j;
        t.add = k0 ? t.c : p.residual ? p.residual + i0 * p.n + j
                                      : nullptr;
        const Epilogue e = whole.at(i0, j);
        if (t.columns == width) {
          f32_tiles<strip_vectors, strip_rows>.height[rows](t, e);
          activate_tile(t, int(rows), t.columns, e);
        } else {
          f32_tile(int(rows), t, e);
        }
      }
      j += t.columns;
    }
    k0 = k1;
  } while (k0 < p.k);
}
#else
inline void product_by_strips(const Product& p, int64_t n0, int64_t n1) { product_by_copied_strips(p, n0, n1); }
#endif

// --- up to 4 rows, B transposed: dot products of rows of A with columns of B, both contiguous along k. Four columns at a time, one of each quarter
// of B: four sequential streams (31.0 GB/s; one stream 26.8, four neighbouring columns 25.8, eight 26.0).
template <int M, int C, int U>
void dot_tile(int64_t k, const float* a, int64_t a_row, const float* b, int64_t b_column, float* sums, int64_t sums_row, int64_t sums_column) {
  vf acc[U][M][C];
#pragma GCC unroll 4
  for (int u = 0; u < U; u++)
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) acc[u][i][j] = vf{};
  int64_t at = 0;
  for (; at + U * lanes <= k; at += U * lanes)
#pragma GCC unroll 4
    for (int u = 0; u < U; u++) {
      vf x[M];
#pragma GCC unroll 4
      for (int i = 0; i < M; i++) x[i] = load(a + i * a_row + at + u * lanes);
#pragma GCC unroll 4
      for (int j = 0; j < C; j++) {
        const vf y = load(b + j * b_column + at + u * lanes);
#pragma GCC unroll 4
        for (int i = 0; i < M; i++) acc[u][i][j] = fma(x[i], y, acc[u][i][j]);
      }
    }
  for (; at < k; at += lanes) {
    const int n = int(k - at < lanes ? k - at : lanes);
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      const vf y = load(b + j * b_column + at, n);
#pragma GCC unroll 4
      for (int i = 0; i < M; i++) acc[0][i][j] = fma(load(a + i * a_row + at, n), y, acc[0][i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; i++)
#pragma GCC unroll 4
    for (int j = 0; j < C; j++) {
      vf sum = acc[0][i][j];
      if constexpr (U == 2) sum += acc[1][i][j];
      if constexpr (U == 4) sum = (sum + acc[1][i][j]) + (acc[2][i][j] + acc[3][i][j]);
      sums[i * sums_row + j * sums_column] = sum_of(sum);
    }
}

constexpr int64_t dot_columns = 64;     // at a time through a buffer, where the epilogue finds them
template <int M, int C, int U>
void product_by_dots(const Product& p, int64_t n0, int64_t n1) {
  float sums[M][C][dot_columns];
  const int64_t stream = (n1 - n0) / C;
  for (int64_t j0 = 0; j0 < stream; j0 += dot_columns) {
    const int64_t columns = stream - j0 < dot_columns ? stream - j0 : dot_columns;
    for (int64_t j = 0; j < columns; j++)
      dot_tile<M, C, U>(p.k, p.a, p.a_row, p.b + (n0 + j0 + j) * p.b_column, stream * p.b_column, &sums[0][0][j], C * dot_columns, dot_columns);
    for (int64_t c = 0; c < C; c++) finish_sums(p, sums[0][c], C * dot_columns, 0, M, n0 + c * stream + j0, columns, true, true);
  }
  for (int64_t j = n0 + stream * C; j < n1; j++) {
    dot_tile<M, 1, U>(p.k, p.a, p.a_row, p.b + j * p.b_column, 0, sums[0][0], C * dot_columns, 0);
    finish_sums(p, sums[0][0], C * dot_columns, 0, M, j, 1, true, true);
  }
}

// --- more rows, B transposed: C^T = B^T A^T. Columns of B are the broadcast operand, read in place; A^T is what gets copied, and it is small. For
// fewer rows than lanes, F = lanes / rows values of k share a vector: B is broadcast in units of F, whose partial sums are added up at the end.
// 7 columns of B at a time: 14 streams at a stride of 4 KiB do not fit the 8 ways of L1 (38.6 instead of 66.9 GFLOP/s).
#if defined(__AVX512F__)
constexpr int swap_depth = 7;
#elif defined(__AVX2__)
constexpr int swap_depth = 6;
#else
constexpr int swap_depth = 4;
#endif
constexpr int swap_rows = 2 * lanes;    // of A in one panel of A^T
constexpr int64_t swap_columns = 8 * swap_depth;
constexpr int64_t swap_k = 1024;        // at a time; a panel of A^T stays in L2

// How a panel with `rows` rows of A lies: [k / units][width][units], zero beyond rows and K.
struct SwapLayout {
  int units, width;
  ACCELNN_INLINE explicit SwapLayout(int64_t rows)
      : units(rows > lanes / 2 ? 1 : rows > lanes / 4 || lanes < 16 ? 2
                                                                    : 4),
        width(rows > lanes ? swap_rows : lanes / units) {
    if (lanes < 8 && units == 2) units = 1, width = lanes;
  }
};

inline void pack_swapped(const float* a, int64_t a_row, int64_t a_k, int64_t rows, int64_t k0, int64_t k1, int64_t k, float* panel) {
  const SwapLayout l(rows);
  if (l.units == 1) {
    float* const to = panel + k0 * l.width;
    gather(a + k0 * a_k, a_k, a_row, (k1 < k ? k1 : k) - k0, rows, to, l.width);
    for (int64_t at = 0; at < k1 - k0; at++)
      for (int64_t i = at < k - k0 ? rows : 0; i < l.width; i++) to[at * l.width + i] = 0.0f;
    return;
  }
  for (int64_t at = k0; at < k1; at += l.units) {
    float* const to = panel + at * l.width;
    for (int i = 0; i < l.width; i++)
      for (int f = 0; f < l.units; f++) to[i * l.units + f] = i < rows && at + f < k ? a[i * a_row + (at + f) * a_k] : 0.0f;
  }
}

template <int F> ACCELNN_INLINE vf splat_units(const float* p) {
  if constexpr (F == 1) {
    return splat(*p);
  } else if constexpr (F == 2) {
    typedef int64_t pairs __attribute__((vector_size(vector_bytes)));
    int64_t two;
    std::memcpy(&two, p, 8);
    return reinterpret_cast<vf>(two - pairs{});
  } else {
#if defined(__AVX512F__)
    return reinterpret_cast<vf>(_mm512_maskz_broadcast_f32x4(0xffff, _mm_loadu_ps(p)));
#else
    return vf{};
#endif
  }
}

// sums[i * swap_columns + r] (+)= for `columns` <= swap_depth columns of B; columns beyond repeat the last one and belong to nobody.
template <int V, int F>
void swap_tile(int64_t k, const float* b, int64_t b_column, int columns, const float* panel, int64_t rows, float* sums) {
  constexpr int R = swap_depth;
  const float* w[R];
  vf acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    w[r] = b + (r < columns ? r : columns - 1) * b_column;
#pragma GCC unroll 2
    for (int j = 0; j < V; j++) acc[r][j] = vf{};
  }
  int64_t at = 0;
  for (; at + F <= k; at += F, panel += V * lanes) {
    vf x[V];
#pragma GCC unroll 2
    for (int j = 0; j < V; j++) x[j] = load(panel + j * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const vf y = splat_units<F>(w[r] + at);
#pragma GCC unroll 2
      for (int j = 0; j < V; j++) acc[r][j] = fma(y, x[j], acc[r][j]);
    }
  }
  if (F > 1 && at < k) {                // the panel has zeros there, B has ended
    float unit[R][F] = {};
    for (int r = 0; r < R; r++)
      for (int f = 0; f < k - at; f++) unit[r][f] = w[r][at + f];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int j = 0; j < V; j++) acc[r][j] = fma(splat_units<F>(unit[r]), load(panel + j * lanes), acc[r][j]);
  }
  float turned[R][V * lanes];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int j = 0; j < V; j++) store(turned[r] + j * lanes, acc[r][j]);
  for (int64_t i = 0; i < rows; i++)
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      float sum = turned[r][i * F];
      for (int f = 1; f < F; f++) sum += turned[r][i * F + f];
      sums[i * swap_columns + r] = sum;
    }
}

// a: panels of A^T, k of each rounded up to 4.
inline void product_swapped(const Product& p, int64_t n0, int64_t n1) {
  float sums[swap_rows * swap_columns];
  const int64_t k_padded = (p.k + 3) / 4 * 4, blocks = p.k <= swap_k ? 1 : (p.k + swap_k - 1) / swap_k;
  for (int64_t kb = 0; kb < blocks; kb++) {
    const int64_t k0 = p.k * kb / blocks / 4 * 4, k1 = kb + 1 < blocks ? p.k * (kb + 1) / blocks / 4 * 4 : p.k;
    for (int64_t j0 = n0; j0 < n1; j0 += swap_columns) {
      const int64_t columns = n1 - j0 < swap_columns ? n1 - j0 : swap_columns;
      for (int64_t i0 = 0; i0 < p.m; i0 += swap_rows) {
        const int64_t rows = p.m - i0 < swap_rows ? p.m - i0 : swap_rows;
        const SwapLayout l(rows);
        const float* const panel = p.a + i0 * k_padded + k0 * l.width;
        for (int64_t j = 0; j < columns; j += swap_depth) {
          const int some = int(columns - j < swap_depth ? columns - j : swap_depth);
          const float* const b = p.b + (j0 + j) * p.b_column + k0;
          if (l.width > lanes) swap_tile<2, 1>(k1 - k0, b, p.b_column, some, panel, rows, sums + j);
          else if (l.units == 1) swap_tile<1, 1>(k1 - k0, b, p.b_column, some, panel, rows, sums + j);
          else if (l.units == 2) swap_tile<1, 2>(k1 - k0, b, p.b_column, some, panel, rows, sums + j);
          else if constexpr (lanes == 16) swap_tile<1, 4>(k1 - k0, b, p.b_column, some, panel, rows, sums + j);
        }
        finish_sums(p, sums, swap_columns, i0, rows, j0, columns, kb == 0, kb + 1 == blocks);
      }
    }
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
