// Running sums. Along a row the sums inside a vector are made first, by adding shifted copies; only one addition a vector waits for what came before.
#pragma once
#include "lanes.h"
#include "pool.h"
#include "scan/cumulate.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace scan_rows {

struct Sum {
  static constexpr float identity = 0.0f;
  template <class T> static ACCELNN_INLINE T of(T a, T b) { return a + b; }
  static ACCELNN_INLINE int32_t of(int32_t a, int32_t b) { return int32_t(uint32_t(a) + uint32_t(b)); }
  static ACCELNN_INLINE int64_t of(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }
};
struct Product {
  static constexpr float identity = 1.0f;
  template <class T> static ACCELNN_INLINE T of(T a, T b) { return a * b; }
  static ACCELNN_INLINE int32_t of(int32_t a, int32_t b) { return int32_t(uint32_t(a) * uint32_t(b)); }
  static ACCELNN_INLINE int64_t of(int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }
};

// Lane i gets lane i - step (i + step where reverse), `fill` where there is none.
template <int step, bool reverse, int... i> ACCELNN_INLINE vf shifted_(vf v, vf fill, Lanes<i...>) {
  return ACCELNN_SHUFFLE(v, fill, (reverse ? i + step : i >= step ? i - step
                                                                  : lanes + i)...);
}
template <int step, bool reverse> ACCELNN_INLINE vf shifted(vf v, vf fill) { return shifted_<step, reverse>(v, fill, AllLanes{}); }
template <int lane, int... i> ACCELNN_INLINE vf spread_(vf v, Lanes<i...>) { return ACCELNN_SHUFFLE(v, v, (i * 0 + lane)...); }
template <class F, bool reverse, int step> ACCELNN_INLINE vf scanned(vf v, vf identity) {
  if constexpr (step < lanes) return scanned<F, reverse, 2 * step>(F::of(v, shifted<step, reverse>(v, identity)), identity);
  return v;
}

template <class F, bool reverse> void scan_row(const float* x, float* y, int64_t n, bool exclusive) {
  const vf identity = splat(F::identity);
  vf carry = identity;
  const auto one = [&](int64_t i, int live) __attribute__((always_inline)) {
    vf v = live == lanes ? load(x + i) : load(x + i, live);
    if (live < lanes) v = select(ramp() < live, v, identity);
    const vf inside = scanned<F, reverse, 1>(v, identity);
    const vf before = exclusive ? shifted<1, reverse>(inside, identity) : inside;
    const vf r = F::of(carry, before);
    if (live == lanes) store(y + i, r);
    else store(y + i, r, live);
    carry = F::of(carry, spread_<reverse ? 0 : lanes - 1>(inside, AllLanes{}));
  };
  const int64_t whole = n / lanes * lanes;
  const int rest = int(n - whole);
  if (reverse) {
    if (rest) one(whole, rest);
    for (int64_t i = whole - lanes; i >= 0; i -= lanes) one(i, lanes);
  } else {
    for (int64_t i = 0; i < whole; i += lanes) one(i, lanes);
    if (rest) one(whole, rest);
  }
}

// Neighbouring columns side by side, `width` of them.
template <class F> void scan_columns(const float* x, float* y, int64_t n, int64_t step, int width, bool exclusive, bool reverse) {
  vf sum = splat(F::identity);
  for (int64_t k = 0; k < n; k++) {
    const int64_t at = (reverse ? n - 1 - k : k) * step;
    const vf next = F::of(sum, load(x + at, width));
    store(y + at, exclusive ? sum : next, width);
    sum = next;
  }
}
template <class F, class T> void scan_scalar(const T* x, T* y, int64_t n, int64_t step, bool exclusive, bool reverse) {
  T sum = T(F::identity);
  for (int64_t k = 0; k < n; k++) {
    const int64_t at = (reverse ? n - 1 - k : k) * step;
    const T next = F::of(sum, x[at]);
    y[at] = exclusive ? sum : next;
    sum = next;
  }
}

template <class F, class T> Status cumulate_with(const Call& call) {
  const TensorView& in = call.in[0];
  const int64_t axis = call.integer(cumulate_attr::axis), n = in.shape[axis];
  const bool exclusive = call.integer(cumulate_attr::exclusive) != 0, reverse = call.integer(cumulate_attr::reverse) != 0;
  constexpr bool vectors = T(0.5) != T(0) && sizeof(T) == 4;
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < axis; d++) outer *= in.shape[d];
  for (int d = int(axis) + 1; d < in.rank; d++) inner *= in.shape[d];
  const int64_t width = vectors && inner > 1 ? lanes : 1, columns = (inner + width - 1) / width, items = outer * columns;
  const int64_t per_part = n * width < 16384 ? 16384 / (n * width + 1) + 1 : 1;
  parallel(call, (items + per_part - 1) / per_part, 8 * in.count(), [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * per_part, end = items - begin < per_part ? items : begin + per_part;
    for (int64_t item = begin; item < end; item++) {
      const int64_t column = item % columns * width, at = item / columns * n * inner + column;
      const T* x = in.as<T>() + at;
      T* y = call.out[0].as<T>() + at;
      if constexpr (vectors) {
        if (inner > 1) scan_columns<F>(x, y, n, inner, inner - column < lanes ? int(inner - column) : lanes, exclusive, reverse);
        else if (reverse) scan_row<F, true>(x, y, n, exclusive);
        else scan_row<F, false>(x, y, n, exclusive);
      } else {
        scan_scalar<F>(x, y, n, inner, exclusive, reverse);
      }
    }
  });
  return {};
}
template <class T> Status cumulate(const Call& call) {
  return call.integer(cumulate_attr::kind) ? cumulate_with<Product, T>(call) : cumulate_with<Sum, T>(call);
}

}  // namespace scan_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
