// The weights' gradients of a whole sequence: sums over all steps and sequences of dgates^T [x | h], as register tiles whose rows are gates and whose columns
// are inputs and states, so that they end where the weights' layout has them. Both operands are read as they lie: x in either order of its dimensions.
// Instead of ten calls: a copy of x in steps, one of x beside h, matmul of both transposed, two copies of its result into the weights' order, sums. One thread,
// both in one process, the ten and this, us: 1x100x128x128 343, 255; 32x50x128x256 14225, 12965; 64x28x28x128 3488, 3053; 1x160x40x256 1069, 932.
// 92 to 105 GFLOP/s. What is left: the copy of gates waits for its lines (64x28x28x128: 7 % of a training step, beside 25 % in tiles), with or without the
// prefetches of the group before; recurrent_grad could leave its sums in this order, and save both that and its own second copy.
// With a place for each group's copy (0.7 MiB at N = 512) instead of one, which stays in L2, no difference could be told from a busy machine's noise.
#pragma once
#include "matmul/gemm.h"
#include "pool.h"
#include "recurrent/wgrad.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// c[j][r * c_row[j] + ...] (+)= sum_k a[k * R + r] b[k][j], a vector j of columns each with its own place: the last of x may stand beside the first of h.
struct WeightTile {
  int64_t k;
  const float* a;
  const float* b;
  int64_t b_panel;
  float* c[tile_vectors];
  int64_t c_row[tile_vectors];
  int some[tile_vectors];               // columns of a vector that are wanted
  bool add;
};

template <int R, int V> void weight_tile_body(const WeightTile& t) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
      acc[r][j] = vf{};
      __builtin_prefetch(t.c[j] + r * t.c_row[j], 1);
    }
  const float *a = t.a, *b = t.b;
  const int64_t panel = t.b_panel;
  for (int64_t k = 0; k < t.k; k++, a += R, b += panel_columns) {
    vf v[V];
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
      const float* const p = b + j / vectors_per_panel * panel + j % vectors_per_panel * lanes;
      v[j] = load(p);
      if (j * lanes % panel_columns == 0) __builtin_prefetch(p + 8 * panel_columns);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      const vf x = splat(a[r]);
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) acc[r][j] = fma(x, v[j], acc[r][j]);
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < V; j++) {
    float* const c = t.c[j];
    const int64_t c_row = t.c_row[j];
    const int some = t.some[j];
    if (some == lanes) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) store(c + r * c_row, t.add ? load(c + r * c_row) + acc[r][j] : acc[r][j]);
    } else if (some > 0) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) store(c + r * c_row, t.add ? load(c + r * c_row, some) + acc[r][j] : acc[r][j], some);
    }
  }
}

using WeightTileBody = void (*)(const WeightTile&);
template <int V> struct WeightTiles {
  WeightTileBody height[tile_rows + 1];
  constexpr WeightTiles() : height{} { fill<tile_rows>(); }
  template <int R> constexpr void fill() {
    height[R] = weight_tile_body<R, V>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V> constexpr WeightTiles<V> weight_tiles;

// One of up to two operands that stand side by side: rows k of `columns` numbers, and where their gradient goes.
struct WeightSource {
  const float* from;
  int64_t columns, panels;
  float* to;
};

struct WeightsGradient {
  const WeightsProblem& p;
  WeightsSpace s;
  const float* sums;                    // dgates [K, N]
  WeightSource source[2];
  bool turned;                          // source 0 is x of [B, T, I]
  float* bias;

  int64_t panels() const { return source[0].panels + source[1].panels; }
  ACCELNN_INLINE int64_t begin(int64_t block) const { return tile_start(p.k, p.k_blocks, block); }
  float* panel_of(int64_t block, int64_t q) const { return s.features + (begin(block) * panels() + q * (begin(block + 1) - begin(block))) * panel_columns; }

  // Rows of both sources into panels of 16 columns, [block of k][panel][k][16].
  void pack_features(int64_t block) const {
    const int64_t k0 = begin(block), k1 = begin(block + 1), step = (k1 - k0) * panel_columns;
    float* to = panel_of(block, 0);
    for (int w = 0; w < 2; w++) {
      const WeightSource& f = source[w];
      for (int64_t k = k0; k < k1; k++) {
        const int64_t row = w == 0 && turned ? k % p.batch * p.steps + k / p.batch : k;
        const float* const from = f.from + row * f.columns;
        float* at = to + (k - k0) * panel_columns;
        for (int64_t j = 0; j < f.columns; j += panel_columns, at += step)
          for (int64_t i = 0; i < panel_columns; i += lanes) {
            const int64_t left = f.columns - j - i;
            store(at + i, left >= lanes ? load(from + j + i) : left > 0 ? load(from + j + i, int(left))
                                                                        : vf{});
          }
      }
      to += f.panels * step;
    }
  }

  // Gates [g0, g1) of a block of k, tile by tile [k][rows of the tile]; and their sums, the biases' gradient. Rows are stored in whole vectors: what is
  // too much the next row overwrites, or behind a tile nobody reads.
  void pack_gates(int64_t block, int64_t g0, int64_t g1, float* to) const {
    const int64_t k0 = begin(block), depth = begin(block + 1) - k0, n = g1 - g0, tiles = tiles_of(n), left = p.n - g0;
    vf totals[gate_group / lanes] = {};
    const float* from = sums + k0 * p.n + g0;
    for (int64_t k = 0; k < depth; k++, from += p.n) {
      for (int64_t i = 0; i < tiles; i++) {
        const int64_t i0 = tile_start(n, tiles, i), i1 = tile_start(n, tiles, i + 1);
        float* const at = place(to, i, i0, depth) + k * (i1 - i0);
        for (int64_t j = i0; j < i1; j += lanes) store(at + j - i0, left - j >= lanes ? load(from + j) : load(from + j, int(left - j)));
      }
      if (n == gate_group)
#pragma GCC unroll 8
        for (int i = 0; i < int(gate_group) / lanes; i++) totals[i] = totals[i] + load(from + i * lanes);
      else
        for (int64_t i = 0; i < n; i += lanes) totals[i / lanes] = totals[i / lanes] + (left - i >= lanes ? load(from + i) : load(from + i, int(left - i)));
    }
    for (int64_t i = 0; bias && i < n; i += lanes) {
      const int some = int(n - i < lanes ? n - i : lanes);
      store(bias + g0 + i, block ? load(bias + g0 + i, some) + totals[i / lanes] : totals[i / lanes], some);
    }
  }
  static ACCELNN_INLINE float* place(float* gates, int64_t tile, int64_t first, int64_t depth) { return gates + first * depth + tile * 16; }

  // Lines of the sums that come next, [g0, g1) of a block, in the order in which they are packed: some for each tile.
  struct Coming {
    const float* row;
    int64_t columns, left, at;
  };
  Coming coming(int64_t block, int64_t g0, int64_t g1) const { return {sums + begin(block) * p.n + g0, g1 - g0, begin(block + 1) - begin(block), 0}; }
  ACCELNN_INLINE void fetch(Coming& c, int64_t lines) const {
    for (; lines > 0 && c.left > 0; lines--) {
      __builtin_prefetch(c.row + c.at, 0, 2);
      if ((c.at += 16) < c.columns) continue;
      c.at = 0;
      c.row += p.n;
      c.left--;
    }
  }

  void group(int64_t block, int64_t g0, int64_t g1, float* a, Coming next) const {
    const int64_t depth = begin(block + 1) - begin(block), tiles = tiles_of(g1 - g0), vectors = panels() * vectors_per_panel;
    const int64_t calls = tiles * ((vectors + tile_vectors - 1) / tile_vectors);
    const int64_t lines = calls ? (next.left * ((next.columns + 15) / 16) + calls - 1) / calls : 0;
    pack_gates(block, g0, g1, a);
    WeightTile t;
    t.k = depth;
    t.b_panel = depth * panel_columns;
    t.add = block > 0;
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t i0 = tile_start(g1 - g0, tiles, i), rows = tile_start(g1 - g0, tiles, i + 1) - i0;
      t.a = place(a, i, i0, depth);
      for (int64_t v = 0; v < vectors;) {
        const int many = vectors - v < tile_vectors ? 1 : tile_vectors;
        t.b = panel_of(block, v / vectors_per_panel) + v % vectors_per_panel * lanes;
        for (int j = 0; j < many; j++) {
          const int64_t q = (v + j) / vectors_per_panel, w = q >= source[0].panels, column = (v + j) * lanes - w * source[0].panels * panel_columns;
          const WeightSource& f = source[w];
          const int64_t left = f.columns - column;
          t.some[j] = int(left < 0 ? 0 : left < lanes ? left
                                                      : lanes);
          t.c_row[j] = f.columns;
          t.c[j] = f.to + (g0 + i0) * f.columns + (left > 0 ? column : 0);
        }
        fetch(next, lines);
        (many == 1 ? weight_tiles<1>.height[rows] : weight_tiles<tile_vectors>.height[rows])(t);
        v += many;
      }
    }
  }
};

// The products of one direction: the sums times all sources.
inline void weights_gradient(const Call& call, const WeightsGradient& w) {
  const WeightsProblem& p = w.p;
  const int64_t columns = w.panels() * panel_columns, groups = (p.n + gate_group - 1) / gate_group;
  parallel(call, p.k_blocks, p.k * columns * 8, [&](int64_t block) { w.pack_features(block); });
  const int64_t threads = call.pool ? call.pool->threads() : 1, parts = threads < groups ? threads : groups;
  parallel(call, parts, p.n * columns * p.k, [&](int64_t part) {
    const int64_t first = tile_start(groups, parts, part), last = tile_start(groups, parts, part + 1);
    float* const place = w.s.gates + first * group_space(p.most_k);      // one after the other: it stays in L2
    const auto end = [&](int64_t g) { return (g + 1) * gate_group < p.n ? (g + 1) * gate_group : p.n; };
    for (int64_t block = 0; block < p.k_blocks; block++)
      for (int64_t g = first; g < last; g++) {
        const int64_t soon = g + 1 < last ? g + 1 : first, then = soon == first ? block + 1 : block;
        w.group(block, g * gate_group, end(g), place, then < p.k_blocks ? w.coming(then, soon * gate_group, end(soon)) : WeightsGradient::Coming{});
      }
  });
}

inline Status recurrent_wgrad(const Call& call) {
  namespace in = recurrent_wgrad_in;
  const WeightsProblem p = weights_problem(call);
  if (p.n == 0) return {};
  const WeightsSpace space = weights_space(p, static_cast<char*>(call.work));
  for (int64_t d = 0; d < p.directions; d++) {
    const auto source = [&](const float* from, int64_t n, int out) -> WeightSource {
      return {from, n, (n + panel_columns - 1) / panel_columns, call.out[out].as<float>() + d * p.n * n};
    };
    const auto sums = [&](int which) { return call.in[which].as<float>() + d * p.k * p.n; };
    const auto bias = [&](int out) { return call.out[out].as<float>() + d * p.n; };
    const WeightSource x = source(call.in[in::x].as<float>(), p.inputs, 0), h = source(call.in[in::before].as<float>() + d * p.k * p.outputs, p.outputs, 1);
    weights_gradient(call, {p, space, sums(in::di), {x, p.apart ? WeightSource{} : h}, p.turned, bias(2)});
    if (p.apart) weights_gradient(call, {p, space, sums(in::dj), {h, {}}, false, bias(3)});
  }
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
