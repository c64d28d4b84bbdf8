// Plans over the toy ops: the tests' material and the fuzzer's seeds.
#pragma once
#include "builder.h"
#include "toy_ops.h"

namespace accelnn {
namespace toy {

inline plan::AttrValue real(double x) {
  plan::AttrValue a = {uint32_t(AttrKind::real), 0, 0};
  memcpy(&a.value, &x, sizeof x);
  return a;
}
inline plan::AttrValue integer(int64_t x) { return {uint32_t(AttrKind::integer), 0, x}; }

// x[n, 3], y[n, 3], constant w[3] -> out[n, 3] = 2 (x + y) + w broadcast (through a stride 0), sum[] = n * total(out)
inline Builder network(int64_t lower = 0, int64_t upper = 0) {
  using namespace plan;
  Builder b;
  b.graph = "{}";
  const int64_t n = b.add_dim("n", lower, upper);
  const std::vector<Expr> shape = {b.dim(n), b.constant(3)}, dense = {b.constant(3), b.constant(1)}, row = {b.constant(0), b.constant(1)};
  const float weights[3] = {10, 20, 30};
  const uint32_t x = b.value(b.buffer(Storage::input, 0), DType::f32, shape, dense);
  const uint32_t y = b.value(b.buffer(Storage::input, 1), DType::f32, shape, dense);
  const uint32_t w = b.value(b.constant_buffer(weights, sizeof weights), DType::f32, shape, row);
  const uint32_t out = b.value(b.buffer(Storage::output, 0), DType::f32, shape, dense);
  const uint32_t sum = b.value(b.buffer(Storage::output, 1), DType::f32, {}, {});
  const uint32_t t0 = b.value(b.buffer(Storage::temporary, 0, b.times(n, 12), 0, 1), DType::f32, shape, dense);
  const uint32_t t1 = b.value(b.buffer(Storage::temporary, 0, b.times(n, 12), 1, 3), DType::f32, shape, dense);
  const uint32_t t2 = b.value(b.buffer(Storage::temporary, 0, b.times(n, 12), 2, 3), DType::f32, shape, dense);
  b.port(PortKind::input, x, "x");
  b.port(PortKind::input, y, "y");
  b.port(PortKind::output, out, "out");
  b.port(PortKind::output, sum, "sum");
  b.call("add", {x, y}, {t0}, {}, "first");
  b.call("scale", {t0}, {t1}, {real(2)});
  b.call("scale", {w}, {t2}, {real(1)}, "spread");
  b.call("add", {t1, t2}, {out}, {}, "last");
  const Expr e = b.dim(n);
  b.call("total", {out}, {sum}, {{attr_expression, e.terms, int64_t(e.offset)}});
  return b;
}

// x[n], state[n] (updated in place): state += x; y = state
inline Builder accumulator() {
  using namespace plan;
  Builder b;
  const int64_t n = b.add_dim("n", 1, 100);
  const std::vector<Expr> shape = {b.dim(n)}, dense = {b.constant(1)};
  const uint32_t x = b.value(b.buffer(Storage::input, 0), DType::f32, shape, dense);
  const uint32_t y = b.value(b.buffer(Storage::output, 0), DType::f32, shape, dense);
  const uint32_t s = b.value(b.buffer(Storage::state, 0), DType::f32, shape, dense);
  b.port(PortKind::input, x, "x");
  b.port(PortKind::output, y, "y");
  b.port(PortKind::state, s, "memory");
  b.call("add", {s, x}, {s});
  b.call("scale", {s}, {y}, {real(1)});
  return b;
}

// table[n], index[m] -> y[m]; m also appears as ceildiv(m, 2) * 2 - m % 2 would: sizes with every kind of term
inline Builder lookup() {
  using namespace plan;
  Builder b;
  const int64_t n = b.add_dim("n"), m = b.add_dim("m");
  const std::vector<Expr> dense = {b.constant(1)};
  const uint32_t x = b.value(b.buffer(Storage::input, 0), DType::f32, {b.dim(n)}, dense);
  const uint32_t at = b.value(b.buffer(Storage::input, 1), DType::i64, {b.dim(m)}, dense);
  const uint32_t y = b.value(b.buffer(Storage::output, 0), DType::f32, {b.dim(m)}, dense);
  const Expr padded = b.terms({1, m, 0, 2, int64_t(Term::ceildiv), 0, 0, 8, int64_t(Term::mul), 0, 0, 64, int64_t(Term::max), 0});
  const Expr half = b.terms({1, m, 0, 2, int64_t(Term::floordiv), 0, 1, m, int64_t(Term::min), 0, 0, 1, int64_t(Term::add), 0, 0, 1,
                             int64_t(Term::sub), 0});
  const uint32_t t = b.buffer(Storage::temporary, 0, padded, 0, 1);
  const uint32_t all = b.value(t, DType::f32, {b.dim(m)}, dense);
  const uint32_t first = b.value(b.buffer(Storage::output, 1), DType::f32, {half}, dense);
  const uint32_t first_of_all = b.value(t, DType::f32, {half}, dense);
  b.port(PortKind::input, x, "table");
  b.port(PortKind::input, at, "index");
  b.port(PortKind::output, y, "y");
  b.port(PortKind::output, first, "half");
  b.call("take", {x, at}, {all}, {}, "lookup");
  b.call("scale", {all}, {y}, {real(1)});
  // a second use keeps `t` alive one call longer than it says unless its lifetime is right
  b.buffers[t].last = 2;
  b.call("scale", {first_of_all}, {first}, {real(-1)});
  return b;
}

// x[n, 3], s[3], steps, c -> y[3], each[n, 3], z[3]: each[k] = s + x[0] + ... + x[k]; y = (c ? 2 : -1) last; z = last, `steps` times (c ? z + last : 2 z)
inline Builder flows() {
  using namespace plan;
  Builder b;
  const int64_t n = b.add_dim("n");
  const std::vector<Expr> whole = {b.dim(n), b.constant(3)}, whole_step = {b.constant(3), b.constant(1)}, row = {b.constant(3)}, dense = {b.constant(1)};
  const uint32_t x = b.value(b.buffer(Storage::input, 0), DType::f32, whole, whole_step);
  const uint32_t start = b.value(b.buffer(Storage::input, 1), DType::f32, row, dense);
  const uint32_t steps = b.value(b.buffer(Storage::input, 2), DType::i64, {}, {});
  const uint32_t c = b.value(b.buffer(Storage::input, 3), DType::boolean, {}, {});
  const uint32_t y = b.value(b.buffer(Storage::output, 0), DType::f32, row, dense);
  const uint32_t each = b.value(b.buffer(Storage::output, 1), DType::f32, whole, whole_step);
  const uint32_t z = b.value(b.buffer(Storage::output, 2), DType::f32, row, dense);
  const uint32_t state = b.value(b.buffer(Storage::temporary, 0, b.constant(12), 0, 7), DType::f32, row, dense);
  const uint32_t part = b.value(b.buffer(Storage::temporary, 0, b.constant(12), 1, 2), DType::f32, row, dense);
  const uint32_t next = b.value(b.buffer(Storage::temporary, 0, b.constant(12), 1, 2), DType::f32, row, dense);
  const uint32_t counter = b.value(b.buffer(Storage::temporary, 0, b.constant(8), 6, 7), DType::i64, {}, {});
  b.port(PortKind::input, x, "x");
  b.port(PortKind::input, start, "s");
  b.port(PortKind::input, steps, "steps");
  b.port(PortKind::input, c, "c");
  b.port(PortKind::output, y, "y");
  b.port(PortKind::output, each, "each");
  b.port(PortKind::output, z, "z");
  b.call("scale", {start}, {state}, {real(1)});
  b.call("add", {state, part}, {next});
  b.call("scale", {next}, {state}, {real(1)});
  b.call("scale", {state}, {y}, {real(2)});
  b.call("scale", {state}, {y}, {real(-1)});
  b.call("scale", {state}, {z}, {real(1)});
  b.call("add", {z, state}, {z});
  b.call("add", {z, z}, {z});
  b.loop({1, 2}, b.dim(n), no_value, no_value, no_value, {{x, part, 0}, {each, next, 1}});
  b.branch(c, {3, 1}, {4, 1});
  b.loop({6, 2}, b.constant(1000), no_value, steps, counter);
  b.branch(c, {6, 1}, {7, 1});
  return b;
}

// A loop around nothing, in a Plan without a buffer: to be refused.
inline Builder hollow() {
  using namespace plan;
  Builder b;
  b.loop({0, 0}, b.constant(3), no_value, no_value, no_value);
  return b;
}

}  // namespace toy
}  // namespace accelnn
