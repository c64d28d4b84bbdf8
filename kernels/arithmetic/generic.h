// Blocks of each operand are brought together, then one loop over them, which the compiler makes vectors of.
#pragma once
#include "copy/strided.h"
#include "arithmetic/functions.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace arithmetic_rows {

constexpr int64_t block = 1024, part = 1 << 15;

template <class T> const T* brought(const TensorView& x, const int64_t* shape, const int64_t* stride, int rank, int64_t first, int64_t n, T* to) {
  const T* base = x.as<T>();
  if (rank <= 1 && (rank == 0 || stride[0] == 1)) return base + first;
  for_runs({rank, shape, stride}, first, n, [&](int64_t offset, int64_t step, int64_t length, int64_t at) {
    for (int64_t i = 0; i < length; i++) to[at + i] = base[offset + i * step];
  });
  return to;
}

template <ArithmeticKind kind, class T> void loop(const T* a, const T* b, const uint8_t* c, void* to, int64_t n) {
  if constexpr (kind == ArithmeticKind::select) {
    T* y = static_cast<T*>(to);
    for (int64_t i = 0; i < n; i++) y[i] = c[i] ? a[i] : b[i];
  } else {
    typedef decltype(arithmetic_function::of<kind>(T(), T())) Y;
    Y* y = static_cast<Y*>(to);
    for (int64_t i = 0; i < n; i++) y[i] = arithmetic_function::of<kind>(a[i], b[i]);
  }
}

template <ArithmeticKind kind, class T, int of> constexpr auto loop_of() -> void (*)(const T*, const T*, const uint8_t*, void*, int64_t) {
  if constexpr (of & arithmetic_of::mine<T>) return loop<kind, T>;
  else return nullptr;                                            // check() lets none come here
}

template <class T> Status run(const Call& call) {
  typedef void (*Loop)(const T*, const T*, const uint8_t*, void*, int64_t);
  using namespace arithmetic_of;
  static const Loop loops[] = {
#define KIND(name, operands, boolean, dtypes) loop_of<ArithmeticKind::name, T, (dtypes)>(),
#include "arithmetic/kinds.inc"
#undef KIND
  };
  const Loop f = loops[call.integer(arithmetic_attr::kind)];
  const TensorView& y = call.out[0];
  const int64_t count = y.count();
  int64_t shape[max_rank], stride[3][max_rank];
  const int n_in = operands(call);
  const int rank = collapse(call.in, n_in, shape, stride);
  parallel(call, (count + part - 1) / part, count, [&](int64_t p) __attribute__((noinline)) {
    T a[block], b[block];
    uint8_t c[block];
    const int64_t end = (p + 1) * part < count ? (p + 1) * part : count;
    for (int64_t first = p * part; first < end; first += block) {
      const int64_t n = end - first < block ? end - first : block;
      const T* x = brought<T>(call.in[0], shape, stride[0], rank, first, n, a);
      const T* z = n_in > 1 ? brought<T>(call.in[1], shape, stride[1], rank, first, n, b) : x;
      const uint8_t* chosen = n_in > 2 ? brought<uint8_t>(call.in[2], shape, stride[2], rank, first, n, c) : nullptr;
      f(x, z, chosen, y.as<char>() + first * int64_t(size_of(y.dtype)), n);
    }
  });
  return {};
}

}  // namespace arithmetic_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
