// Tiled attention: for 112 queries over blocks of 512 keys, scores of one register tile of queries at a time, which stay in L1 from product to softmax to
// product. Online softmax in base 2 (Milakov and Gimelshein 2018, Rabe and Staats 2021, Dao et al. 2022): the scores carry log2 e from q.
#pragma once
#include "attention/decode.h"
#include "attention/scores.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

constexpr int64_t score_row = key_block + 16;      // rows of scores a cache line off a multiple of 2 KiB: no shared L1 sets

struct Head {
  Rows q, v;
  const float* panels;            // k^T
  float* y;                       // [L, D]
  float* lse;                     // null: nobody reads it
  int64_t h, first_row;           // of the call's scores: what dropout counts from
  Sequence seq;
};

// Queries [i0, i0 + rows), rows <= query_block.
inline __attribute__((noinline)) void attend_queries(const AttentionProblem& p, const Mask& mask, const Head& head, int64_t i0, int64_t rows) {
  alignas(64) float scores[most_rows * score_row], scaled[most_rows * attention_widest];
  float most[query_block], total[query_block];
  for (int64_t i = 0; i < rows; i++) most[i] = minus_infinity, total[i] = 0.0f;
  const Sequence& seq = head.seq;
  const int64_t height = tile_height(rows), depth = p.depth, width = p.width, last = p.end_of(i0 + rows - 1, seq.keys, seq.queries);
  const int64_t mask_at = mask.offset(seq.b, head.h) + seq.first_query * mask.stride[2] + seq.first_key * mask.stride[3];
  const vf scale = splat(p.scale * log2e);
  for (int64_t k0 = 0; k0 < last; k0 += key_block) {
    for (int64_t g = 0; g < rows; g += height) {
      const int r = int(rows - g < height ? rows - g : height);
      const int64_t seen = p.end_of(i0 + g + r - 1, seq.keys, seq.queries) - k0, n = seen < key_block ? seen : key_block;
      if (n <= 0) continue;
      const int64_t columns = (n + panel - 1) / panel * panel;
      for (int i = 0; i < r; i++) {
        const float* q = head.q[i0 + g + i];
        float* to = scaled + i * depth;
        int64_t c = 0;
        for (; c + lanes <= depth; c += lanes) store(to + c, load(q + c) * scale);
        if (c < depth) store(to + c, load(q + c, int(depth - c)) * scale, int(depth - c));
      }
      Tile t = {depth, scaled, depth, 1, nullptr, panel, nullptr, score_row, false, 0};
      for (int64_t j = 0; j < columns; j += panel) {
        t.b = head.panels + (k0 + j) * depth;
        t.c = scores + j;
        panel_tile(r, t);
      }
      for (int i = 0; i < r; i++) {
        const int64_t query = i0 + g + i, end = p.end_of(query, seq.keys, seq.queries) - k0, visible = end < 0 ? 0 : end < n ? end
                                                                                                                             : n;
        float *s = scores + i * score_row, *y = head.y + query * width;
        if (!mask.absent()) add_mask(mask, mask_at + query * mask.stride[2] + k0 * mask.stride[3], visible, s);
        if (visible < columns) hide(s, visible, columns);
        const float before = most[g + i], sum = weigh(s, columns, &most[g + i]);
        if (k0 && most[g + i] != before) {
          const vf fade = exp2(splat(before - most[g + i]));
          total[g + i] *= fade[0];
          int64_t c = 0;
          for (; c + lanes <= width; c += lanes) store(y + c, load(y + c) * fade);
          if (c < width) store(y + c, load(y + c, int(width - c)) * fade, int(width - c));
        }
        total[g + i] += sum;
        if (p.state) {
          float keep[key_block];
          draw_keep(p, head.first_row + query, k0, n, keep);
          for (int64_t j = 0; j < n; j++) s[j] *= keep[j];
        }
      }
      wide_tile(r, {n, scores, score_row, 1, head.v[k0], head.v.row, head.y + (i0 + g) * width, width, k0 > 0, 0}, width);
    }
  }
  for (int64_t i = 0; i < rows; i++) {
    float* y = head.y + (i0 + i) * width;
    const bool nothing = most[i] == minus_infinity && total[i] == 0.0f;
    const vf norm = splat(1.0f / total[i]);
    for (int64_t c = 0; c < width; c += lanes) {
      const int n = int(width - c < lanes ? width - c : lanes);
      store(y + c, nothing ? vf{} : load(y + c, n) * norm, n);
    }
    if (head.lse) head.lse[i0 + i] = nothing ? minus_infinity : most[i] * ln2 + log(splat(total[i]))[0];
  }
}

inline Status attention(const Call& call) {
  const AttentionProblem p = attention_problem(call, false);
  if (p.batch * p.groups == 0 || p.queries == 0) return {};
  if (few_queries(p)) return decode(call, false);
  ACCELNN_TRY(check_starts(p));
  const AttentionLayout w = attention_layout(p);
  float* const work = static_cast<float*>(call.work);
  const Mask mask(p.mask);
  const Operand q(p.q, w.copy_q, work + w.q_at), v(p.v, w.copy_v, work + w.v_at);
  const int64_t items = p.items(), flops = 2 * p.flops();
  const auto panels_of = [&](int64_t item) {
    const int64_t n = item / p.groups, g = item % p.groups;
    return work + w.panels + (p.q_starts ? g * w.panel_floats + panel_place(p.k_starts[n], n) * p.depth : item * w.panel_floats);
  };
  const auto make_panels = [&](int64_t item) __attribute__((noinline)) {
    const Sequence seq = p.sequence(item / p.groups);
    pack_rows(p.k.as<float>() + seq.b * p.k.stride[0] + item % p.groups * p.k.stride[1] + seq.first_key * p.k.stride[2], p.k.stride[2], p.k.stride[3], seq.keys,
              p.depth, panels_of(item));
  };
  float *const y = call.out[0].as<float>(), *const lse = call.out[1].absent() ? nullptr : call.out[1].as<float>();
  const int64_t most = (p.longest() + query_block - 1) / query_block;      // blocks of a head
  const auto queries = [&](int64_t item, int64_t block) __attribute__((noinline)) {
    const Sequence seq = p.sequence(item / p.groups);
    const int64_t blocks = (seq.queries + query_block - 1) / query_block, g = item % p.groups, h = g * p.repeat + block / most, at = block % most;
    if (at >= blocks) return;
    const int64_t i0 = at * seq.queries / blocks, i1 = (at + 1) * seq.queries / blocks, row = (seq.b * p.heads + h) * p.queries + seq.first_query;
    const Rows own_q = q.of(seq.b, h), own_v = v.of(seq.b, g);
    const Rows head_q = {own_q[seq.first_query], own_q.row}, head_v = {own_v[seq.first_key], own_v.row};
    const Head head = {head_q, head_v, panels_of(item), y + row * p.width, lse ? lse + row : nullptr, h, row, seq};
    attend_queries(p, mask, head, i0, i1 - i0);
  };
  if (w.copy_q) parallel(call, p.batch * p.heads, p.q.count() * 8, [&](int64_t i) { copy_head(p.q, i, work + w.q_at); });
  if (w.copy_v) parallel(call, p.batch * p.groups, p.v.count() * 8, [&](int64_t i) { copy_head(p.v, i, work + w.v_at); });
  const auto sees_nothing = [&](int64_t h, int64_t from, int64_t to) {
    for (int64_t c = from * p.width; c < to * p.width; c++) y[h * p.queries * p.width + c] = 0.0f;
    for (int64_t i = from; i < to && lse; i++) lse[h * p.queries + i] = minus_infinity;
  };
  for (int64_t h = 0; h < p.heads && p.q_starts; h++) {
    sees_nothing(h, 0, p.q_starts[0]);
    sees_nothing(h, p.q_starts[p.sequences], p.queries);
  }
  const int64_t blocks = p.repeat * most;
  if (w.parts == 1) {
    parallel(call, items, flops, [&](int64_t item) {
      make_panels(item);
      for (int64_t block = 0; block < blocks; block++) queries(item, block);
    });
    return {};
  }
  parallel(call, items, flops, make_panels);
  // One item after the other, so that its keys stay in L2 (not measured apart from the rest). Causal: later queries see more
  // keys, and the longest parts first leave the shortest wait at the end.
  parallel(call, items * blocks, flops, [&](int64_t part) { queries(part / blocks, blocks - 1 - part % blocks); });
  return {};
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
