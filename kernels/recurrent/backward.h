// Backward through time, in the opposite order of steps: a round takes the cotangents of the sums of the step before it (in its order) back through w_hh, then
// through the cell of its own step, for its hidden units. Parts meet once a round (twice with a projection), or are sequences and never do (rounds.h).
// Weights' gradients are products of whole sequences, an op of their own (wgrad.h).
// On two threads 64x28x28x128 took 5.9 ms on a quiet machine and 11.1 (0.86 of torch) beside a neighbour while parts met in each of 57 rounds.
// Forward and backward of an LSTM on one thread against torch: 1.43 (1x100x128x128), 1.20 (32x50x128x256), 1.11 (64x28x28x128), 1.36 (1x160x40x256); twice
// is out of reach at batch 32: torch's 43 ms are 67 % of the multiply-add rate, ours 80 %. What brought it there, all together 38.7 to 35.9, 11.7 to 10.1 and
// 6.07 to 5.69 ms in the last three: both weights' gradients as one product (12.6 ms instead of 14.6), cells and packing in the order in which memory lies
// (block by block every line is another page), prefetches of what is written far apart. Since then the weights' gradients are one op (wgrad.h).
// The least that one thread could take: multiply-adds 0.75, 29, 7.1, 3.9 ms (at batch 1 what L2 gives), of torch's 1.74, 45, 12.9, 8.1: 2.3, 1.56, 1.8, 2.1.
// Of this op, 64x28x28x128 (3.1 ms): 61 % are the products (2.06 ms at the peak), 26 % the cells, half of which wait for what forward saved, 9 % dy.
// Bursts of prefetches to L2 before each pair's product, for all that the step's cells read and write: nothing (3.12 to 3.24 ms, without 2.96 to 3.56;
// 32x50x128x256 9.39 to 9.85, without 9.28 to 9.70). Those of the next sequence from within the cells: 7.7 to 6.9 % of a training step's samples.
#pragma once
#include "recurrent/generic.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct RecurrentBackward {
  const Call& call;
  RecurrentProblem p;
  int64_t d;
  RecurrentSpace s;
  int64_t row0 = 0, most_rows = INT64_MAX;      // as in RecurrentForward

  RecurrentBackward(const Call& c, const RecurrentProblem& q, int64_t direction) : call(c), p(q), d(direction) {
    const size_t bytes = recurrent_grad_space(p, nullptr).bytes;
    s = recurrent_grad_space(p, static_cast<char*>(call.work) + size_t(d) * bytes);
  }

  ACCELNN_INLINE const TensorView& weights(int which) const { return call.in[which + (d ? recurrent_grad_in::second - recurrent_grad_in::w_hh : 0)]; }
  ACCELNN_INLINE int64_t time(int64_t round) const { return p.backwards(d) ? round : p.steps - 1 - round; }
  ACCELNN_INLINE int64_t rows(int64_t round) const { return round < 0 || round >= p.steps ? 0 : rows_of(s.rows[time(round)], row0, most_rows); }
  void keep_rows(Range own) {
    row0 = own.begin;
    most_rows = own.end - own.begin;
    for (float*& g : s.dgate) g += row0 * p.dgate_row;
    s.dh += row0 * p.h_row;
    if (s.c) s.c += row0 * p.padded();
    if (s.du) s.du += row0 * p.u_row;
    s.order += row0;
  }
  ACCELNN_INLINE int64_t at(int64_t t, int64_t b) const { return (d * p.steps + t) * p.batch + b; }
  // Panels of w_hh as a matrix [G H, P], k the gates of all units, padded to blocks in the order of dgate's rows; of w_hr as [P, H].
  // Row by row of w_hh, to all panels at once: panel by panel each of its lines would be another page, sixteen times.
  void prepare_outputs(Range blocks) {
    const float* const w = weights(recurrent_grad_in::w_hh).as<float>();
    const int64_t panel = unit_block * p.gates * p.padded(), end = blocks.end * unit_block < p.outputs ? blocks.end * unit_block : p.outputs;
    float* to = s.w_hh;
    for (int64_t unit = 0; unit < p.padded(); unit += unit_block)
      for (int g = 0; g < p.gates; g++)
        for (int64_t u = unit; u < unit + unit_block; u++, to += unit_block)
          for (int64_t q = blocks.begin; q < blocks.end; q++)
            for (int64_t j = q * unit_block; j < (q + 1) * unit_block; j += lanes) {
              const int64_t left = u < p.hidden ? end - j : 0;
              const float* const from = w + (g * p.hidden + u) * p.outputs + j;
              store(to + q * panel + j % unit_block, left >= lanes ? load(from) : left > 0 ? load(from, int(left))
                                                                                           : vf{});
            }
  }
  void prepare_units(Range blocks) {
    if (!s.w_hr) return;
    const float* const w = weights(recurrent_grad_in::w_hr).as<float>();
    for (int64_t q = blocks.begin; q < blocks.end; q++) {
      const int64_t some = p.hidden - q * unit_block < unit_block ? p.hidden - q * unit_block : unit_block;
      pack_panel(w + q * unit_block, p.hidden, 1, p.outputs, some, s.w_hr + q * unit_block * p.outputs);
    }
  }
  void begin() {
    const TensorView &dh = call.in[recurrent_grad_in::dh], &dc = call.in[recurrent_grad_in::dc];
    for (int64_t i = 0; i < p.batch; i++) {
      const int64_t b = d * p.batch + s.order[i];
      RecurrentForward::copy_row(dh.absent() ? nullptr : dh.as<float>() + b * p.outputs, s.dh + i * p.h_row, p.outputs, p.h_row);
      if (s.c) RecurrentForward::copy_row(dc.absent() ? nullptr : dc.as<float>() + b * p.hidden, s.c + i * p.padded(), p.hidden, p.padded());
      for (float* g : s.dgate) std::memset(g + i * p.dgate_row, 0, size_t(p.dgate_row) * 4);
    }
  }
  void end() {
    for (int64_t i = 0; i < p.batch; i++) {
      const int64_t b = d * p.batch + s.order[i];
      std::memcpy(call.out[1].as<float>() + b * p.outputs, s.dh + i * p.h_row, size_t(p.outputs) * 4);
      if (s.c) std::memcpy(call.out[2].as<float>() + b * p.hidden, s.c + i * p.padded(), size_t(p.hidden) * 4);
    }
  }
  void clear() {
    const TensorView& lengths = call.in[recurrent_grad_in::lengths];
    if (lengths.absent()) return;
    for (int64_t b = 0; b < p.batch; b++)
      for (int64_t t = lengths.as<int64_t>()[b]; t < p.steps; t++) {
        for (int i = 0; i <= (p.cell == cell::gru ? 2 : 0); i += 2)
          std::memset(call.out[i].as<float>() + at(t, b) * p.gates * p.hidden, 0, size_t(p.gates * p.hidden) * 4);
        if (p.projected) std::memset(call.out[3].as<float>() + at(t, b) * p.outputs, 0, size_t(p.outputs) * 4);
      }
  }

  // dh of outputs: what the last round's sums send back, and this step's own dy. (GRU: beside z dh, which the last round left there.)
  void states(int64_t k, Range blocks) {
    const int64_t n = rows(k - 1), t = k < p.steps ? time(k) : 0, depth = p.gates * p.padded();
    const TensorView& dy = call.in[recurrent_grad_in::dy];
    // Two panels at a time: a tile's columns.
    zigzag({0, (blocks.end - blocks.begin + 1) / 2}, k & 1, [&](int64_t pair) {
      const int64_t q = blocks.begin + 2 * pair, column = q * unit_block;
      const int wide = q + 1 < blocks.end ? 2 : 1;
      float* const to = s.dh + column;
      const float *const from = s.dgate[(k + 1) & 1], *const w = s.w_hh + column * depth;
      const bool add = p.cell == cell::gru;
      const auto dy_of = [&](int64_t i) __attribute__((always_inline)) {
        const int64_t b = s.order[i];
        return dy.as<float>() + ((p.batch_first ? b * p.steps + t : t * p.batch + b) * p.directions + d) * p.outputs + column;
      };
      for (int64_t i = 0; !dy.absent() && i < rows(k); i++)      // while the product takes its time
        for (int j = 0; j < wide; j++) __builtin_prefetch(dy_of(i) + j * unit_block);
      if (n == 1)
        for (int j = 0; j < wide; j++) row_by_panel<1>(depth, from, w + j * unit_block * depth, to + j * unit_block, add);
      else if (n)
        rows_by_panel(n, depth, from, p.dgate_row, w, unit_block, unit_block * depth, wide * int(unit_block), nullptr, to, p.h_row, add,
                      (k & 1 ? pair > 0 : column + 2 * unit_block < blocks.end * unit_block) ? (k & 1 ? -2 : 2) * unit_block * depth : 0);
      const int64_t some = p.outputs - column < wide * unit_block ? p.outputs - column : wide * unit_block;
      for (int64_t i = 0; i < rows(k); i++) {
        const int64_t b = s.order[i];
        float* const row = to + i * p.h_row;
        if (!dy.absent()) {
          const float* const y = dy_of(i);
          for (int64_t j = 0; j < some; j++) row[j] = row[j] + y[j];
        }
        if (p.projected) std::memcpy(call.out[3].as<float>() + at(t, b) * p.outputs + column, row, size_t(some) * 4);
      }
    });
  }
  // Through the projection: du = dh w_hr.
  void unproject(int64_t k, Range blocks) {
    const int64_t n = rows(k);
    for (int64_t q = blocks.begin; n && q < blocks.end; q++)
      rows_by_panel(n, p.outputs, s.dh, p.h_row, s.w_hr + q * unit_block * p.outputs, unit_block, unit_block, int(unit_block), nullptr, s.du + q * unit_block,
                    p.u_row, false);
  }
  // Sequence by sequence: what is saved of one lies together.
  void cells(int64_t k, Range blocks) {
    switch (p.cell) {
      case cell::lstm: return cells_of<cell::lstm>(k, blocks);
      case cell::gru: return cells_of<cell::gru>(k, blocks);
      case cell::rnn_tanh: return cells_of<cell::rnn_tanh>(k, blocks);
      default: return cells_of<cell::rnn_relu>(k, blocks);
    }
  }
  template <int kind> void cells_of(int64_t k, Range blocks) {
    const int64_t t = time(k), H = p.hidden, n = rows(k), end = blocks.end * unit_block < H ? blocks.end * unit_block : H;
    const int rows_out = p.gates;
    for (int64_t i = 0; i < n; i++) {
      const int64_t b = s.order[i];
      const float* const saved = call.in[recurrent_grad_in::gates].as<float>() + at(t, b) * p.saved * H;
      float* const di = call.out[0].as<float>() + at(t, b) * rows_out * H;
      [[maybe_unused]] float* const dj = kind == cell::gru ? call.out[2].as<float>() + at(t, b) * rows_out * H : nullptr;
      const int64_t next = at(t, s.order[i + 1 < n ? i + 1 : i]);
      const float* const ahead_saved = call.in[recurrent_grad_in::gates].as<float>() + next * p.saved * H;
      const float* const ahead_di = call.out[0].as<float>() + next * rows_out * H;
      for (int64_t unit = blocks.begin * unit_block; unit < end; unit += lanes) {
        const int64_t j = unit % unit_block;
        float* const panel = s.dgate[k & 1] + i * p.dgate_row + (unit - j) * rows_out;
        const int some = int(H - unit < lanes ? H - unit : lanes);
        if (j == 0 && i + 1 < n) {
          for (int g = 0; g < p.saved; g++) __builtin_prefetch(ahead_saved + g * H + unit);
          for (int g = 0; g < rows_out; g++) __builtin_prefetch(ahead_di + g * H + unit, 1);
        }
        const auto get = [&](int g) __attribute__((always_inline)) { return some == lanes ? load(saved + g * H + unit) : load(saved + g * H + unit, some); };
        const auto put = [&](float* to, vf v) __attribute__((always_inline)) {
          if (some == lanes) store(to + unit, v);
          else store(to + unit, v, some);
        };
        const auto both = [&](int g, vf v) __attribute__((always_inline)) {      // to the output, and to where the next round's product reads it
          put(di + g * H, v);
          if (some == lanes) store(panel + g * unit_block + j, v);
          else store(panel + g * unit_block + j, v, some);
        };
        float* const dh_at = p.projected ? s.du + i * p.u_row + unit : s.dh + i * p.h_row + unit;
        const vf dh = load(dh_at);
        if constexpr (kind == cell::lstm) {
          const vf gi = get(0), gf = get(1), gg = get(2), go = get(3), before = get(4);
          float* const c = s.c + i * p.padded() + unit;
          const vf tc = tanh_of(fma(gf, before, gi * gg));
          const vf dc = fma(dh * go, 1.0f - tc * tc, load(c));
          both(0, dc * gg * (gi * (1.0f - gi)));
          both(1, dc * before * (gf * (1.0f - gf)));
          both(2, dc * gi * (1.0f - gg * gg));
          both(3, dh * tc * (go * (1.0f - go)));
          if (some == lanes) store(c, dc * gf);
          else store(c, dc * gf, some);
        } else if constexpr (kind == cell::gru) {
          const vf r = get(0), z = get(1), m = get(2), inner = get(3);
          const float* const h = call.in[recurrent_grad_in::before].as<float>() + at(t, b) * H + unit;
          const vf before = some == lanes ? load(h) : load(h, some);
          const vf dn = dh * (1.0f - z) * (1.0f - m * m), dr = dn * inner * (r * (1.0f - r)), dz = dh * (before - m) * (z * (1.0f - z));
          both(0, dr);
          both(1, dz);
          put(di + 2 * H, dn);
          const vf dm = dn * r;
          put(dj, dr);
          put(dj + H, dz);
          put(dj + 2 * H, dm);
          if (some == lanes) store(panel + 2 * unit_block + j, dm);
          else store(panel + 2 * unit_block + j, dm, some);
          if (some == lanes) store(dh_at, dh * z);
          else store(dh_at, dh * z, some);
        } else {
          const vf h = get(0);
          both(0, kind == cell::rnn_tanh ? dh * (1.0f - h * h) : select(h > 0.0f, dh, vf{}));
        }
      }
    }
  }
};

inline Status recurrent_grad(const Call& call) {
  const RecurrentProblem p = recurrent_grad_problem(call);
  if (p.batch == 0) return {};
  RecurrentBackward first(call, p, 0), second(call, p, p.directions - 1), *const all[2] = {&first, &second};
  for (int64_t d = 0; d < p.directions; d++) {
    ACCELNN_TRY(recurrent_order(p, call.in[recurrent_grad_in::lengths], all[d]->s));
    all[d]->begin();
    all[d]->clear();
  }
  return in_rounds(call, p, all, p.batch * p.gates * p.hidden * p.outputs * p.directions, [&](int64_t parts, const auto& work) {
    const auto blocks = [&](int64_t n, int64_t part) { return range_of(n, parts, part); };
    work([&](RecurrentBackward& f, int64_t part) {
      f.prepare_outputs(blocks(p.out_blocks, part));
      f.prepare_units(blocks(p.blocks, part));
    });
    const auto end = [](RecurrentBackward& f, int64_t part) {
      if (!part) f.end();
    };
    if (parts_are_rows(p, parts, !call.in[recurrent_grad_in::lengths].absent(), p.gates * p.hidden * p.outputs)) {
      work([&](RecurrentBackward& f, int64_t part) {
        RecurrentBackward own = f;
        own.keep_rows(blocks(p.batch, part));
        for (int64_t k = 0; k <= p.steps; k++) {
          own.states(k, {0, p.out_blocks});
          if (p.projected && k < p.steps) own.unproject(k, {0, p.blocks});
          if (k < p.steps) own.cells(k, {0, p.blocks});
        }
      });
      return work(end);
    }
    for (int64_t k = 0; k <= p.steps; k++) {
      work([&](RecurrentBackward& f, int64_t part) {
        f.states(k, blocks(p.out_blocks, part));
        if (!p.projected && k < p.steps) f.cells(k, blocks(p.blocks, part));
      });
      if (p.projected && k < p.steps)
        work([&](RecurrentBackward& f, int64_t part) {
          f.unproject(k, blocks(p.blocks, part));
          f.cells(k, blocks(p.blocks, part));
        });
    }
    work(end);
  });
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
