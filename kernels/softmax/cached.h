// Softmax and its gradients where the caches hold the call. Arithmetic for 16 numbers, 512 bits: 7 operations on the multiply-add ports, 5 on the adders, 2 on
// either (exp_below, the maximum, its difference, the sum): 7 cycles a vector, where Zen 4 does each in two halves; a store takes 2, a load 1. What lay
// between that and the 20 cycles of three plain sweeps:
// - a maximum written as a selection, which g++ turns into a comparison and a masked move (vec.h, lanes.h): 1.7 cycles;
// - waiting for maximum and sum across lanes (60 cycles a row each) before anything else can begin: so a row is finished while the next one is computed;
// - rows that begin in the middle of a cache line: stores that cross one take twice as long, so exponentials lie in a room of our own, results are stored
//   from a line's beginning on (64 x 1000: 18.5 cycles, 12.7 so);
// - loads of x that follow a store to y at the same place of another 4 KiB page, and wait for it (y 64 bytes behind: 4096 x 128 takes 1.3 times as long):
//   loads come first.
// All three sweeps in one loop over neighbouring rows (relay.h) is as quick as two here (512 x 512: 13.7 cycles, 13.7), but needs rows enough to fill it.
#pragma once
#include "softmax/rows.h"
#include "strips.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace softmax {

using namespace strips;

ACCELNN_INLINE vf lowest() { return splat(-__builtin_inff()); }
// -inf behind the end: no maximum, and its exponential is 0.
ACCELNN_INLINE vf or_lowest(const float* p, int n) { return n == lanes ? load(p) : select(ramp() < n, load(p, n), lowest()); }

// range(first row, end) of every part. Eight rows a part, where there are as many: a row overlaps with its neighbours only within a part.
template <class F> ACCELNN_INLINE void over_ranges(const Call& call, int64_t rows, int64_t worth, const F& range) {
  const int64_t most = rows < 64 ? 8 : rows < 512 ? rows / 8
                                                  : 64,
                parts = rows < most ? rows : most;
  parallel(call, parts, worth, [&](int64_t part) { range(rows * part / parts, rows * (part + 1) / parts); });
}
// y[0..n) = f(i, k), whole vectors at whole addresses, each block stored after the next one is loaded
template <class F> ACCELNN_INLINE void put_row(float* y, int64_t n, const F& f) {
  int64_t i = 0;
  if (n >= 4 * lanes) {
    i = int64_t(-reinterpret_cast<uintptr_t>(y) / sizeof(float)) & (lanes - 1);
    if (i) store(y, f(0, int(i)), int(i));
  }
  if (i + 4 * lanes <= n) {
    vf late[4];
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) late[u] = f(i + u * lanes, lanes);
    for (i += 4 * lanes; i + 4 * lanes <= n; i += 4 * lanes) {
      vf v[4];
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) v[u] = f(i + u * lanes, lanes);
#pragma GCC unroll 4
      for (int u = 0; u < 4; u++) {
        store(y + i + (u - 4) * lanes, late[u]);
        late[u] = v[u];
      }
    }
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) store(y + i + (u - 4) * lanes, late[u]);
  }
  for (; i + lanes <= n; i += lanes) store(y + i, f(i, lanes));
  if (i < n) store(y + i, f(i, int(n - i)), int(n - i));
}

struct Tops {
  vf m[4] = {lowest(), lowest(), lowest(), lowest()};
  // A NaN may be passed over by the maximum: its own exponential is NaN and brings it into the sum.
  ACCELNN_INLINE void take(vf v, int u) { m[u] = larger(v, m[u]); }
  ACCELNN_INLINE vf top() const { return max_across(larger(larger(m[0], m[1]), larger(m[2], m[3]))); }
};
ACCELNN_INLINE vf top_of(const float* x, int64_t c) {
  Tops t;
  by_fours(c, [&](int64_t i, int u, int k) INLINED { t.take(or_lowest(x + i, k), u); });
  return t.top();
}

// Rows of at most so many vectors never leave the registers: loaded once, stored once.
constexpr int in_registers = lanes == 16 ? 8 : 4;
template <int n> ACCELNN_INLINE vf sum_of_all(const vf* v) {
  if constexpr (n == 1) return v[0];
  else return sum_of_all<n / 2>(v) + sum_of_all<n - n / 2>(v + n / 2);
}
template <int n> ACCELNN_INLINE vf largest_of_all(const vf* v) {
  if constexpr (n == 1) return v[0];
  else return larger(largest_of_all<n / 2>(v), largest_of_all<n - n / 2>(v + n / 2));
}
template <bool logarithm, int vectors> ACCELNN_INLINE void rows_in_registers(const float* x, float* y, int64_t rows, int64_t c) {
  const int rest = int(c) - (vectors - 1) * lanes;
  const auto read = [&](const float* p, vf* v) INLINED {
#pragma GCC unroll 8
    for (int u = 0; u < vectors - 1; u++) v[u] = load(p + u * lanes);
    v[vectors - 1] = or_lowest(p + (vectors - 1) * lanes, rest);
    return max_across(largest_of_all<vectors>(v));
  };
  vf v[vectors], d[vectors], w[vectors], top = read(x, v);
  for (int64_t r = 0; r < rows; r++, y += c) {
#pragma GCC unroll 8
    for (int u = 0; u < vectors; u++) {
      call_for(x + u * lanes + 2048);
      d[u] = v[u] - top;
      w[u] = exp_below(d[u]);
    }
    if (r + 1 < rows) x += c;
    top = read(x, v);                 // before this row is stored
    const vf sum = sum_across(sum_of_all<vectors>(w)), given = logarithm ? log(sum) : 1.0f / sum;
    const auto result = [&](int u) INLINED { return logarithm ? d[u] - given : w[u] * given; };
#pragma GCC unroll 8
    for (int u = 0; u < vectors - 1; u++) store(y + u * lanes, result(u));
    put_lanes(y + (vectors - 1) * lanes, result(vectors - 1), rest);
  }
}
template <bool logarithm, int vectors = in_registers> ACCELNN_INLINE void rows_in_registers_of(const float* x, float* y, int64_t rows, int64_t c) {
  if constexpr (vectors > 1)
    if (c <= (vectors - 1) * lanes) return rows_in_registers_of<logarithm, vectors - 1>(x, y, rows, c);
  rows_in_registers<logarithm, vectors>(x, y, rows, c);
}

// Longer ones: exponentials of row r into a room of two rows, with the maximum of r + 1; then the result of r - 1, whose sum is ready by then.
constexpr int64_t roomy = 4096;
ACCELNN_INLINE void rows_in_room(const float* x, float* y, int64_t rows, int64_t c) {
  alignas(64) float room[2][roomy + 512];
  vf top = top_of(x, c), scale = {};
  for (int64_t r = 0; r <= rows; r++) {
    const float *row = x + r * c, *next = x + (r + 1 < rows ? r + 1 : rows - 1) * c, *ready = room[~r & 1];
    float* kept = room[r & 1];
    const vf given = scale;
    if (r < rows) {
      Tops t;
      vf s[4] = {};
      by_fours(c, [&](int64_t i, int u, int k) INLINED {
        t.take(or_lowest(next + i, k), u);
        const vf v = exp_below(or_lowest(row + i, k) - top);
        put_lanes(kept + i, v, k);
        s[u] += v;
      });
      scale = 1.0f / splat(total(s));
      top = t.top();
    }
    if (r) put_row(y + (r - 1) * c, c, [&](int64_t i, int k) INLINED { return zeroed(ready + i, k) * given; });
  }
}
// Longest: a room for them would not stay in L1. Exponentials go to y, four vectors later than they are made.
ACCELNN_INLINE void long_row(const float* x, float* y, int64_t c) {
  const vf top = top_of(x, c);
  vf s[4] = {}, late[4];
  int64_t i = 0;
  for (; i + 4 * lanes <= c; i += 4 * lanes) {
    vf v[4];
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
      call_for(x + i + u * lanes + c);
      v[u] = exp_below(load(x + i + u * lanes) - top);
      s[u] += v[u];
    }
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
      if (i) store(y + i + (u - 4) * lanes, late[u]);
      late[u] = v[u];
    }
  }
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) store(y + i + (u - 4) * lanes, late[u]);
  by_fours(c - i, [&](int64_t j, int u, int k) INLINED {
    const vf v = exp_below(or_lowest(x + i + j, k) - top);
    put_lanes(y + i + j, v, k);
    s[u] += v;
  });
  const float scale = 1.0f / total(s);
  put_row(y, c, [&](int64_t j, int k) INLINED { return zeroed(y + j, k) * scale; });
}
inline void softmax_rows(const float* x, float* y, int64_t rows, int64_t c) {
  if (c <= in_registers * lanes) return rows_in_registers_of<false>(x, y, rows, c);
  if (c <= roomy) return rows_in_room(x, y, rows, c);
  for (int64_t r = 0; r < rows; r++) long_row(x + r * c, y + r * c, c);
}

// Some rows that L1 holds: maximum and sum of each, their logarithms together (26 operations, a row or sixteen), then the results.
inline void log_softmax_rows(const float* x, float* y, int64_t rows, int64_t c) {
  if (c > lanes && c <= in_registers * lanes) return rows_in_registers_of<true>(x, y, rows, c);
  constexpr int most = 16;
  const int64_t fit = roomy / c, group = fit < 1 ? 1 : fit < most ? fit
                                                                  : most;
  float tops[most], sums[most] = {};
  for (int64_t first = 0; first < rows; first += group) {
    const int64_t n = rows - first < group ? rows - first : group, last = first + n - 1;
    vf top = top_of(x + first * c, c);
    for (int64_t g = 0; g < n; g++) {
      const float *row = x + (first + g) * c, *next = first + g < last ? row + c : row;
      Tops t;
      vf s[4] = {};
      by_fours(c, [&](int64_t i, int u, int k) INLINED {
        call_for(row + i + group * c);
        t.take(or_lowest(next + i, k), u);
        s[u] += exp_below(or_lowest(row + i, k) - top);
      });
      tops[g] = top[0], sums[g] = total(s), top = t.top();
    }
    for (int i = 0; i < most; i += lanes) store(sums + i, log(load(sums + i)));
    for (int64_t g = 0; g < n; g++) {
      const float *row = x + (first + g) * c, m = tops[g], l = sums[g];
      put_row(y + (first + g) * c, c, [&](int64_t i, int k) INLINED { return (zeroed(row + i, k) - m) - l; });
    }
  }
}

// dx = (dy - sum dy y) y, or dy - exp(y) sum dy where y is a logarithm
template <bool logarithm> ACCELNN_INLINE vf sum_for_grad(const float* dy, const float* y, int64_t c) {
  vf s[4] = {};
  by_fours(c, [&](int64_t i, int u, int k) INLINED {
    if constexpr (logarithm) s[u] += zeroed(dy + i, k);
    else s[u] = fma(zeroed(dy + i, k), zeroed(y + i, k), s[u]);
  });
  return sum_across((s[0] + s[1]) + (s[2] + s[3]));
}
template <bool logarithm> ACCELNN_INLINE vf grad_of(vf dy, vf y, vf sum) {
  if constexpr (logarithm) return dy - exp_below(y) * sum;
  else return (dy - sum) * y;
}
// The next row's sum is on its way while this one's result is stored.
template <bool logarithm> ACCELNN_INLINE void rows_of_grad(const float* dy, const float* y, float* dx, int64_t rows, int64_t c) {
  vf next = sum_for_grad<logarithm>(dy, y, c);
  for (int64_t row = 0; row < rows; row++) {
    const float *g = dy + row * c, *v = y + row * c;
    const vf sum = next;
    if (row + 1 < rows) next = sum_for_grad<logarithm>(g + c, v + c, c);
    put_row(dx + row * c, c, [&](int64_t i, int k) INLINED { return grad_of<logarithm>(zeroed(g + i, k), zeroed(v + i, k), sum); });
  }
}

}  // namespace softmax
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
