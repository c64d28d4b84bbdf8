// The gradients, scores computed again from lse. They are computed TRANSPOSED (rows are keys, lanes are queries): lse and delta are then vectors along the
// lanes, softmax needs no sum across them, and P^T and dS^T lie as left operands of dv = P^T dy and dk = dS^T q; dq = dS k reads the same tile with its
// strides exchanged.
#pragma once
#include "attention/scores.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

// dS^T of 56 keys x 128 queries is 28 KiB. Blocks of 64 to 256 x 28 to 112 are within 5 % of each other.
constexpr int64_t grad_keys = 56, grad_queries = 128;

// What the gradient reads of one head of queries, in the workspace: q^T (times scale and log2 e) and dy^T in panels, lse in base 2, delta.
struct GradPanels {
  float *q, *dy, *lse, *delta;
  GradPanels(const AttentionProblem& p, int64_t queries, float* at) {
    const int64_t n = padded_to_panel(queries);
    q = at;
    dy = q + n * p.depth;
    lse = dy + n * p.width;
    delta = lse + n;
  }
};

inline void prepare_head(const AttentionProblem& p, Rows q, Rows dy, const TensorView& y, const TensorView& lse, const TensorView& dlse,
                         const Sequence& seq, int64_t h, const GradPanels& to) {
  const int64_t n = seq.queries, whole = (n + panel - 1) / panel * panel;
  pack_rows(q.at, q.row, 1, n, p.depth, to.q);
  const vf factor = splat(p.scale * log2e);
  for (int64_t i = 0; i < whole * p.depth; i += lanes) store(to.q + i, load(to.q + i) * factor);
  pack_rows(dy.at, dy.row, 1, n, p.width, to.dy);
  const auto first = [&](const TensorView& t) { return t.as<float>() + seq.b * t.stride[0] + h * t.stride[1] + seq.first_query * t.stride[2]; };
  const float *const y0 = first(y), *const lse0 = first(lse), *const dlse0 = dlse.absent() ? nullptr : first(dlse);
  for (int64_t i = 0; i < n; i++) {
    const float *a = y0 + i * y.stride[2], *d = dy[i];
    float sum = 0;
    if (y.stride[3] == 1 || p.width == 1) {
      vf s = vf{};
      int64_t c = 0;
      for (; c + lanes <= p.width; c += lanes) s = fma(load(a + c), load(d + c), s);
      if (c < p.width) s = fma(load(a + c, int(p.width - c)), load(d + c, int(p.width - c)), s);
      sum = sum_across(s)[0];
    } else {
      for (int64_t c = 0; c < p.width; c++) sum += a[c * y.stride[3]] * d[c];
    }
    const float l = lse0[i * lse.stride[2]];
    to.delta[i] = dlse0 ? sum - dlse0[i * dlse.stride[2]] : sum;
    to.lse[i] = l == minus_infinity ? -minus_infinity : l * log2e;      // sees nothing: every weight becomes exp2(s - inf) = 0
  }
  for (int64_t i = n; i < whole; i++) to.lse[i] = -minus_infinity, to.delta[i] = 0.0f;
}

struct GradHead {
  Rows q, k, v, dy;
  float *dq, *dk, *dv;            // contiguous rows; everything is added to them
  GradPanels panels;
  int64_t first_row;              // of the call's scores: what dropout counts from
  int64_t mask_at;
  Sequence seq;
};

// added[key][query] of a mask whose rows differ, or dropout's keep: what is not laid out along the queries is turned around first.
struct Turned {
  alignas(64) float mask[grad_keys * grad_queries], keep[grad_keys * grad_queries];
};
// The last panel's queries that do not exist.
inline void clear_behind(int64_t keys, int64_t queries, float* to) {
  const int64_t whole = (queries + panel - 1) / panel * panel;
  for (int64_t j = 0; j < keys; j++)
    for (int64_t i = (queries + lanes - 1) / lanes * lanes; i < whole; i += lanes) store(to + j * grad_queries + i, vf{});
}
// Squares of vectors, transposed: number by number a mask [512, 512] made the gradient of eight heads a third slower.
inline __attribute__((noinline)) void turn_mask(const Mask& m, int64_t at, int64_t keys, int64_t queries, float* to) {
  const auto upto = [](int64_t n) { return int(n < lanes ? n : lanes); };
  for (int64_t i = 0; i < queries; i += lanes)
    for (int64_t j = 0; j < keys; j += lanes) {
      const int rows = upto(queries - i), columns = upto(keys - j);
      vf v[lanes];
      for (int r = 0; r < lanes; r++) v[r] = r < rows ? added(m, at + (i + r) * m.stride[2] + j * m.stride[3], columns) : vf{};
      transpose(v);
      for (int c = 0; c < columns; c++) store(to + (j + c) * grad_queries + i, v[c]);
    }
  clear_behind(keys, queries, to);
}
inline __attribute__((noinline)) void turn_keep(const AttentionProblem& p, const GradHead& head, int64_t k0, int64_t keys, int64_t q0, int64_t queries,
                                                float* to) {
  static_assert(grad_keys % 4 == 0 && draw % lanes == 0);
  constexpr int64_t drawn = (grad_keys + draw - 1) / draw * draw;
  alignas(64) float row[lanes * drawn];
  for (int64_t i = 0; i < queries; i += lanes) {
    for (int64_t r = 0; r < lanes && i + r < queries; r++) draw_keep(p, head.first_row + q0 + i + r, k0, keys, row + r * drawn);
    for (int64_t j = 0; j < keys; j += lanes) {
      vf v[lanes];
      for (int r = 0; r < lanes; r++) v[r] = i + r < queries ? load(row + r * drawn + j) : vf{};
      transpose(v);
      for (int c = 0; c < lanes && j + c < keys; c++) store(to + (j + c) * grad_queries + i, v[c]);
    }
  }
  clear_behind(keys, queries, to);
}

// From scores and products with v to weights and ds, one register tile.
template <bool Masked, bool Dropped>
ACCELNN_INLINE void weigh_tile(const AttentionProblem& p, int rows, float* w, float* ds, const float* lse, const float* delta, const float* mask,
                               int64_t mask_row, int64_t mask_step, const float* keep, int64_t hidden) {
  vf e[panel_vectors], d[panel_vectors];
  for (int j = 0; j < panel_vectors; j++) e[j] = load(lse + j * lanes), d[j] = load(delta + j * lanes);
  const vf scale = splat(p.scale);
  for (int i = 0; i < rows; i++, w += grad_queries, ds += grad_queries)
    for (int j = 0; j < panel_vectors; j++) {
      vf s = load(w + j * lanes);
      if (Masked) s += mask_step ? load(mask + i * mask_row + j * lanes) : splat(mask[i * mask_row]);
      vf x = exp2(s - e[j]);
      if (hidden > -i) x = select(ramp() + j * lanes < int32_t(hidden + i), vf{}, x);      // queries before this key
      vf product = load(ds + j * lanes);
      if (Dropped) product *= load(keep + i * grad_queries + j * lanes);
      store(ds + j * lanes, x * (product - d[j]) * scale);
      if (Dropped) x *= load(keep + i * grad_queries + j * lanes);
      store(w + j * lanes, x);
    }
}

// Keys [k0, k0 + n), n <= grad_keys, against queries [q0, q0 + m), m <= grad_queries. Query i sees key j where i >= j - shift.
inline __attribute__((noinline)) void grad_block(const AttentionProblem& p, const Mask& mask, const GradHead& head, int64_t k0, int64_t n, int64_t q0,
                                                 int64_t m, int64_t shift) {
  alignas(64) float ds[grad_keys * grad_queries], weights[most_rows * grad_queries];
  // Queries before the first key of the block see none of it: whole panels of them are skipped.
  int64_t low = 0;
  if (p.causal && k0 - shift > q0) low = (k0 - shift - q0) / panel * panel;
  if (low >= m) return;
  Turned turned;
  const bool rows_differ = !mask.absent() && mask.stride[2] != 0;
  if (rows_differ) turn_mask(mask, head.mask_at + q0 * mask.stride[2] + k0 * mask.stride[3], n, m, turned.mask);
  else if (!mask.absent())
    for (int64_t j = 0; j < n; j++) turned.mask[j] = mask.added(head.mask_at + (k0 + j) * mask.stride[3]);
  if (p.state) turn_keep(p, head, k0, n, q0, m, turned.keep);
  const int64_t height = tile_height(n), depth = p.depth, width = p.width;
  for (int64_t g = 0; g < n; g += height) {
    const int r = int(n - g < height ? n - g : height);
    float* const s = ds + g * grad_queries;
    for (int64_t j = low; j < m; j += panel) {
      panel_tile(r, {depth, head.k[k0 + g], head.k.row, 1, head.panels.q + (q0 + j) * depth, panel, weights + j, grad_queries, false, 0});
      panel_tile(r, {width, head.v[k0 + g], head.v.row, 1, head.panels.dy + (q0 + j) * width, panel, s + j, grad_queries, false, 0});
      const int64_t hidden = p.causal ? k0 + g - shift - (q0 + j) : -grad_queries;      // so many queries of the panel are before the tile's first key
      const float *lse = head.panels.lse + q0 + j, *delta = head.panels.delta + q0 + j, *keep = turned.keep + g * grad_queries + j;
      const float* const added = rows_differ ? turned.mask + g * grad_queries + j : turned.mask + g;
      const int64_t mask_row = rows_differ ? grad_queries : 1;
      if (p.state) {
        if (mask.absent()) weigh_tile<false, true>(p, r, weights + j, s + j, lse, delta, nullptr, 0, 0, keep, hidden);
        else weigh_tile<true, true>(p, r, weights + j, s + j, lse, delta, added, mask_row, rows_differ, keep, hidden);
      } else if (mask.absent()) {
        weigh_tile<false, false>(p, r, weights + j, s + j, lse, delta, nullptr, 0, 0, nullptr, hidden);
      } else {
        weigh_tile<true, false>(p, r, weights + j, s + j, lse, delta, added, mask_row, rows_differ, nullptr, hidden);
      }
    }
    wide_tile(r, {m - low, weights + low, grad_queries, 1, head.dy[q0 + low], head.dy.row, head.dv + (k0 + g) * width, width, true, 0}, width);
    wide_tile(r, {m - low, s + low, grad_queries, 1, head.q[q0 + low], head.q.row, head.dk + (k0 + g) * depth, depth, true, 0}, depth);
  }
  const int64_t tall = tile_height(m - low);
  for (int64_t i = low; i < m; i += tall) {
    const int r = int(m - i < tall ? m - i : tall);
    wide_tile(r, {n, ds + i, 1, grad_queries, head.k[k0], head.k.row, head.dq + (q0 + i) * depth, depth, true, 0}, depth);
  }
}

// Keys [k0, k1) of one head. As many queries at a time as stay in L2 beside the keys: what is read and written of them (q and dy twice, dq) passes by for
// every 56 keys. Both sums go over their keys and queries in the same order as without. 4 heads of 2048 x 128: 147 and 141 ms without, 136 and 134 with (two
// runs in turns), causal 80, 75 and 73, 79; 2048 x 64 135, 138 and 132, 129.
inline void grad_keys_of(const AttentionProblem& p, const Mask& mask, const GradHead& head, int64_t k0, int64_t k1) {
  const int64_t queries = head.seq.queries, keys = head.seq.keys, end = k1 < keys ? k1 : keys, shift = p.causal == lower_right ? keys - queries : 0;
  const int64_t fit = caps().l2 / 2 / (4 * (3 * p.depth + 2 * p.width)) / grad_queries * grad_queries, run = fit < grad_queries ? grad_queries : fit;
  for (int64_t first = 0; first < queries; first += run) {
    const int64_t last = first + run < queries ? first + run : queries;
    for (int64_t k = k0; k < end; k += grad_keys) {
      const int64_t n = end - k < grad_keys ? end - k : grad_keys;
      int64_t q0 = first;
      if (p.causal && k - shift > first) q0 = (k - shift) / grad_queries * grad_queries;
      for (; q0 < last; q0 += grad_queries) grad_block(p, mask, head, k, n, q0, last - q0 < grad_queries ? last - q0 : grad_queries, shift);
    }
  }
}

inline Status attention_grad(const Call& call) {
  const AttentionProblem p = attention_problem(call, true);
  const AttentionLayout w = attention_grad_layout(p, call.in[0]);
  float* const work = static_cast<float*>(call.work);
  const TensorView &dy = call.in[0], &y = call.in[4];
  float *const dq = call.out[0].as<float>(), *const dk = call.out[1].as<float>(), *const dv = call.out[2].as<float>();
  const int64_t heads = p.batch * p.heads, items = p.items(), q_count = p.q.count(), flops = 5 * p.flops(), q_size = p.queries * p.depth;
  const auto clear = [](float* at, int64_t n) {
    if (n) std::memset(at, 0, size_t(n) * sizeof(float));
  };
  if (heads == 0 || p.queries == 0 || p.keys == 0 || p.q_starts) {
    clear(dq, q_count), clear(dk, p.k.count()), clear(dv, p.v.count());
    if (!p.q_starts || items == 0) return {};
  }
  ACCELNN_TRY(check_starts(p));
  const Mask mask(p.mask);
  const Operand q(p.q, w.copy_q, work + w.q_at), k(p.k, w.copy_k, work + w.k_at), v(p.v, w.copy_v, work + w.v_at), d(dy, w.copy_dy, work + w.dy_at);
  if (w.copy_q) parallel(call, heads, q_count * 8, [&](int64_t i) { copy_head(p.q, i, work + w.q_at); });
  if (w.copy_k) parallel(call, p.batch * p.groups, p.k.count() * 8, [&](int64_t i) { copy_head(p.k, i, work + w.k_at); });
  if (w.copy_v) parallel(call, p.batch * p.groups, p.v.count() * 8, [&](int64_t i) { copy_head(p.v, i, work + w.v_at); });
  if (w.copy_dy) parallel(call, heads, dy.count() * 8, [&](int64_t i) { copy_head(dy, i, work + w.dy_at); });
  const auto panels_of = [&](int64_t n, const Sequence& seq, int64_t h) {
    float* const at = work + w.panels + (seq.b * p.heads + h) * w.panel_floats;
    return GradPanels(p, seq.queries, p.q_starts ? at + panel_place(seq.first_query, n) * (p.depth + p.width + 2) : at);
  };
  const auto head_of = [&](int64_t n, const Sequence& seq, int64_t h, float* dq_rows) {
    const auto from = [](Rows rows, int64_t first) { return Rows{rows[first], rows.row}; };
    const int64_t g = h / p.repeat, keys = (seq.b * p.groups + g) * p.keys + seq.first_key, row = (seq.b * p.heads + h) * p.queries + seq.first_query;
    return GradHead{from(q.of(seq.b, h), seq.first_query),
                    from(k.of(seq.b, g), seq.first_key),
                    from(v.of(seq.b, g), seq.first_key),
                    from(d.of(seq.b, h), seq.first_query),
                    dq_rows + row * p.depth,
                    dk + keys * p.depth,
                    dv + keys * p.width,
                    panels_of(n, seq, h),
                    row,
                    mask.offset(seq.b, h) + seq.first_query * mask.stride[2] + seq.first_key * mask.stride[3],
                    seq};
  };
  const auto prepare = [&](const GradHead& head, int64_t h) __attribute__((noinline)) {
    prepare_head(p, head.q, head.dy, y, call.in[5], call.in[9], head.seq, h, head.panels);
  };
  const auto keys = [&](int64_t item, int64_t part) __attribute__((noinline)) {
    const int64_t n = item / p.groups, g = item % p.groups;
    const Sequence seq = p.sequence(n);
    const int64_t rows = p.q_starts ? seq.keys : p.keys, blocks = (rows + grad_keys - 1) / grad_keys;
    const int64_t k0 = part * blocks / w.parts * grad_keys, end = (part + 1) * blocks / w.parts * grad_keys, k1 = end < rows ? end : rows;
    for (int64_t h = g * p.repeat; h < (g + 1) * p.repeat; h++) {
      const GradHead head = head_of(n, seq, h, part ? work + w.sums + (part - 1) * q_count : dq);
      if (h == g * p.repeat) {
        clear(head.dk + k0 * p.depth, (k1 - k0) * p.depth);
        clear(head.dv + k0 * p.width, (k1 - k0) * p.width);
      }
      clear(head.dq, seq.queries * p.depth);
      if (w.parts == 1) prepare(head, h);
      grad_keys_of(p, mask, head, k0, k1);
    }
  };
  if (w.parts == 1) {
    parallel(call, items, flops, [&](int64_t item) { keys(item, 0); });
    return {};
  }
  parallel(call, heads, flops, [&](int64_t i) {
    const int64_t n = i / p.heads, h = i % p.heads;
    prepare(head_of(n, p.sequence(n), h, dq), h);
  });
  parallel(call, items * w.parts, flops, [&](int64_t part) { keys(part % items, part / items); });
  parallel(call, heads, q_count * w.parts, [&](int64_t head) {
    float* const to = dq + head * q_size;
    for (int64_t part = 1; part < w.parts; part++) {
      const float* const from = work + w.sums + (part - 1) * q_count + head * q_size;
      int64_t i = 0;
      for (; i + lanes <= q_size; i += lanes) store(to + i, load(to + i) + load(from + i));
      if (i < q_size) store(to + i, load(to + i, int(q_size - i)) + load(from + i, int(q_size - i)), int(q_size - i));
    }
  });
  return {};
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
