// The Plan reader: what is whole is read, whatever is cut, flipped or invented is refused with a sentence and without a crash.
#include <string>
#include "check.h"
#include "engine/executor.h"
#include "philox.h"
#include "toy_plans.h"

using namespace accelnn;

static Status open(const std::string& bytes, Plan** result = nullptr) {
  Plan* p = nullptr;
  Status s = Plan::open(bytes.data(), bytes.size(), toy::tables, toy::n_tables, Plan::Keep::copy, &p);
  if (s.ok() == !p) return fail(Code::ok, "a Plan exactly when all is well");
  if (result) *result = p;
  else Plan::close(p);
  return s;
}

static void whole() {
  Plan* p = nullptr;
  CHECK_OK(open(toy::network().file(), &p));
  CHECK(p->n(plan::PortKind::input) == 2 && p->n(plan::PortKind::output) == 2 && p->n(plan::PortKind::state) == 0 && p->n_calls() == 5);
  const PortInfo& x = p->port(plan::PortKind::input, 0);
  CHECK(!strcmp(x.name, "x") && x.dtype == DType::f32 && x.rank == 2 && x.shape[0] == -1 && x.shape[1] == 3 && !x.written);
  CHECK(!strcmp(x.dim_name[0], "n") && !x.dim_name[1] && !strcmp(describe(x).text, "f32[n, 3]"));
  CHECK(p->port(plan::PortKind::output, 0).written && !strcmp(p->op_name(4), "total") && !strcmp(p->label(0), "first") && !*p->label(1));
  size_t n = 0;
  CHECK(p->graph(&n) && n == 2 && p->weight_bytes() == 12);
  Plan::close(p);
}

static void damaged() {
  const std::string good = toy::network().file();
  CHECK(good.size() < 8192);
  for (size_t n = 0; n < good.size(); n += n < 400 ? 1 : 37) CHECK(!open(good.substr(0, n)).ok());
  CHECK_FAILS(open(good + "x"), format, "followed by 1 more");
  CHECK_FAILS(open(std::string(100, 'x')), format, "not a Plan");
  for (size_t i = 0; i < good.size(); i++)
    for (int bit = 0; bit < 8; bit++) {
      std::string bad = good;
      bad[i] = char(bad[i] ^ 1 << bit);
      CHECK(!open(bad).ok());
    }
  std::string newer = good;
  newer[8] = 2;
  CHECK_FAILS(open(newer), format, "version 2");
}

// The checksum is no defence against intent: every byte changed and signed again. Refused or read, but never a crash (sanitizers watch).
static void forged() {
  const std::string plans[] = {toy::network().file(), toy::accumulator().file(), toy::lookup().file(), toy::flows().file()};
  int64_t read = 0;
  for (const std::string& good : plans)
    for (size_t i = 8; i < good.size(); i++)
      for (const int change : {1, 0x80, 0xff}) {
        std::string bad = good;
        bad[i] = char(bad[i] ^ change);
        if (i < 24 || i >= 32) Builder::sign(bad);
        read += open(bad).ok();
      }
  for (uint64_t i = 0; i < 3000; i++) {
    std::string bad = plans[i % 3];
    for (uint64_t k = 0; k < 1 + i % 7; k++) {
      const Philox4 r = philox(1, i, k);
      bad[32 + r.v[0] % (bad.size() - 32)] = char(r.v[1] % 3 ? r.v[2] : r.v[2] % 5);
    }
    Builder::sign(bad);
    read += open(bad).ok();
  }
  CHECK(read > 0);                      // padding, the graph and constants may change
}

static void sentences() {
  using namespace plan;
  Builder b = toy::network();
  b.calls[0].op = b.text("transmogrify");
  CHECK_FAILS(open(b.file()), unsupported, "built without op 'transmogrify'");
  b = toy::network();
  b.buffers.back().last = 9;
  CHECK_FAILS(open(b.file()), format, "lives from call 2 to 9");
  b = toy::network();
  b.buffers.back().first = b.buffers.back().last = 3;
  CHECK_FAILS(open(b.file()), format, "which lives from call 3");
  b = toy::network();
  std::swap(b.calls[0], b.calls[1]);
  CHECK_FAILS(open(b.file()), format, "do not follow");
  b = toy::network();
  b.operands[2] = 0;                    // t0 = x: writes an input
  CHECK_FAILS(open(b.file()), format, "an input or a constant");
  b = toy::network();
  b.operands[0] = 6;                    // x -> t1, written by the next call only
  CHECK_FAILS(open(b.file()), format, "lives from");
  b = toy::network();
  b.operands[0] = 3;
  CHECK_FAILS(open(b.file()), format, "before any call writes it");
  b = toy::network();
  b.values[0].rank = 9;
  CHECK_FAILS(open(b.file()), format, "rank 9");
  b = toy::network();
  b.values[0].dtype = n_dtypes;
  CHECK_FAILS(open(b.file()), format, "unknown dtype 13");
  b = toy::network();
  b.values[0].shape[0] = b.terms({int64_t(Term::add), 0});
  CHECK_FAILS(open(b.file()), format, "more operands than it has");
  b = toy::network();
  b.values[0].shape[0] = b.terms({0, 1, 0, 1});
  CHECK_FAILS(open(b.file()), format, "leaves 2 results");
  b = toy::network();
  b.values[0].shape[0] = b.terms({1, 1});
  CHECK_FAILS(open(b.file()), format, "dim 1 of 1");
  b = toy::network();
  b.values[0].shape[0] = {0xffffffffu, 2};
  CHECK_FAILS(open(b.file()), format, "not in the numbers");
  b = toy::network();
  b.ports[0].name = {4, 0xfffffff0u};
  CHECK_FAILS(open(b.file()), format, "not in the strings");
  b = toy::network();
  b.ports[0].name = b.text("red\x1b[31m");
  CHECK_FAILS(open(b.file()), format, "not printable");
  b = toy::network();
  b.ports[0].name = b.text("\xed\xa0\x80");
  CHECK_FAILS(open(b.file()), format, "not printable");
  b = toy::network();
  b.ports[0].name = b.text("größe");
  CHECK_OK(open(b.file()));
  b = toy::network();
  b.buffers[2].offset = 32;
  CHECK_FAILS(open(b.file()), format, "not in the weights");
  b = toy::network();
  b.buffers[2].length = 13;
  CHECK_FAILS(open(b.file()), format, "not in the weights");
  b = toy::network();
  std::swap(b.ports[1], b.ports[2]);
  CHECK_FAILS(open(b.file()), format, "come in this order");
  b = toy::network();
  b.attrs[0].kind = 0;
  CHECK_FAILS(open(b.file()), format, "attribute factor of scale");
  b = toy::network();
  b.attrs[2].count = 0;
  CHECK_FAILS(open(b.file()), format, "an expression of attribute 2");
  b = toy::network();
  b.add_dim("lost");
  CHECK_FAILS(open(b.file()), format, "dim 'lost'");
  b = toy::network(5, 4);
  CHECK_FAILS(open(b.file()), format, "bounded by 5 and 4");
  b = toy::network();
  b.operands.back() = no_value;
  CHECK_FAILS(open(b.file()), format, "no call writes output 1");
  b = toy::network();
  b.operands[0] = no_value;
  CHECK_FAILS(open(b.file()), format, "input 0 of add is left out");
}

static void expressions() {
  using namespace plan;
  Builder b;
  const int64_t n = b.add_dim("n");
  File f;
  const auto value = [&](std::initializer_list<int64_t> pairs, int64_t dim, int64_t* result) {
    b.numbers.clear();
    const Expr e = b.terms(pairs);
    f.numbers = {b.numbers.data(), int64_t(b.numbers.size())};
    return evaluate(f, e, &dim, result);
  };
  const int64_t fd = int64_t(Term::floordiv), cd = int64_t(Term::ceildiv), sub = int64_t(Term::sub), mul = int64_t(Term::mul);
  int64_t y = 0;
  for (int64_t a = -7; a <= 7; a++)
    for (const int64_t d : {-3, -2, -1, 1, 2, 3}) {
      CHECK_OK(value({1, n, 0, d, fd, 0}, a, &y));
      CHECK((a - y * d) * d >= 0 && llabs(a - y * d) < llabs(d));
      const int64_t below = y;
      CHECK_OK(value({1, n, 0, d, cd, 0}, a, &y));
      CHECK(y == below + (a % d != 0));
    }
  CHECK_FAILS(value({1, n, 0, 0, fd, 0}, 1, &y), bound, "divides by zero");
  CHECK_FAILS(value({1, n, 0, -1, fd, 0}, INT64_MIN, &y), bound, "overflows");
  CHECK_FAILS(value({1, n, 1, n, mul, 0}, int64_t(1) << 40, &y), bound, "overflows");
  CHECK_FAILS(value({1, n, 0, 1, sub, 0}, INT64_MIN, &y), bound, "overflows");
}

int main() {
  whole();
  damaged();
  forged();
  sentences();
  expressions();
  return passed("reader");
}
