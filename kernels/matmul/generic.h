// matmul f32: copy what the bodies cannot read in place, then register tiles (gemm.h), or for few rows what skinny.h has for them.
#pragma once
#include "matmul/gemm.h"
#include "matmul/matmul.h"
#include "matmul/pack.h"
#include "matmul/skinny.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

ACCELNN_INLINE int64_t k_blocks_of(int64_t k) { return k <= k_block ? 1 : (k + k_block - 1) / k_block; }
static_assert(k_block <= ended_k);      // half of it for AVX2, so that its panel fits L1: 95.7 instead of 101.7 GFLOP/s at 1024

// Rows that will be read soon: before each tile a few lines of them are called for, which the tile gives time to arrive in L2.
struct Coming {
  const float* row;
  int64_t step, columns, rows, at;
};
ACCELNN_INLINE void fetch(Coming& c, int64_t lines) {
  for (; lines > 0 && c.rows > 0; lines--) {
    __builtin_prefetch(c.row + c.at, 0, 2);
    if ((c.at += 16) < c.columns) continue;
    c.at = 0;
    c.row += c.step;
    c.rows--;
  }
}

// One block of k against rows [r0, r1), whose part of A begins at t.a, and the columns [j, j + t.columns) that t describes.
ACCELNN_INLINE void tiles_down(const Product& p, F32Tile t, bool wide, int64_t r0, int64_t r1, int64_t j, int64_t k0, bool last, Coming* coming) {
  const int64_t tiles = tiles_of(r1 - r0);
  const float* const a = t.a;
  const bool panels = t.b_row == panel_columns && tiles > 1;
  t.c_row = p.n;
  for (int64_t i = 0; i < tiles; i++) {
    // The strip is in L2 after its first tile; the last one has the next strip brought there (2048: 101 -> 105 GFLOP/s).
    if (panels) t.ahead = i == tiles - 1 ? (tile_columns + panel_columns - 1) / panel_columns * t.b_panel : 8 * panel_columns;
    if (coming) fetch(*coming, tile_rows);
    const int64_t i0 = r0 + tile_start(r1 - r0, tiles, i), i1 = r0 + tile_start(r1 - r0, tiles, i + 1);
    t.a = a + (i0 - r0) * t.a_row;
    t.c = p.c + i0 * p.n + j;
    t.add = k0 > 0 ? t.c : p.residual ? p.residual + i0 * p.n + j
                                      : nullptr;
    const Epilogue e = last ? p.epilogue.at(i0, j) : p.epilogue.unfinished();
    if (wide) f32_wide_tile(int(i1 - i0), t, e);
    else f32_tile(int(i1 - i0), t, e);
  }
}

// Rows [m0, m1), columns [n0, n1).
inline void product_by_tiles(const Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  // Nothing of few rows needs to stay in a cache: panels are read in one go.
  const bool flat = p.k <= k_block || (p.m <= wide_rows && p.b_panel != panel_columns);
  const int64_t k_blocks = flat ? 1 : (p.k + k_block - 1) / k_block;
  for (int64_t kb = 0; kb < k_blocks; kb++) {
    const int64_t k0 = p.k * kb / k_blocks, k1 = p.k * (kb + 1) / k_blocks;
    for (int64_t r0 = m0; r0 < m1; r0 += row_block) {
      const int64_t r1 = r0 + row_block < m1 ? r0 + row_block : m1;
      for (int64_t j = n0; j < n1;) {
        F32Tile t;
        const bool wide = r1 - r0 <= wide_rows && j + wide_columns <= n1;
        t.columns = wide ? wide_columns : int(n1 - j < tile_columns ? n1 - j : tile_columns);
        t.k = k1 - k0;
        t.a = p.a + r0 * p.a_row + k0;
        t.a_row = p.a_row;
        t.b = p.b + k0 * p.b_row + j / panel_columns * p.b_panel + j % panel_columns;
        t.b_row = p.b_row;
        t.b_panel = p.b_panel;
        t.b_ends = p.b_panel == panel_columns;
        tiles_down(p, t, wide, r0, r1, j, k0, kb == k_blocks - 1, nullptr);
        j += t.columns;
      }
    }
  }
}

// One block of k against a panel block of B: columns [js, end) by rows [r0, r1).
// AVX2 at 1024 stays at 85 to 90 % of the peak (OpenBLAS 0.94 to 0.98), where a product within L2 reaches 94: blocks of k of 344 instead of 512, so that
// a strip and a tile's rows fit L1, 86.5 % (2048: 81), with rows outside 87.7 (2048: 87.6), rows outside alone 85.2 (87.4), as before 84.6 (83.5).
// Call by call against this one (100.5 GFLOP/s, OpenBLAS 1.036; 2048: 97.2, 1.049), all operands in 2 MiB pages: 84 rows of A 1.003 (2048: 0.95), 120 rows
// 1.027 (1.00; again on a busier machine 1.007, 0.96), 126 rows 1.006 (0.93); A in place 1.018 (1.00); A fetched to L1 32 k ahead 1.006 (1.00); no fetch of
// B to L1 1.017 (1.03; with 126 rows 0.985, 0.91), of the next panels 1.001 (0.99), of A's next rows 1.016 (1.00), of neither 1.003 (0.99); the loop over k
// unrolled by 4 1.014 (1.00); k in blocks of 1024, so that C is written once, with panels of 64 columns 1.004 (0.94). All of these are within what where
// the pages of a run lie changes: on 4 KiB pages the same code had 87 to 99. Not tried: A packed as [k][6].
inline __attribute__((noinline)) void product_of_panels(const Product& p, F32Tile t, int64_t r0, int64_t r1, int64_t js, int64_t end, int64_t k0, bool last,
                                                        Coming* coming) {
  const float *const a = t.a, *const b = t.b;
  t.b_row = panel_columns;
  if constexpr (lanes < 16) {           // short tiles stay in L1 (6 x 512: 12 KiB) while the columns pass: AVX2, 2048: 98.7 -> 103.3 GFLOP/s
    t.c_row = p.n;
    t.ahead = 8 * panel_columns;
    Coming next = {b + (end - js) / panel_columns * t.b_panel, t.b_panel, t.k * panel_columns, fresh_columns / panel_columns, 0};
    const int64_t tiles = tiles_of(r1 - r0);
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t i0 = r0 + tile_start(r1 - r0, tiles, i), i1 = r0 + tile_start(r1 - r0, tiles, i + 1);
      t.a = a + (i0 - r0) * t.a_row;
      for (int64_t j = js; j < end; j += t.columns) {
        t.columns = int(end - j < tile_columns ? end - j : tile_columns);
        t.b = b + (j - js) / panel_columns * t.b_panel + (j - js) % panel_columns;
        if (coming) {
          fetch(next, 18);              // of 4096 lines in 28 x 8 tiles
          fetch(*coming, tile_rows);
        }
        t.c = p.c + i0 * p.n + j;
        t.add = k0 > 0 ? t.c : p.residual ? p.residual + i0 * p.n + j
                                          : nullptr;
        f32_tile(int(i1 - i0), t, last ? p.epilogue.at(i0, j) : p.epilogue.unfinished());
      }
    }
    return;
  }
  for (int64_t j = js; j < end; j += t.columns) {
    t.columns = int(end - j < tile_columns ? end - j : tile_columns);
    t.b = b + (j - js) / panel_columns * t.b_panel + (j - js) % panel_columns;
    for (int64_t r = r0; r < r1; r += row_block) {
      t.a = a + (r - r0) * t.a_row;
      tiles_down(p, t, false, r, r + row_block < r1 ? r + row_block : r1, j, k0, last, coming);
    }
  }
}

// The same from a B that is not packed: `fresh_columns` of a block of k are packed into `panels` and used while they are in L2. Packing all of B first
// costs the same on one thread, but more memory and another join: 128 x 768 x 3072 on two threads 3.2 ms instead of 3.0.
inline void product_by_fresh_panels(const Product& p, float* panels, int64_t n0, int64_t n1) {
  const int64_t k_blocks = k_blocks_of(p.k);
  F32Tile t;
  for (int64_t js = n0; js < n1; js += fresh_columns) {
    const int64_t end = js + fresh_columns < n1 ? js + fresh_columns : n1;
    for (int64_t kb = 0; kb < k_blocks; kb++) {
      const int64_t k0 = p.k * kb / k_blocks;
      t.k = p.k * (kb + 1) / k_blocks - k0;
      t.a = p.a + k0;
      t.a_row = p.a_row;
      t.b = panels;
      t.b_panel = t.k * panel_columns;
      pack_panels(p.b + k0 * p.b_row + js * p.b_column, p.b_row, p.b_column, t.k, end - js, panels, t.b_panel);
      product_of_panels(p, t, 0, p.m, js, end, k0, kb == k_blocks - 1, nullptr);
    }
  }
}

// The same with more rows than stay in L2: a part has some of them and all columns, and copies its block of A where B's rows would fight for cache sets.
// Panels of B are shared: whoever needs a block first packs it, and parts begin at different columns, so that they do not wait for each other.
struct SharedPanels {
  float *panels, *a_block;              // a_block: null where A is read in place
  int64_t a_block_row;
  uint8_t* state;                       // of each block of k and fresh_columns: nobody's, being packed, packed
};
inline void product_by_shared_panels(const Product& p, const SharedPanels& s, int64_t m0, int64_t m1, int64_t n0, int64_t n1, int64_t begin,
                                     int64_t abreast) {
  enum : uint8_t { nobody,
                   begun,
                   packed };
  const int64_t k_blocks = k_blocks_of(p.k), blocks = (p.n + fresh_columns - 1) / fresh_columns;
  const int64_t q0 = n0 / fresh_columns, q1 = (n1 + fresh_columns - 1) / fresh_columns;
  F32Tile t;
  for (int64_t kb = 0; kb < k_blocks; kb++) {
    const int64_t k0 = p.k * kb / k_blocks;
    t.k = p.k * (kb + 1) / k_blocks - k0;
    t.a = p.a + m0 * p.a_row + k0 * p.a_k;
    t.a_row = p.a_row;
    if (s.a_block) {
      gather(t.a, p.a_row, p.a_k, m1 - m0, t.k, s.a_block, s.a_block_row);
      t.a = s.a_block;
      t.a_row = s.a_block_row;
    }
    t.b_panel = p.k * panel_columns;
    // The block of A after this one, as far as this thread knows.
    const bool same_rows = kb + 1 < k_blocks;
    const int64_t soon = same_rows ? m0 : m1 + (abreast - 1) * (m1 - m0), left = soon < p.m ? p.m - soon : 0;
    Coming coming = {p.a + soon * p.a_row + (same_rows ? k0 + t.k : 0), p.a_row, t.k, p.a_k != 1 ? 0 : left < m1 - m0 ? left
                                                                                                                      : m1 - m0,
                     0};
    for (int64_t i = q0; i < q1; i++) {
      const int64_t q = i + begin < q1 ? i + begin : i + begin - (q1 - q0), js = q * fresh_columns, end = js + fresh_columns < n1 ? js + fresh_columns : n1;
      float* const panels = s.panels + js * p.k + k0 * panel_columns;
      uint8_t* const state = s.state + kb * blocks + q;
      uint8_t seen = nobody;
      if (__atomic_compare_exchange_n(state, &seen, begun, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        pack_panels(p.b + k0 * p.b_row + js * p.b_column, p.b_row, p.b_column, t.k, end - js, panels, t.b_panel);
        __atomic_store_n(state, packed, __ATOMIC_RELEASE);
      } else {
        while (seen != packed) seen = __atomic_load_n(state, __ATOMIC_ACQUIRE);
      }
      t.b = panels;
      product_of_panels(p, t, m0, m1, js, end, k0, kb == k_blocks - 1, &coming);
    }
  }
}

inline void product_part(MatmulPath path, const Product& p, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  switch (path) {
    case MatmulPath::tiles: product_by_tiles(p, m0, m1, n0, n1); break;
    case MatmulPath::strips: product_by_strips(p, n0, n1); break;
    case MatmulPath::swapped: product_swapped(p, n0, n1); break;
    case MatmulPath::rows:
      if (p.m == 1) product_by_rows<1>(p, n0, n1);
      else if (p.m == 2) product_by_rows<2>(p, n0, n1);
      else if (p.m == 3) product_by_rows<3>(p, n0, n1);
      else product_by_rows<4>(p, n0, n1);
      break;
    case MatmulPath::dots:
      if (p.m == 1) product_by_dots<1, 4, lanes == 16 ? 2 : 1>(p, n0, n1);
      else if (p.m == 2) product_by_dots<2, 4, 1>(p, n0, n1);
      else if (p.m == 3) product_by_dots<3, lanes == 16 ? 4 : 2, 1>(p, n0, n1);
      else product_by_dots<4, lanes == 16 ? 4 : 2, 1>(p, n0, n1);
      break;
  }
}

// What a part of a call needs to know of one item.
struct MatmulItems {
  const Call& call;
  const MatmulProblem& q;
  int batch_dims;
  const float *a, *b;                   // as the problem sees them: exchanged when it is turned

  MatmulItems(const Call& c, const MatmulProblem& p)
      : call(c),
        q(p),
        batch_dims(p.batch > 1 ? c.out[0].rank - 2 : 0),
        a(c.in[p.turned].as<float>()),
        b(c.in[!p.turned].as<float>()) {}

  ACCELNN_INLINE int64_t offset(const TensorView& v, int64_t item) const {
    return batch_dims == 0 ? 0 : batch_dims == 1 ? item * v.stride[0]
                                                 : batch_offset(v, item, batch_dims);
  }
  ACCELNN_INLINE const float* a_of(int64_t item) const { return a + (q.packed && q.turned ? 0 : offset(call.in[q.turned], item)); }
  ACCELNN_INLINE const float* b_of(int64_t item) const { return b + (q.packed && !q.turned ? 0 : offset(call.in[!q.turned], item)); }

  Product product(int64_t item, char* work) const {
    Product p;
    p.m = q.m;
    p.n = q.n;
    p.k = q.k;
    const bool later = q.fresh || q.shared, copied_a = q.copy_a && !q.shared;       // later: copied where it is used
    p.a = copied_a ? reinterpret_cast<float*>(work) : a_of(item);
    p.a_row = copied_a ? q.copied_a_row : q.a_row;
    p.a_k = copied_a ? 1 : q.a_k;
    const bool copied = q.copy_b && !later, panels = q.panels || copied;
    p.b = copied ? reinterpret_cast<float*>(work + q.a_bytes) : b_of(item);
    p.b_row = panels ? panel_columns : q.b_k;
    p.b_panel = panels ? panel_columns * q.k : panel_columns;
    p.b_column = q.b_column;
    const int64_t at = item * q.m * q.n;
    p.c = call.out[0].as<float>() + at;
    p.residual = call.in[3].absent() ? nullptr : call.in[3].as<float>() + at;
    const float* const bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
    p.epilogue = {q.turned ? bias : nullptr, q.turned ? nullptr : bias, int(call.integer(matmul_attr::activation)),
                  float(call.real(matmul_attr::scale))};
    return p;
  }

  // Piece number `piece` of `pieces` of both operands' copies.
  void copy(int64_t item, char* work, int64_t piece, int64_t pieces) const {
    if (q.path == MatmulPath::swapped) {
      const int64_t quads = (q.k + 3) / 4, k0 = tile_start(quads, pieces, piece) * 4, k1 = tile_start(quads, pieces, piece + 1) * 4;
      for (int64_t i = 0; i < q.m; i += swap_rows)
        pack_swapped(a_of(item) + i * q.a_row, q.a_row, q.a_k, q.m - i < swap_rows ? q.m - i : swap_rows, k0, k1, q.k,
                     reinterpret_cast<float*>(work) + i * quads * 4);
    } else if (q.copy_a) {
      const int64_t r0 = tile_start(q.m, pieces, piece), r1 = tile_start(q.m, pieces, piece + 1);
      gather(a_of(item) + r0 * q.a_row, q.a_row, q.a_k, r1 - r0, q.k, reinterpret_cast<float*>(work) + r0 * q.copied_a_row, q.copied_a_row);
    }
    if (!q.copy_b || q.fresh) return;
    const int64_t panels = (q.n + panel_columns - 1) / panel_columns, j0 = tile_start(panels, pieces, piece) * panel_columns,
                  j1 = tile_start(panels, pieces, piece + 1) * panel_columns, end = j1 < q.n ? j1 : q.n;
    if (j0 < end)
      pack_panels(b_of(item) + j0 * q.b_column, q.b_k, q.b_column, q.k, end - j0, reinterpret_cast<float*>(work + q.a_bytes) + j0 * q.k, q.k * panel_columns);
  }
};

// Many rows, B not packed: 1024 at 93 to 94 % of the peak and 2048 at 91 to 93, where copying both up front gave 87 and 90. Threads take row blocks one
// after the other, each with a place of its own for its block of A, which stays in its L2.
inline void product_by_parts_of_rows(const Call& call, const MatmulProblem& q, const Product& p, char* work, int64_t threads) {
  char* const panels = work + q.a_bytes;
  SharedPanels shared = {reinterpret_cast<float*>(panels), nullptr, q.copied_a_row, reinterpret_cast<uint8_t*>(panels + q.b_bytes - q.state_bytes)};
  std::memset(shared.state, 0, q.state_bytes);
  // Which rows and columns a part has changes no output: as many parts as threads take in equal rounds.
  const int64_t blocks = (q.n + fresh_columns - 1) / fresh_columns, wanted = (threads + q.row_parts - 1) / q.row_parts;
  const int64_t groups = wanted < blocks ? wanted : blocks;
  const int64_t rounds = (q.row_parts * groups + threads - 1) / threads, row_parts = groups > 1 ? q.row_parts : rounds * threads;
  const int64_t places = q.row_parts * q.column_parts;
  int64_t next = 0;
  parallel(call, threads < places ? threads : places, work_of(q.m, q.n, q.k), [&](int64_t place) {
    SharedPanels mine = shared;
    if (q.copy_a) mine.a_block = reinterpret_cast<float*>(work) + place * q.block_rows * q.copied_a_row;
    for (int64_t part; (part = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < row_parts * groups;) {
      const int64_t row_part = part / groups, group = part % groups, b0 = tile_start(blocks, groups, group), b1 = tile_start(blocks, groups, group + 1);
      const int64_t end = b1 * fresh_columns, abreast = threads < row_parts ? threads : row_parts;
      product_by_shared_panels(p, mine, tile_start(q.m, row_parts, row_part), tile_start(q.m, row_parts, row_part + 1), b0 * fresh_columns,
                               end < q.n ? end : q.n, row_part % abreast * (b1 - b0) / abreast, abreast);
    }
  });
}

// Few rows, B row by row out of memory: parts of k, so that a thread reads whole rows and a region of its own. 1 x 4096 x 4096 on two threads 42.7 and
// 38.1 GB/s (two runs) where halves of all rows gave 32.7 and 34.3, OpenBLAS 36.9 and 35.8. Runs of 32 or 64 rows in halves 32.7 to 34.5; eight rows of B
// at a time in halves 39.3 and 37.0, but where B is in a cache they cost 6 to 12 %; 2 parts 41.3 and 35.9, 16 parts 41.0 and 38.2. On one thread 1 row
// 0.99 of before, 2 rows 1.03, 4 rows 1.08 (AVX2 1.10). Narrow matrices beyond L2 likewise, in 4 parts of whole runs: a thread's share of a row is too
// short for the prefetchers. Xeon, 2 threads: 1 x 768 x 768 62 -> 41 us, 4 x 768 x 768 64 -> 48, 1 x 3072 x 768 240 -> 168; one thread 1.02 to 1.09 of
// before; 8 parts of 96 rows 1.05 to 1.20, and 3072 columns lost on one thread and on two.
inline __attribute__((noinline)) void product_by_parts_of_k(const Call& call, const MatmulProblem& q, const Product& p, float* sums) {
  const int64_t all = q.m * q.n, runs = q.k / whole_run;
  parallel(call, q.k_parts, q.work, [&](int64_t part) {
    const int64_t k0 = tile_start(runs, q.k_parts, part) * whole_run;
    Product some = p;
    some.k = (part + 1 == q.k_parts ? q.k : tile_start(runs, q.k_parts, part + 1) * whole_run) - k0;
    some.a += k0 * p.a_k;
    some.b += k0 * p.b_row;
    some.c = sums + part * all;
    some.residual = nullptr;
    some.epilogue = {};
    product_part(q.path, some, 0, q.m, 0, q.n);
  });
  for (int64_t part = 1; part < q.k_parts; part++) {
    const float* const more = sums + part * all;
    for (int64_t i = 0; i < all; i++) sums[i] += more[i];
  }
  finish_sums(p, sums, q.n, 0, q.m, 0, q.n, true, true);
}

inline Status matmul(const Call& call) {
  const MatmulProblem q = matmul_problem(call);
  if (q.batch == 0 || q.m == 0 || q.n == 0) return {};
  const MatmulItems items(call, q);
  const size_t bytes = q.a_bytes + q.b_bytes;
  char* const work = static_cast<char*>(call.work);
  if (q.item_parts) {
    parallel(call, q.item_parts, work_of(q.batch * q.m, q.n, q.k), [&](int64_t part) {
      const int64_t last = tile_start(q.batch, q.item_parts, part + 1);
      for (int64_t item = tile_start(q.batch, q.item_parts, part); item < last; item++) {
        char* const slot = work + size_t(part) * bytes;
        if (bytes) items.copy(item, slot, 0, 1);
        product_part(q.path, items.product(item, slot), 0, q.m, 0, q.n);
      }
    });
    return {};
  }
  constexpr int64_t copy_parts = 16;
  const int64_t units = (q.n + q.unit - 1) / q.unit;
  // Where rows of B are read across, long runs are worth more than parts of equal length: one a thread. No output knows of the others.
  const bool across = q.path == MatmulPath::rows || q.path == MatmulPath::strips;
  const int64_t threads = call.pool ? call.pool->threads() : 1, column_parts = across && threads < q.column_parts ? threads : q.column_parts;
  for (int64_t item = 0; item < q.batch; item++) {
    if (q.shared) {
      product_by_parts_of_rows(call, q, items.product(item, work), work, threads);
      continue;
    }
    if (q.k_parts) {
      product_by_parts_of_k(call, q, items.product(item, work), reinterpret_cast<float*>(work));
      continue;
    }
    const size_t copied = q.a_bytes + (q.fresh ? 0 : q.b_bytes);
    if (copied) parallel(call, copy_parts, int64_t(copied), [&](int64_t piece) { items.copy(item, work, piece, copy_parts); });
    const Product p = items.product(item, work);
    parallel(call, q.row_parts * column_parts, q.work, [&](int64_t part) {
      const int64_t row_part = part / column_parts, column_part = part % column_parts;
      const int64_t n0 = tile_start(units, column_parts, column_part) * q.unit, n1 = tile_start(units, column_parts, column_part + 1) * q.unit;
      if (q.fresh) return product_by_fresh_panels(p, reinterpret_cast<float*>(work + q.a_bytes) + column_part * fresh_block, n0, n1 < q.n ? n1 : q.n);
      product_part(q.path, p, tile_start(q.m, q.row_parts, row_part), tile_start(q.m, q.row_parts, row_part + 1), n0, n1 < q.n ? n1 : q.n);
    });
  }
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
