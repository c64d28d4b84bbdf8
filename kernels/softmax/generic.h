// Softmax of short rows, and one_hot: what small programs contain. Rows of up to one vector (10 classes) stay in one register from load to store: a masked
// store that is loaded again does not forward. Longer rows: maximum, exponentials with their sum, result; wide.h is quicker.
#pragma once
#include "lanes.h"
#include "one_hot.h"
#include "rows.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace softmax {

// On a lambda that is called with a constant and with a variable n: g++ would inline neither.
#define INLINED_ROW __attribute__((always_inline))

// -inf behind the end: no maximum, and exp makes it 0. (Where the maximum is -inf or NaN itself these lanes become NaN, as does the whole row.)
ACCELNN_INLINE vf lanes_of(const float* p, int n) { return n == lanes ? load(p) : select(ramp() < n, load(p, n), splat(-__builtin_inff())); }
ACCELNN_INLINE vf zeroed(const float* p, int n) { return n == lanes ? load(p) : load(p, n); }
ACCELNN_INLINE void put(float* p, vf v, int n) {
  if (n == lanes) store(p, v);
  else store(p, v, n);
}
template <class F> ACCELNN_INLINE void in_lanes(int64_t c, const F& body) {
  int64_t at = 0;
  for (; at + lanes <= c; at += lanes) body(at, lanes);
  if (at < c) body(at, int(c - at));
}

// In every lane. A NaN may be passed over here: its own exp(x - max) is NaN and brings it into the sum.
ACCELNN_INLINE vf max_of_row(const float* x, int64_t c) {
  vf m = splat(-__builtin_inff());
  in_lanes(c, [&](int64_t i, int n) INLINED_ROW { m = larger(lanes_of(x + i, n), m); });
  return max_across(m);
}
// Sum of exp(x - m) in every lane; the exponentials go to e unless it is null.
template <bool Keep> ACCELNN_INLINE vf sum_of_row(const float* x, float* e, vf m, int64_t c) {
  vf sum = {};
  in_lanes(c, [&](int64_t i, int n) INLINED_ROW {
    const vf v = exp(lanes_of(x + i, n) - m);
    if constexpr (Keep) put(e + i, v, n);
    sum += v;
  });
  return sum_across(sum);
}

ACCELNN_INLINE void softmax_row(const float* x, float* y, int64_t c) {
  if (c <= lanes) {
    const vf v = lanes_of(x, int(c)), e = exp(v - max_across(v));
    store(y, e * (1.0f / sum_across(e)), int(c));
    return;
  }
  const vf scale = 1.0f / sum_of_row<true>(x, y, max_of_row(x, c), c);
  in_lanes(c, [&](int64_t i, int n) INLINED_ROW { put(y + i, zeroed(y + i, n) * scale, n); });
}
ACCELNN_INLINE Status softmax(const Call& call) {
  const Rows r = rows_of(call.in[0]);
  over_rows(call, r, 20, [&](int64_t i) { softmax_row(call.in[0].as<float>() + i * r.c, call.out[0].as<float>() + i * r.c, r.c); });
  return {};
}

// Bound by the stores of memset, which chooses its own width: one body for every row.
ACCELNN_INLINE Status one_hot(const Call& call) {
  const Rows r = rows_of(call.out[0]);
  const int64_t* labels = call.in[0].as<int64_t>();
  ACCELNN_TRY(check_labels("one_hot", labels, r.count, r.c));
  over_rows(call, r, 4, [&](int64_t i) {
    float* y = call.out[0].as<float>() + i * r.c;
    std::memset(y, 0, size_t(r.c) * sizeof *y);
    y[labels[i]] = 1.0f;
  });
  return {};
}

#undef INLINED_ROW

}  // namespace softmax
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
