// One sequence. A step's recurrent product reads each weight once, out of L2, which hands over a line in two cycles: half of the multiply-adds' time is
// idle. The input products of later steps, whose weights serve several steps from registers, take that half: tile by tile, one k of a tile beside as many
// lines of w_hh as the tile has accumulators.
// us, LSTM 1x100x128x128, one thread: input products 119, recurrent ones 227, cells 24, one after the other 358, so 301; GRU 260, so 222; bf16 w_hh 287,
// so 254. At H = 256 (w_hh as large as L2) 1802, so 1772. Tiles of 8 steps by 2 gates: 301; 12 by 2: 299 to 340; 5 by 4: 314 (with bf16 w_hh 254, where 8 by
// 2 takes 266: both halves of the work want the multiply-add there). GRU 5, 6, 7 by 3: 229, 224, 222. A quarter of a tile beside every hidden
// block, accumulators written and read again each time, 308 (GRU 254). Backwards through a block's k in odd steps, so that L1 has its end: nothing (302).
#pragma once
#include "recurrent/panels.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

template <int G, bool half> constexpr int ahead_rows = G == 3 ? 7 : half ? 5
                                                                         : 8;                          // steps, and gates, of a tile
template <int G, bool half> constexpr int ahead_gates = G == 4 && !half ? 2 : G;
constexpr int64_t most_ahead = 8;

struct AheadStep {
  const float* h;                       // the state before the step
  int64_t outputs;
  const float* w_hh;                    // panels of f32, or
  const uint16_t* halves;               // of bf16 pairs, of an even number of outputs
  int64_t begin, end;                   // hidden blocks
  bool turned;                          // from the last one on
  float* sums;                          // the step's input product, to which the recurrent one is added
  const float* bias;
  const float* x;                       // of the first of the later steps
  int64_t x_row, inputs;
  const float* w_ih;
  float* later;                         // the later steps' sums
  int64_t sums_row;
  int64_t from, to;                     // their k's that are due, of all tiles of all blocks one after the other
  int64_t beside;                       // groups of a block's k that may have one beside them: by shapes alone, how many have is no matter of bits
};

// Sums of a GRU: the input part of n has a slot of its own (3), beside the recurrent part is only a bias.
template <int G, bool half> void step_ahead(const AheadStep& s) {
  constexpr int R = ahead_rows<G, half>, C = ahead_gates<G, half>, tiles = G / C, line = G * unit_block, slots = 4 * unit_block;
  constexpr int unit = half ? 2 : 1, group = (R * C / G + unit - 1) / unit * unit;
  constexpr auto slot = [](int gate) { return (G == 3 && gate == 2 ? 3 : gate) * int(unit_block); };
  vf t[R][C] = {};
  const float *x0 = s.x, *x5 = s.x, *w = s.w_ih;
  float* to = s.later;
  int64_t at = s.from, left = 0;
  const auto begin_tile = [&]() __attribute__((always_inline)) {
    const int64_t tile = at / s.inputs, k = at % s.inputs, q = s.begin + tile / tiles, gate = tile % tiles * C * unit_block;
    left = s.inputs - k;
    x0 = s.x + k;
    x5 = x0 + 5 * s.x_row;
    w = s.w_ih + (q * s.inputs + k) * line + gate;
    to = s.later + q * slots + gate;
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
      for (int c = 0; c < C; c++) t[r][c] = k ? load(to + r * s.sums_row + slot(c)) : vf{};
  };
  const auto end_tile = [&]() __attribute__((always_inline)) {
    const float* const bias = s.bias + (to - s.later);      // last: what begins with it is rounded more coarsely
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
      for (int c = 0; c < C; c++) store(to + r * s.sums_row + slot(c), left ? t[r][c] : t[r][c] + load(bias + slot(c)));
  };
  const auto input = [&]() __attribute__((always_inline)) {
    vf b[C];
#pragma GCC unroll 4
    for (int c = 0; c < C; c++) b[c] = load(w + c * unit_block);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const vf x = splat((r < 5 ? x0 : x5)[r % 5 * s.x_row]);
#pragma GCC unroll 4
      for (int c = 0; c < C; c++) t[r][c] = fma(x, b[c], t[r][c]);
    }
    x0++;
    x5++;
    w += line;
    at++;
    if (--left == 0) {
      end_tile();
      if (at < s.to) begin_tile();
    }
  };
  if (at < s.to) begin_tile();
  const int64_t n = s.end - s.begin, all = s.to - s.from, K = s.outputs;
  for (int64_t i = 0; i < n; i++) {
    const int64_t q = s.turned ? s.end - 1 - i : s.begin + i;
    int64_t due = all * (i + 1) / n - all * i / n, k = 0;
    float* const sums = s.sums + q * slots;
    const float *a = s.h, *v = half ? nullptr : s.w_hh + q * K * line;
    const uint16_t* pairs = half ? s.halves + q * K * line : nullptr;
    vf even[G], odd[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) even[g] = odd[g] = vf{};
    const auto recurrent = [&](vf(&first)[G], vf(&second)[G]) __attribute__((always_inline)) {
      if constexpr (half) {
        const vf y = splat(a[0]), z = splat(a[1]);
#pragma GCC unroll 4
        for (int g = 0; g < G; g++) {
          vi both = load_bits(pairs + g * 2 * unit_block);
#if defined(__AVX512F__)
          __asm__("" : "+v"(both));      // loaded once: row_by_pairs
#endif
          first[g] = fma(y, as_float(both << 16), first[g]);
          second[g] = fma(z, as_float(both & int32_t(0xffff0000)), second[g]);
        }
        pairs += 2 * line;
      } else {
        const vf y = splat(*a);
#pragma GCC unroll 4
        for (int g = 0; g < G; g++) first[g] = fma(y, load(v + g * unit_block), first[g]);
        v += line;
      }
      a += unit;
    };
    for (int64_t groups = K / group < s.beside ? K / group : s.beside; groups > 0; groups--, k += group) {
      if (due > 0) {
        input();
        due--;
      }
#pragma GCC unroll 8
      for (int j = 0; j < group / unit; j++) recurrent(even, even);
    }
    for (; k + 2 <= K; k += 2) {
      recurrent(even, half ? odd : even);
      if constexpr (!half) recurrent(odd, odd);
    }
    if (k < K) recurrent(even, even);
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) store(sums + g * unit_block, load((G == 3 && g == 2 ? s.bias + q * slots : sums) + g * unit_block) + (even[g] + odd[g]));
    for (; due > 0; due--) input();
  }
  if (left > 0) end_tile();
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
