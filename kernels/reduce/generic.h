// Reductions of contiguous x. Leaves are summed in vectors, then combined pairwise by a binary counter: the value after 2^k leaves waits at level k.
// Segments of 64 leaves are whole subtrees, so a reduction that is split over threads has the tree of one that is not.
#pragma once
#include "copy/generic.h"
#include "lanes.h"
#include "reduce/reduce.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace reduce_rows {

struct Sum {
  static constexpr float identity = 0.0f;
  static ACCELNN_INLINE vf of(vf a, vf b) { return a + b; }
  static ACCELNN_INLINE float of(float a, float b) { return a + b; }
};
struct Prod {
  static constexpr float identity = 1.0f;
  static ACCELNN_INLINE vf of(vf a, vf b) { return a * b; }
  static ACCELNN_INLINE float of(float a, float b) { return a * b; }
};
struct Max {
  static constexpr float identity = -__builtin_inff();
  static ACCELNN_INLINE vf of(vf a, vf b) { return max(a, b); }
  static ACCELNN_INLINE float of(float a, float b) { return a > b || a != a ? a : b; }
};
struct Min {
  static constexpr float identity = __builtin_inff();
  static ACCELNN_INLINE vf of(vf a, vf b) { return min(a, b); }
  static ACCELNN_INLINE float of(float a, float b) { return a < b || a != a ? a : b; }
};

template <class F> ACCELNN_INLINE vf load_first(const float* p, int n) {      // the other lanes hold the identity
  vi lane;
  for (int l = 0; l < lanes; l++) lane[l] = l;
  return select(lane < n, load(p, n), splat(F::identity));
}
// By rotations, not through scalar registers: sums of 1024 x 1024 along the rows 59 -> 55 us.
template <class F, int step = lanes / 2> ACCELNN_INLINE float across(vf v) {
  v = F::of(v, rotate<step>(v));
  if constexpr (step > 1) return across<F, step / 2>(v);
  return v[0];
}

// Position in a nest of dims, innermost first.
struct Walk {
  const ReduceLoops::Dims& dims;
  int64_t index[max_rank], offset = 0;
  ACCELNN_INLINE Walk(const ReduceLoops::Dims& d, int64_t at) : dims(d) {
    for (int k = 0; k < d.n; k++) {
      index[k] = at % d.size[k];
      at /= d.size[k];
      offset += index[k] * d.stride[k];
    }
  }
  ACCELNN_INLINE void next() {
    for (int k = 0; k < dims.n; k++) {
      offset += dims.stride[k];
      if (++index[k] < dims.size[k]) return;
      offset -= dims.size[k] * dims.stride[k];
      index[k] = 0;
    }
  }
};

template <class F, class T, int levels> struct Pairwise {
  T level[levels];
  int64_t count = 0;
  ACCELNN_INLINE void push(T v) {
    int k = 0;
    for (; count >> k & 1; k++) v = F::of(level[k], v);
    level[k] = v;
    count++;
  }
  ACCELNN_INLINE T total() const {
    if (count == 0) __builtin_unreachable();
    int k = __builtin_ctzll(uint64_t(count));
    T v = level[k];
    for (k++; k < levels; k++)
      if (count >> k & 1) v = F::of(level[k], v);
    return v;
  }
};

struct Columns { vf v[4]; };
template <class F> struct PerColumn {
  static ACCELNN_INLINE Columns of(const Columns& a, const Columns& b) {
    return {{F::of(a.v[0], b.v[0]), F::of(a.v[1], b.v[1]), F::of(a.v[2], b.v[2]), F::of(a.v[3], b.v[3])}};
  }
};

// acc: four accumulators, x[begin, end) after what they hold. What is new comes first: then a maximum waits for one instruction of the one before, and
// asks for NaN beside it. A plain sweep is the memory's speed: a million floats out of the third cache by rows of 1024 take 47.7 us, with lines asked for
// 192, 512 or 1024 floats ahead 62.7, 59.3, 55.2; two or four rows side by side 50.3, 48.0 (of 4 million 332, 661, 525).
template <class F> ACCELNN_INLINE void add_run(vf (&acc)[4], const float* x, int64_t begin, int64_t end) {
  int64_t i = begin;
  for (; i + 4 * lanes <= end; i += 4 * lanes)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) acc[u] = F::of(load(x + i + u * lanes), acc[u]);
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) {
    const int64_t n = end - i - u * lanes;
    if (n <= 0) break;
    acc[u] = F::of(n >= lanes ? load(x + i + u * lanes) : load_first<F>(x + i + u * lanes, int(n)), acc[u]);
  }
}
template <class F> ACCELNN_INLINE float across_four(const vf (&acc)[4]) { return across<F>(F::of(F::of(acc[0], acc[1]), F::of(acc[2], acc[3]))); }

// One output that is one leaf, without tree and walk: sums, maxima and minima of rows of 1024 from 0.92, 0.92, 0.90 of torch's speed to 0.97, 1.04, 1.06.
template <class F> float reduce_run(const float* x, int64_t n) {
  vf acc[4] = {splat(F::identity), splat(F::identity), splat(F::identity), splat(F::identity)};
  add_run<F>(acc, x, 0, n);
  return across_four<F>(acc);
}

// One output: leaves [first, last) of the rows that start at x.
template <class F> float reduce_along(const ReduceLoops& l, const float* x, int64_t first, int64_t last) {
  Pairwise<F, float, 7> tree;
  Walk row(l.reduced, first / l.pieces * l.rows_per_leaf);
  const int64_t piece = leaf_depth * 4 * lanes;
  for (int64_t leaf = first; leaf < last; leaf++) {
    const int64_t begin = l.pieces > 1 ? leaf % l.pieces * piece : 0, end = l.pieces > 1 && begin + piece < l.run ? begin + piece : l.run;
    const int64_t left = l.reduced.count - leaf / l.pieces * l.rows_per_leaf, rows = left < l.rows_per_leaf ? left : l.rows_per_leaf;
    vf acc[4] = {splat(F::identity), splat(F::identity), splat(F::identity), splat(F::identity)};
    for (int64_t r = 0; r < rows; r++) {
      add_run<F>(acc, x + row.offset, begin, end);
      if (l.pieces == 1 || leaf % l.pieces == l.pieces - 1) row.next();
    }
    tree.push(across_four<F>(acc));
  }
  return tree.total();
}

// Whole short rows, `lanes` outputs at a time: as many accumulators, turned, then added up lane by lane; the calls, trees and rotations of a row by
// itself are 14 ns. A row's order does not depend on its neighbours.
constexpr int64_t short_row = 4 * lanes;
template <class F> void reduce_short(float* y, const float* x, int64_t rows, int64_t n, float divisor) {
  for (int64_t r = 0; r < rows; r += lanes) {
    vf acc[lanes];
    const int some = rows - r < lanes ? int(rows - r) : lanes;
    for (int k = 0; k < some; k++) {
      const float* p = x + (r + k) * n;
      vf v = n >= lanes ? load(p) : load_first<F>(p, int(n));
      int64_t i = lanes;
      for (; i + lanes <= n; i += lanes) v = F::of(load(p + i), v);
      acc[k] = i < n ? F::of(load_first<F>(p + i, int(n - i)), v) : v;
    }
    for (int k = some; k < lanes; k++) acc[k] = vf{};
    transpose(acc);
#pragma GCC unroll 4
    for (int step = lanes / 2; step; step /= 2)
#pragma GCC unroll 8
      for (int k = 0; k < step; k++) acc[k] = F::of(acc[k], acc[k + step]);
    store(y + r, divisor == 1.0f ? acc[0] : acc[0] / divisor, some);
  }
}

// `width` (1 to four vectors) neighbouring outputs, all rows. With rows of many KB the hardware prefetcher does not follow (0.6 ns an element at
// 2048 x 2048 against 0.085 along the rows); prefetching 8 rows ahead changed nothing there and cost 30 % at 64 x 120.
template <class F, bool whole> ACCELNN_INLINE vf load_column(const float* p, int u, int64_t width) {
  const int64_t n = width - u * lanes;
  return whole || n >= lanes ? load(p + u * lanes) : n > 0 ? load(p + u * lanes, int(n))
                                                           : vf{};
}
template <class F, bool whole> Columns reduce_columns(const ReduceLoops& l, const float* x, int64_t width, int64_t first, int64_t last) {
  Pairwise<PerColumn<F>, Columns, 7> tree;
  Walk row(l.reduced, first * leaf_depth);
  for (int64_t leaf = first; leaf < last; leaf++) {
    const int64_t left = l.reduced.count - leaf * leaf_depth, rows = left < leaf_depth ? left : leaf_depth;
    Columns acc = {};
    for (int u = 0; u < 4; u++) acc.v[u] = load_column<F, whole>(x + row.offset, u, width);
    for (int64_t r = 1; r < rows; r++) {
      row.next();
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) acc.v[u] = F::of(load_column<F, whole>(x + row.offset, u, width), acc.v[u]);
    }
    row.next();
    tree.push(acc);
  }
  return tree.total();
}

template <class F> Status reduce_with(const Call& call, const ReduceLoops& l, const float* x, bool mean) {
  float *y = call.out[0].as<float>(), *partial = l.segments > 1 ? static_cast<float*>(call.work) : y;
  const float divisor = float(l.terms);
  if (l.terms == 0) {
    for (int64_t o = 0; o < l.outputs; o++) y[o] = mean ? __builtin_nanf("") : F::identity;
    return {};
  }
  constexpr int64_t chunk = 4 * lanes;
  const int64_t chunks = l.along ? 1 : (l.run + chunk - 1) / chunk, items = l.kept.count * chunks;      // an item: one output, or up to `chunk`
  const int64_t leaves = l.segments > 1 ? leaves_per_segment : l.leaves;
  const int64_t item_terms = (l.terms / l.segments + 1) * (l.along ? 1 : l.run < chunk ? l.run
                                                                                       : chunk);
  const int64_t per_part = item_terms < 16384 ? 16384 / item_terms : 1, bands = (items + per_part - 1) / per_part;
  const bool divide = mean && l.segments == 1, one_leaf = l.reduced.count == 1 && l.leaves == 1;
  // For outputs that lie one after the other: kept dims that are contiguous.
  if (l.along && l.reduced.count == 1 && l.run <= short_row && l.kept.n <= 1 && l.outputs >= lanes) {
    const int64_t rows = 16384 / l.run / lanes * lanes + lanes;
    parallel(call, (l.outputs + rows - 1) / rows, l.outputs * l.terms * 4, [&](int64_t part) __attribute__((noinline)) {
      const int64_t begin = part * rows, left = l.outputs - begin;
      reduce_short<F>(y + begin, x + begin * l.run, left < rows ? left : rows, l.run, divide ? divisor : 1.0f);
    });
    return {};
  }
  parallel(call, bands * l.segments, l.outputs * l.terms * 4, [&](int64_t part) __attribute__((noinline)) {
    const int64_t segment = part / bands, first = segment * leaves, last = first + leaves < l.leaves ? first + leaves : l.leaves;
    const int64_t begin = part % bands * per_part, end = begin + per_part < items ? begin + per_part : items;
    float* to = partial + segment * l.outputs;
    Walk kept(l.kept, begin / chunks);
    for (int64_t item = begin; item < end; item++) {
      if (l.along) {
        const float* from = x + kept.offset;
        const float v = one_leaf ? reduce_run<F>(from, l.run) : reduce_along<F>(l, from, first, last);
        to[item] = divide ? v / divisor : v;
        kept.next();
        continue;
      }
      const int64_t column = item % chunks * chunk, width = l.run - column < chunk ? l.run - column : chunk;
      const float* from = x + kept.offset + column;
      float* at = to + item / chunks * l.run + column;
      const Columns c = width == chunk ? reduce_columns<F, true>(l, from, width, first, last) : reduce_columns<F, false>(l, from, width, first, last);
      for (int u = 0; u < 4; u++) {
        const int64_t n = width - u * lanes;
        const vf v = divide ? c.v[u] / divisor : c.v[u];
        if (n >= lanes) store(at + u * lanes, v);
        else if (n > 0) store(at + u * lanes, v, int(n));
      }
      if (column + width == l.run) kept.next();
    }
  });
  if (l.segments == 1) return {};
  for (int64_t o = 0; o < l.outputs; o++) {
    Pairwise<F, float, 48> tree;
    for (int64_t s = 0; s < l.segments; s++) tree.push(partial[s * l.outputs + o]);
    y[o] = mean ? tree.total() / divisor : tree.total();
  }
  return {};
}

inline Status run(const Call& call) {
  const ReduceLoops l = reduce_loops(call, lanes);
  if (l.outputs == 0) return {};
  const TensorView& in = call.in[0];
  const float* x = in.as<float>();
  if (!in.contiguous()) {
    TensorView whole = in;
    const size_t partial = l.segments > 1 ? (size_t(l.segments) * size_t(l.outputs) * sizeof(float) + 63) & ~size_t(63) : 0;
    whole.data = static_cast<char*>(call.work) + partial;
    whole.set_contiguous();
    Call copy = call;
    copy.out = &whole;
    ACCELNN_TRY(run_copy<uint32_t>(copy));
    x = whole.as<float>();
  }
  const int64_t kind = call.integer(reduce_attr::kind);
  switch (kind) {
    case reduce_kind::max: return reduce_with<Max>(call, l, x, false);
    case reduce_kind::min: return reduce_with<Min>(call, l, x, false);
    case reduce_kind::prod: return reduce_with<Prod>(call, l, x, false);
    default: return reduce_with<Sum>(call, l, x, kind == reduce_kind::mean);
  }
}

}  // namespace reduce_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
