// Forward: for each chunk of steps the input product, then step after step the recurrent product and the cell, hidden block by hidden block: a block's sums
// are in L1 when its gates are computed. Parts are ranges of hidden blocks, which meet once a step, or of sequences, which never meet (rounds.h).
// What one thread can reach (Zen 4: 117 GFLOP/s, 117 GB/s from L2, 82 from L3), and what of it is reached, in us:
//   LSTM 1x100x128x128   w_hh out of L2 in every step 224, w_ih once for 8 steps 28, cells 20: 272. 312 (1.27 times the best of torch and onnxruntime)
//   LSTM 1x160x40x256    w_hh, 1 MiB, as large as L2: 1434 if all of it stayed there, about 1530 with a fifth from L3; cells 61. 1790 (1.16)
//   LSTM 32x50x128x256   multiply-adds 10755, cells 500: 11255. 11500 (1.09). The products alone take 10890: 98.6 % of the peak, as no order can beat
//   LSTM 64x28x28x128    multiply-adds 2447, cells 277: 2724. 2840 (1.17). GRU in this order 235 (1.46), 1330 (1.19), 8630 (1.23), 2110 (1.48)
// Tried for more. At batch 1: all orders of ahead.h; w_hh on 2 MiB pages instead of 4 KiB ones 1651, 1655 (nothing); prefetches (panels.h); chunks of 8, 14,
// 28 steps for an input product of its own 119, 118.6, 117; blocks in a zigzag 8 to 10 %. With many sequences: tiles of 14 rows by 2 gates for the LSTM's 7
// by 4 (half of the weights' traffic, but sums twice): 11036, 2613 for products that take 10890, 2500; no prefetch of the next block's weights 10907, 2500;
// of this block's as well, to L1, 10898, 2503. 16 cells of an LSTM are 96 instructions, 45 of which share the multiply-add unit: 12 ns there, 19 measured; what
// is left are shorter polynomials for the logistic functions (three multiply-adds of 45). With fewer bytes there is more: w_hh in bf16, or int8 (bytes.h).
#pragma once
#include "recurrent/ahead.h"
#include "recurrent/bytes.h"
#include "recurrent/cell_rows.h"
#include "recurrent/panels.h"
#include "recurrent/rounds.h"
#include "recurrent/tiles.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct RecurrentForward {
  const Call& call;
  RecurrentProblem p;
  int64_t d;
  RecurrentSpace s;
  const float *w_ih, *w_hh;                   // panels
  const uint16_t* halves;                     // w_hh in bf16, for single rows
  const int8_t* bytes;                        // w_hh in int8
  SpecialFunctions special;
  int64_t row0 = 0, most_rows = INT64_MAX;    // sequences of a part that has its own (order, states and inputs then begin there)
  float clip;

  RecurrentForward(const Call& c, const RecurrentProblem& q, int64_t direction) : call(c), p(q), d(direction) {
    s = recurrent_space(p, static_cast<char*>(call.work) + size_t(d) * recurrent_space(p, nullptr).bytes);
    w_ih = p.packed ? weights(recurrent_in::w_ih).as<float>() : s.w_ih;
    w_hh = p.packed && !p.halves && !p.bytes ? weights(recurrent_in::w_hh).as<float>() : s.w_hh;
    halves = p.halves ? weights(recurrent_in::w_hh).as<uint16_t>() : nullptr;
    bytes = p.bytes ? weights(recurrent_in::w_hh).as<int8_t>() : nullptr;
    special = special_functions(c, p, d);
    clip = float(call.real(recurrent_attr::clip));
  }

  ACCELNN_INLINE const TensorView& weights(int which) const { return call.in[which + (d ? recurrent_in::second - recurrent_in::w_ih : 0)]; }
  ACCELNN_INLINE const float* bias(int which) const { return weights(which).absent() ? nullptr : weights(which).as<float>(); }
  ACCELNN_INLINE int64_t time(int64_t step) const { return p.backwards(d) ? p.steps - 1 - step : step; }
  // Steps are taken in the direction's order; sequences that have not begun yet or have ended are the last rows.
  ACCELNN_INLINE int64_t rows(int64_t step) const { return step < 0 || step >= p.steps ? 0 : rows_of(s.rows[time(step)], row0, most_rows); }
  void keep_rows(Range own) {
    row0 = own.begin;
    most_rows = own.end - own.begin;
    for (float*& h : s.h) h += row0 * p.h_row;
    for (float*& x : s.x) x += row0 * p.x_row;
    if (s.c) s.c += row0 * p.padded();
    if (s.u) s.u += row0 * p.u_row;
    s.order += row0;
  }
  ACCELNN_INLINE const float* x_of(int64_t t, int64_t b) const {
    return call.in[recurrent_in::x].as<float>() + (p.batch_first ? b * p.steps + t : t * p.batch + b) * p.inputs;
  }
  ACCELNN_INLINE float* y_of(int64_t t, int64_t b) const {
    return call.out[0].as<float>() + ((p.batch_first ? b * p.steps + t : t * p.batch + b) * p.directions + d) * p.outputs;
  }
  ACCELNN_INLINE float* gates_of(int64_t t, int64_t b) const {
    const TensorView& g = call.out[p.cell == cell::lstm ? 3 : 2];
    return g.absent() ? nullptr : g.as<float>() + ((d * p.steps + t) * p.batch + b) * p.saved * p.hidden;
  }
  ACCELNN_INLINE float* before_of(int64_t t, int64_t b) const {
    const TensorView& g = call.out[p.cell == cell::lstm ? 4 : 3];
    return g.absent() ? nullptr : g.as<float>() + ((d * p.steps + t) * p.batch + b) * p.outputs;
  }

  // Panels, biases and first states: everything of hidden blocks [q0, q1).
  void prepare(Range blocks) {
    const int64_t units = p.hidden;
    const float *b_ih = bias(recurrent_in::b_ih), *b_hh = bias(recurrent_in::b_hh);
    for (int64_t q = blocks.begin; q < blocks.end; q++) {
      const int64_t panel = q * p.gates * unit_block;
      if (!p.packed) {
        pack_units(weights(recurrent_in::w_ih).as<float>(), units, q * unit_block, p.gates, p.inputs, s.w_ih + panel * p.inputs);
        pack_units(weights(recurrent_in::w_hh).as<float>(), units, q * unit_block, p.gates, p.outputs, s.w_hh + panel * p.outputs);
      } else if (p.halves && s.w_hh) {
        widen_pairs(halves + panel * ((p.outputs + 1) / 2) * 2, p.gates, p.outputs, s.w_hh + panel * p.outputs);
      }
      float* const b = s.bias + q * p.slots * unit_block;
      for (int g = 0; g < p.slots; g++)
        for (int64_t u = 0; u < unit_block; u++) {
          const int64_t unit = q * unit_block + u;
          const bool apart = p.cell == cell::gru && g >= 2;                // slot 2: what r multiplies, slot 3: the rest of n
          const int64_t at = (apart ? 2 : g) * units + unit;
          b[g * unit_block + u] = unit >= units ? 0.0f : (b_ih && !(apart && g == 2) ? b_ih[at] : 0.0f) + (b_hh && !(apart && g == 3) ? b_hh[at] : 0.0f);
        }
    }
  }
  void begin() {
    const TensorView &h0 = call.in[recurrent_in::h0], &c0 = call.in[recurrent_in::c0];
    for (int64_t i = 0; i < p.batch; i++) {
      const int64_t b = d * p.batch + s.order[i];
      for (float* h : s.h) copy_row(h0.absent() ? nullptr : h0.as<float>() + b * p.outputs, h + i * p.h_row, p.outputs, p.h_row);
      if (s.c) copy_row(c0.absent() ? nullptr : c0.as<float>() + b * p.hidden, s.c + i * p.padded(), p.hidden, p.padded());
      if (p.steps && i < s.rows[0]) continue;                              // a sequence of no steps ends as it begins
      copy_row(s.h[0] + i * p.h_row, call.out[1].as<float>() + b * p.outputs, p.outputs, p.outputs);
      if (s.c) copy_row(s.c + i * p.padded(), call.out[2].as<float>() + b * p.hidden, p.hidden, p.hidden);
    }
    if (s.w_hr) {
      const float* w = bias(recurrent_in::w_hr);
      for (int64_t q = 0; q < p.out_blocks; q++) pack_units(w, p.outputs, q * unit_block, 1, p.hidden, s.w_hr + q * unit_block * p.hidden);
    }
  }
  static void copy_row(const float* from, float* to, int64_t n, int64_t whole) {
    if (from) std::memcpy(to, from, size_t(n) * 4);
    else std::memset(to, 0, size_t(n) * 4);
    std::memset(to + n, 0, size_t(whole - n) * 4);
  }

  // Rows of x for steps [k, k + chunk), the sequences of each step in order: where they lie at one distance, or copied there.
  bool straight() const {
    if (x_stride() % 512 == 0) return false;                              // a tile's rows would lie in the same sets of L1
    if (p.batch == 1) return true;
    return call.in[recurrent_in::lengths].absent() && (p.chunk == 1 || (!p.batch_first && !p.backwards(d)));
  }
  int64_t x_stride() const {
    if (p.batch == 1) return p.backwards(d) ? -p.inputs : p.inputs;
    return p.batch_first && p.chunk == 1 ? p.steps * p.inputs : p.inputs;
  }
  // Piece by piece: parts share it, one round before it is read.
  void gather_x(int64_t k, int64_t part, int64_t parts) {
    if (straight()) return;
    float* to = s.x[k / p.chunk & 1];
    for (int64_t step = k; step < k + p.chunk && step < p.steps; step++) {
      const int64_t n = rows(step);
      const Range own = range_of(n, parts, part);
      for (int64_t i = own.begin; i < own.end; i++) std::memcpy(to + i * p.x_row, x_of(time(step), s.order[i]), size_t(p.inputs) * 4);
      to += n * p.x_row;
    }
  }
  // Sums of a chunk, of `many` steps from k on, for hidden blocks: biases and input product.
  void input_product(int64_t k, int64_t many, Range blocks) {
    int64_t n = 0;
    for (int64_t step = k; step < k + many && step < p.steps; step++) n += rows(step);
    if (!n) return;
    const float* a = s.x[k / p.chunk & 1];
    int64_t a_row = p.x_row;
    if (straight()) {                                                     // a single sequence may begin later than the chunk
      int64_t step = k;
      while (!rows(step)) step++;
      a = x_of(time(step), 0);
      a_row = x_stride();
    }
    const int64_t b_row = p.gates * unit_block;
    for (int64_t q = blocks.begin; q < blocks.end; q++) {
      const float* const w = w_ih + q * p.inputs * b_row;
      const float* const b = s.bias + q * p.slots * unit_block;
      float* const c = s.sums + q * p.slots * unit_block;
      for (int g = 0; g < p.gates;) {
        const int pair = p.cell == cell::gru && g == 2 ? 1 : p.gates - g >= 2 ? 2
                                                                              : 1;
        const int slot = p.cell == cell::gru && g == 2 ? 3 : g;
        rows_by_panel(n, p.inputs, a, a_row, w + g * unit_block, b_row, unit_block, pair * int(unit_block), b + slot * unit_block, c + slot * unit_block,
                      p.sums_row, false);
        g += pair;
      }
      if (p.cell == cell::gru)
        for (int64_t i = 0; i < n; i++) std::memcpy(c + i * p.sums_row + 2 * unit_block, b + 2 * unit_block, unit_block * 4);
    }
  }

  // sums += h w_hh for gates [g0, g1) of block q; `a`: the states.
  template <int G> ACCELNN_INLINE void one_row(const float* a, int64_t q, int g, float* c) {
    const int64_t at = (q * p.outputs * p.gates + g) * unit_block;
    if (halves && p.batch == 1) row_by_pairs<G>(p.outputs, a, halves + q * ((p.outputs + 1) / 2) * p.gates * 32, c, true);
    else row_by_panel<G>(p.outputs, a, w_hh + at, c, true);
  }
  void product_of_bytes(int64_t n, int64_t q, int64_t place, float* c) {
    const int64_t quads = (p.outputs + 3) / 4;
    const uint8_t* const a = s.bytes_of_h + place * p.batch * p.byte_row;
    const float* const scale = s.byte_scale + place * p.batch;
    const int8_t* const w = bytes + q * (quads + 2) * p.gates * 64;
    if (p.gates == 4) all_rows_by_bytes<4>(n, a, p.byte_row, scale, quads, w, c, p.sums_row);
    else if (p.gates == 3) all_rows_by_bytes<3>(n, a, p.byte_row, scale, quads, w, c, p.sums_row);
    else all_rows_by_bytes<1>(n, a, p.byte_row, scale, quads, w, c, p.sums_row);
  }
  // Every part rounds all of h for itself, the same bits: another meeting of the parts would take longer.
  void round_states(int64_t k, int64_t n, int64_t place) {
    for (int64_t i = 0; i < n; i++) {
      const int64_t at = place * p.batch + i;
      s.byte_scale[at] = round_row(s.h[k & 1] + i * p.h_row, p.outputs, s.bytes_of_h + at * p.byte_row, p.byte_row);
    }
  }
  void recurrent_product(const float* a, int64_t a_row, int64_t n, int64_t q, int g0, int g1, float* c) {
    if (n == 1 && g0 == 0 && g1 == p.gates) {
      if (p.gates == 4) return one_row<4>(a, q, 0, c);
      if (p.gates == 3) return one_row<3>(a, q, 0, c);
      return one_row<1>(a, q, 0, c);
    }
    const float* const w = w_hh + q * p.outputs * p.gates * unit_block;
    for (int g = g0; g < g1;) {
      const int pair = g1 - g >= 2 ? 2 : 1;
      rows_by_panel(n, p.outputs, a, a_row, w + g * unit_block, p.gates * unit_block, unit_block, pair * int(unit_block), nullptr, c + g * unit_block,
                    p.sums_row, true);
      g += pair;
    }
  }

  // One step of hidden blocks. The states of step k are read from h[k & 1] and written to the other. No product in the first step, where the states are
  // zeros, would take 64x28x28x128 with gates from 3.22 to 3.11 ms, and hide a weight that is not finite.
  void step(int64_t k, Range blocks, int64_t part) {
    const int64_t n = rows(k);
    if constexpr (has_tiles)
      if (by_tiles()) return n ? tiled_step(k, blocks) : void();
    if constexpr (has_tiles)
      if (by_ahead()) {
        if (p.gates == 3) return halves ? ahead<3, true>(k, blocks) : ahead<3, false>(k, blocks);
        return halves ? ahead<4, true>(k, blocks) : ahead<4, false>(k, blocks);
      }
    if (k % p.chunk == 0) input_product(k, p.chunk, blocks);
    if (!n) return;
    int64_t row = 0;
    for (int64_t i = k - k % p.chunk; i < k; i++) row += rows(i);
    float* const sums = s.sums + row * p.sums_row;
    const CellRows step = cells(k);
    if (bytes) round_states(k, n, part);
    zigzag(blocks, k & 1, [&](int64_t q) {
      float* const c = sums + q * p.slots * unit_block;
      expect_writes(step, q * unit_block);
      if (bytes) product_of_bytes(n, q, part, c);
      else recurrent_product(s.h[k & 1], p.h_row, n, q, 0, p.late ? 2 : p.gates, c);
      if (p.late) return reset(k, n, q, c);
      cell_rows(p.cell, step, q * unit_block, c);
    });
    if (!p.late) finish(k, blocks);
  }
  // Both products and the cells of a block at once. Weights of more than L2 (1.5 MiB in 32x50x128x256): the next block's are on their way meanwhile.
  bool by_tiles() const { return p.chunk == 1 && p.batch >= tiles_from && !bytes && !p.late; }
  void tiled_step(int64_t k, Range blocks) {
    const CellRows step = cells(k);
    StepTile t;
    const bool direct = straight();
    t.x = direct ? x_of(time(k), s.order[0]) : s.x[k & 1];      // direct: sequences are in their own order
    t.x_row = direct ? x_stride() : p.x_row;
    t.h = s.h[k & 1];
    t.h_row = p.h_row;
    t.inputs = p.inputs;
    t.outputs = p.outputs;
    const int64_t ih = p.inputs * p.gates * unit_block, hh = p.outputs * p.gates * unit_block, on = k & 1 ? -1 : 1;
    zigzag(blocks, k & 1, [&](int64_t q) {
      const int64_t next = q + on < blocks.begin || q + on >= blocks.end ? q : q + on;
      t.w_ih = w_ih + q * ih;
      t.w_hh = w_hh + q * hh;
      t.bias = s.bias + q * p.slots * unit_block;
      t.next_ih = w_ih + next * ih;
      t.next_hh = w_hh + next * hh;
      step_by_tiles(p.cell, t, step, q * unit_block);
    });
    finish(k, blocks);
  }
  // One whole sequence, step by step beside the input products of the next chunk of steps; the first chunk, of what is left over, has none before it.
  bool by_ahead() const {
    return p.batch == 1 && p.cell >= cell::lstm && p.inputs && !bytes && !p.late && !(halves && p.outputs % 2) &&
        call.in[recurrent_in::lengths].absent() && straight();
  }
  template <int G, bool half> void ahead(int64_t k, Range blocks) {
    constexpr int64_t R = ahead_rows<G, half>, tiles = G / ahead_gates<G, half>;
    const int64_t first = (p.steps - 1) % R + 1, chunk = (k - first + R) / R, at = chunk ? (k - first) % R : k, many = chunk ? R : first;
    const int64_t next = first + chunk * R, all = next < p.steps ? (blocks.end - blocks.begin) * tiles * p.inputs : 0;
    if (k == 0) input_product(0, first, blocks);
    AheadStep a;
    a.h = s.h[k & 1];
    a.outputs = p.outputs;
    a.w_hh = w_hh;
    a.halves = halves;
    a.begin = blocks.begin;
    a.end = blocks.end;
    a.turned = k & 1;
    a.sums = s.sums + ((chunk & 1) * most_ahead + at) * p.sums_row;
    a.bias = s.bias;
    a.x = all ? x_of(time(next), 0) : nullptr;
    a.x_row = x_stride();
    a.inputs = p.inputs;
    a.w_ih = w_ih;
    a.later = s.sums + (~chunk & 1) * most_ahead * p.sums_row;
    a.sums_row = p.sums_row;
    a.from = all * at / many;
    a.to = all * (at + 1) / many;
    a.beside = all ? tiles * p.inputs / many + 2 : 0;
    const CellRows step = cells(k);
    for (int64_t q = blocks.begin; q < blocks.end; q++) expect_writes(step, q * unit_block);
    step_ahead<G, half>(a);
    for (int64_t q = blocks.begin; q < blocks.end; q++) cell_rows(p.cell, step, q * unit_block, a.sums + q * p.slots * unit_block);
    finish(k, blocks);
  }
  // linear_before_reset = 0: a second round, once r h of all units is there.
  void late_step(int64_t k, Range blocks) {
    const int64_t n = rows(k);
    int64_t row = 0;
    for (int64_t i = k - k % p.chunk; i < k; i++) row += rows(i);
    for (int64_t q = blocks.begin; n && q < blocks.end; q++) {
      float* const c = s.sums + row * p.sums_row + q * p.slots * unit_block;
      recurrent_product(s.u, p.u_row, n, q, 2, 3, c);
      cell_rows(p.cell, cells(k), q * unit_block, c);
    }
    finish(k, blocks);
  }
  void reset(int64_t k, int64_t n, int64_t q, float* c) {
    for (int64_t i = 0; i < n; i++)
      for (int j = 0; j < unit_block; j += lanes) {
        vf r = load(c + i * p.sums_row + j);
        if (clip > 0) r = cut(r, splat(clip));
        r = p.special ? cell_function(special.f[0], r) : sigmoid_of(r);
        store(s.u + i * p.u_row + q * unit_block + j, r * load(s.h[k & 1] + i * p.h_row + q * unit_block + j));
      }
  }

  CellRows cells(int64_t k) const {
    CellRows r = {};
    r.n = rows(k);
    r.units = p.hidden;
    r.h = s.h[k & 1];
    r.h_row = p.h_row;
    r.h_new = p.projected ? s.u : s.h[(k + 1) & 1];
    r.h_new_row = p.projected ? p.u_row : p.h_row;
    r.c = s.c;
    r.c_row = p.padded();
    r.sums_row = p.sums_row;
    r.gates = gates_of(time(k), 0);
    r.gates_row = p.saved * p.hidden;
    r.y = p.projected ? nullptr : y_of(time(k), 0);
    r.y_row = (p.batch_first ? p.steps : 1) * p.directions * p.outputs;
    r.order = s.order;
    r.clip = clip;
    r.late = p.late;
    r.projected = p.projected;
    r.special = p.special ? &special : nullptr;
    const TensorView& peephole = call.in[recurrent_in::peephole + d];
    r.peep = peephole.absent() ? nullptr : peephole.as<float>();
    return r;
  }

  // States [begin, end) of a step to y, to `before`, and of sequences that end here to h. Rows at a time: block by block every sequence's row of y is another
  // page, eight times a step.
  void deliver(int64_t k, int64_t begin, int64_t end) {
    if (begin >= end) return;
    const int64_t n = rows(k), t = time(k), ended = rows(k + 1);          // all sequences that run backwards end with the last step
    const float *const h = s.h[k & 1] + begin, *const h_new = s.h[(k + 1) & 1] + begin;
    for (int64_t i = 0; i < n; i++) {
      const int64_t b = s.order[i];
      copy_part(h_new + i * p.h_row, y_of(t, b) + begin, end - begin);
      if (float* const before = before_of(t, b)) copy_part(h + i * p.h_row, before + begin, end - begin);
      if (i >= ended) copy_part(h_new + i * p.h_row, call.out[1].as<float>() + (d * p.batch + b) * p.outputs + begin, end - begin);
    }
  }
  static ACCELNN_INLINE void copy_part(const float* from, float* to, int64_t n) {
    for (; n >= lanes; n -= lanes, from += lanes, to += lanes) store(to, load(from));
    if (n) store(to, load(from, int(n)), int(n));
  }
  void deliver_c(int64_t k, int64_t begin, int64_t end) {
    for (int64_t i = rows(k + 1); begin < end && i < rows(k); i++)
      std::memcpy(call.out[2].as<float>() + (d * p.batch + s.order[i]) * p.hidden + begin, s.c + i * p.padded() + begin, size_t(end - begin) * 4);
  }
  // After the cells of hidden blocks.
  void finish(int64_t k, Range blocks) {
    const int64_t begin = blocks.begin * unit_block, end = blocks.end * unit_block < p.hidden ? blocks.end * unit_block : p.hidden;
    if (!p.projected) deliver(k, begin, end);
    if (s.c) deliver_c(k, begin, end);
  }

  // h = u w_hr^T for blocks of outputs.
  void project(int64_t k, Range blocks) {
    const int64_t n = rows(k);
    for (int64_t q = blocks.begin; n && q < blocks.end; q++) {
      const int64_t at = q * unit_block;
      float* const to = s.h[(k + 1) & 1] + at;
      if (n == 1) row_by_panel<1>(p.hidden, s.u, s.w_hr + at * p.hidden, to, false);
      else rows_by_panel(n, p.hidden, s.u, p.u_row, s.w_hr + at * p.hidden, unit_block, unit_block, int(unit_block), nullptr, to, p.h_row, false);
    }
    deliver(k, blocks.begin * unit_block, blocks.end * unit_block < p.outputs ? blocks.end * unit_block : p.outputs);
  }

  // What lies beyond the sequences' ends.
  void clear() {
    const TensorView& lengths = call.in[recurrent_in::lengths];
    if (lengths.absent()) return;
    for (int64_t b = 0; b < p.batch; b++)
      for (int64_t t = lengths.as<int64_t>()[b]; t < p.steps; t++) {
        std::memset(y_of(t, b), 0, size_t(p.outputs) * 4);
        if (float* const save = gates_of(t, b)) std::memset(save, 0, size_t(p.saved * p.hidden) * 4);
        if (float* const before = before_of(t, b)) std::memset(before, 0, size_t(p.outputs) * 4);
      }
  }
};

inline Status recurrent(const Call& call) {
  const RecurrentProblem p = recurrent_problem(call);
  if (p.batch == 0) return {};
  RecurrentForward first(call, p, 0), second(call, p, p.directions - 1), *const all[2] = {&first, &second};
  for (int64_t d = 0; d < p.directions; d++) {
    ACCELNN_TRY(recurrent_order(p, call.in[recurrent_in::lengths], all[d]->s));
    all[d]->begin();
    all[d]->clear();
  }
  return in_rounds(call, p, all, p.batch * p.gates * p.hidden * (p.inputs + p.outputs) * p.directions, [&](int64_t parts, const auto& work) {
    const auto blocks = [&](int64_t n, int64_t part) { return range_of(n, parts, part); };
    if (has_tiles && first.by_tiles() &&
        parts_are_rows(p, parts, !call.in[recurrent_in::lengths].absent(), p.gates * p.hidden * (p.inputs + p.outputs))) {
      work([&](RecurrentForward& f, int64_t part) { f.prepare(blocks(p.blocks, part)); });
      work([&](RecurrentForward& f, int64_t part) {
        RecurrentForward own = f;
        own.keep_rows(blocks(p.batch, part));
        for (int64_t k = 0; k < p.steps; k++) {
          own.gather_x(k, 0, 1);
          own.step(k, {0, p.blocks}, 0);
          if (p.projected) own.project(k, {0, p.out_blocks});
        }
      });
      return;
    }
    work([&](RecurrentForward& f, int64_t part) {
      f.prepare(blocks(p.blocks, part));
      f.gather_x(0, part, parts);
    });
    for (int64_t k = 0; k < p.steps; k++) {
      work([&](RecurrentForward& f, int64_t part) {
        f.step(k, blocks(p.blocks, part), part);
        if ((k + 1) % p.chunk == 0) f.gather_x(k + 1, part, parts);
      });
      if (p.late) work([&](RecurrentForward& f, int64_t part) { f.late_step(k, blocks(p.blocks, part)); });
      if (p.projected) work([&](RecurrentForward& f, int64_t part) { f.project(k, blocks(p.out_blocks, part)); });
    }
  });
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
