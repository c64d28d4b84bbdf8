// The cells of 16 hidden units in one step, a row a sequence: from sums in L1 to states and outputs.
#pragma once
#include "recurrent/cells.h"
#include "recurrent/recurrent.h"
#include "recurrent/special.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

ACCELNN_INLINE vf cut(vf x, vf clip) {
  x = clip < x ? clip : x;
  return -clip > x ? -clip : x;
}

// A step, pointers at unit 0; outputs are delivered row by row once the step's blocks are done.
struct CellRows {
  int64_t n, units;                     // rows; hidden units
  const float* h;                       // before the step (of a GRU)
  float* h_new;                         // after it; with a projection what is to be projected
  int64_t h_row, h_new_row;
  float* c;
  int64_t c_row;
  int64_t sums_row;
  float* gates;                         // null: not wanted
  int64_t gates_row;
  float* y;                             // where the step's outputs will be copied to; null: somebody else does that
  int64_t y_row;
  const int64_t* order;                 // sequence of each row, by which gates and outputs are addressed
  float clip;
  bool late, projected;
  const SpecialFunctions* special;      // null: the defaults
  const float* peep;
};

// Block at..at + 16. plain: a whole block, no gates wanted, no option: the loop of inference. What is read of `r` is copied first: behind a store it would
// be read again.
template <int kind, bool plain> void cell_rows(const CellRows& r, int64_t at, const float* sums) {
  const int64_t n = r.n, H = r.units, sums_row = r.sums_row, h_row = r.h_row, h_new_row = r.h_new_row, c_row = r.c_row;
  const float* h_at = kind == cell::gru ? r.h + at : nullptr;
  float *h_new = r.h_new + at, *c_at = kind == cell::lstm ? r.c + at : nullptr;
  const vf limit = splat(r.clip);
  const bool clipped = !plain && r.clip > 0;
  for (int64_t i = 0; i < n; i++, sums += sums_row, h_new += h_new_row) {
    float* const gates = plain || !r.gates ? nullptr : r.gates + r.order[i] * r.gates_row + at;
    for (int j = 0; j < unit_block; j += lanes) {
      const int some = plain || H - at - j >= lanes ? lanes : int(H - at - j);
      if (some <= 0) break;
      [[maybe_unused]] const auto put = [&](int gate, vf v) __attribute__((always_inline)) {
        if (some == lanes) store(gates + gate * H + j, v);
        else store(gates + gate * H + j, v, some);
      };
      const auto sum = [&](int slot) __attribute__((always_inline)) {
        const vf v = load(sums + slot * unit_block + j);
        return clipped ? cut(v, limit) : v;
      };
      vf h;
      if constexpr (kind == cell::lstm) {
        float* const c = c_at + i * c_row + j;
        const vf c_before = load(c);
        const LstmCell x(sum(0), sum(1), sum(2), sum(3), c_before);
        store(c, x.c);
        h = x.h;
        if (gates) {
          put(0, 1.0f / x.i);
          put(1, 1.0f / x.f);
          put(2, x.g / (x.g + 2.0f));      // one division for these three instead: nothing (64x28x28x128: 3.29 ms, 3.33)
          put(3, 1.0f / x.o);
          put(4, c_before);
          if (r.projected) put(5, h);
        }
      } else if constexpr (kind == cell::gru) {
        const vf inner = load(sums + 2 * unit_block + j), reset = sum(0);
        vf rest = load(sums + 3 * unit_block + j), apart = inner;
        if (!plain && (r.late || clipped)) {      // the sum of n as a whole, which is what is cut
          rest = rest + (r.late ? inner : inner / sigmoid_denominator(reset));
          if (clipped) rest = cut(rest, limit);
          apart = vf{};
        }
        const GruCell x(reset, sum(1), rest, apart, load(h_at + i * h_row + j));
        h = x.h;
        if (gates) {
          put(0, 1.0f / x.r);
          put(1, 1.0f / x.z);
          put(2, x.n / (x.n + 2.0f));
          put(3, inner);
        }
      } else {
        h = kind == cell::rnn_tanh ? tanh_of(sum(0)) : max(sum(0), vf{});
        if (gates) put(0, h);
      }
      store(h_new + j, h);
    }
  }
}

inline void special_rows(int kind, const CellRows& r, int64_t at, const float* sums) {
  const int slots = kind == cell::lstm || kind == cell::gru ? 4 : 1;
  for (int64_t i = 0; i < r.n; i++)
    for (int j = 0; j < unit_block && at + j < r.units; j += lanes) {
      SpecialSums a;
      for (int s = 0; s < slots; s++) a.s[s] = load(sums + i * r.sums_row + s * unit_block + j);
      const int some = r.units - at - j < lanes ? int(r.units - at - j) : lanes;
      const vf h = kind == cell::gru ? load(r.h + i * r.h_row + at + j) : vf{}, c = kind == cell::lstm ? load(r.c + i * r.c_row + at + j) : vf{};
      const SpecialCell x = special_cell(kind, *r.special, a, h, c, r.peep ? r.peep + at + j : nullptr, r.units, some, r.clip, r.late);
      if (kind == cell::lstm) store(r.c + i * r.c_row + at + j, x.c);
      store(r.h_new + i * r.h_new_row + at + j, x.h);
    }
}

template <int kind> void cell_rows(const CellRows& r, int64_t at, const float* sums) {
  if (at + unit_block <= r.units && !r.gates && !(r.clip > 0) && !r.late) cell_rows<kind, true>(r, at, sums);
  else cell_rows<kind, false>(r, at, sums);
}

// What will be written of a block, called for before the product that takes the time to bring it: 64 bytes here and there, of memory last seen a call ago.
inline void expect_writes(const CellRows& r, int64_t at) {
  for (int64_t i = 0; r.y && i < r.n; i++) __builtin_prefetch(r.y + r.order[i] * r.y_row + at, 1);
  for (int64_t i = 0; r.gates && i < r.n; i++)
    for (int64_t g = at; g < r.gates_row; g += r.units) __builtin_prefetch(r.gates + r.order[i] * r.gates_row + g, 1);
}

inline void cell_rows(int kind, const CellRows& r, int64_t at, const float* sums) {
  if (r.special) return special_rows(kind, r, at, sums);
  switch (kind) {
    case cell::lstm: return cell_rows<cell::lstm>(r, at, sums);
    case cell::gru: return cell_rows<cell::gru>(r, at, sums);
    case cell::rnn_tanh: return cell_rows<cell::rnn_tanh>(r, at, sums);
    default: return cell_rows<cell::rnn_relu>(r, at, sums);
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
