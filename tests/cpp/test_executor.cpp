// Binding and running handmade Plans; the C API over the same.
#include <pthread.h>
#include <string>
#include <vector>
#include "check.h"
#include "engine/accelnn.h"
#include "engine/executor.h"
#include "engine/linked.h"
#include "toy_plans.h"

using namespace accelnn;

extern "C" {
const Table* const accelnn_model_tables[] = {&toy::table_add, &toy::table_scale, &toy::table_total, &toy::table_take};
const int accelnn_n_model_tables = 4;
}

static TensorView view(void* data, DType dtype, std::initializer_list<int64_t> shape) {
  TensorView v;
  v.data = data;
  v.dtype = dtype;
  v.rank = 0;
  for (const int64_t n : shape) v.shape[v.rank++] = n;
  v.set_contiguous();
  return v;
}

struct Model {                          // a Plan and one Run of it
  Plan* plan = nullptr;
  Run* run = nullptr;
  explicit Model(const Builder& b) {
    const std::string bytes = b.file();
    CHECK_OK(Plan::open(bytes.data(), bytes.size(), toy::tables, toy::n_tables, Plan::Keep::copy, &plan));
    CHECK_OK(Run::open(plan, caps(), &run));
  }
  ~Model() {
    Run::close(run);
    Plan::close(plan);
  }
};

static Status run_network(Run* run, int64_t n, Pool* pool = nullptr, int64_t* times = nullptr) {
  std::vector<float> x(size_t(3 * n)), y(size_t(3 * n)), out(size_t(3 * n), -1.0f);
  float sum = -1, expected = 0;
  for (int64_t i = 0; i < 3 * n; i++) {
    x[size_t(i)] = float(i % 5);
    y[size_t(i)] = float(i % 7);
  }
  const TensorView in[] = {view(x.data(), DType::f32, {n, 3}), view(y.data(), DType::f32, {n, 3})};
  const TensorView to[] = {view(out.data(), DType::f32, {n, 3}), view(&sum, DType::f32, {})};
  ACCELNN_TRY(run->run(in, to, nullptr, pool, times));
  for (int64_t i = 0; i < 3 * n; i++) {
    const float want = 2 * (x[size_t(i)] + y[size_t(i)]) + float(10 * (i % 3 + 1));
    CHECK(out[size_t(i)] == want);
    expected += want;
  }
  CHECK(sum == expected * float(n));
  return {};
}

static void shapes_and_bindings() {
  Model m(toy::network());
  CHECK(!m.run->bound());
  for (const int64_t n : {2, 0, 1, 100, 2, 500}) CHECK_OK(run_network(m.run, n));
  CHECK(m.run->bindings_made() == 5);   // 2 twice
  CHECK_OK(run_network(m.run, 100));
  CHECK(m.run->bindings_made() == 5);
  CHECK_OK(run_network(m.run, 0));      // was the oldest of five: forgotten, made again
  CHECK(m.run->bindings_made() == 6);
  CHECK_OK(run_network(m.run, 500));
  int64_t times[5] = {-1, -1, -1, -1, -1};
  CHECK_OK(run_network(m.run, 500, nullptr, times));
  for (const int64_t t : times) CHECK(t >= 0);
  // three temporaries of 6000 bytes; the first and the last may share. Then the workspace of total: 24 doubles.
  CHECK(m.run->arena_bytes() == 2 * 6016 + 192 && m.run->workspace_bytes() == 192);
  const CallInfo c = m.run->call(4);
  CHECK(!strcmp(c.op, "total") && !strcmp(c.row->name, "total_f32_base") && c.call->in[0].shape[0] == 500 && c.call->integer(0) == 500);
  set_thread_count(3);
  for (int i = 0; i < 20; i++) CHECK_OK(run_network(m.run, 500, pool()));
  set_thread_count(1);

  TensorView in[] = {view(nullptr, DType::f32, {7, 3}), view(nullptr, DType::f32, {7, 3})}, out[2];
  CHECK_OK(m.plan->shapes(in, nullptr, out));
  CHECK(out[0].rank == 2 && out[0].shape[0] == 7 && out[0].shape[1] == 3 && out[1].rank == 0);
  CHECK_OK(m.run->bind(in, nullptr));
  CHECK(m.run->call(0).call->out[0].shape[0] == 7);
  CHECK_OK(m.plan->smallest(1, in));
  CHECK(in[0].shape[0] == 1 && in[1].shape[1] == 3);
}

static void refusals() {
  Model m(toy::network(2, 4));
  float a[30], b[30], c[30], s;
  TensorView in[] = {view(a, DType::f32, {2, 3}), view(b, DType::f32, {2, 3})}, out[] = {view(c, DType::f32, {2, 3}), view(&s, DType::f32, {})};
  const auto run = [&] { return m.run->run(in, out, nullptr, nullptr); };
  for (float& x : a) x = 1;
  memcpy(b, a, sizeof b);
  CHECK_OK(run());
  in[0] = view(a, DType::f32, {5, 3});
  CHECK_FAILS(run(), bound, "dim 'n' is 5, allowed are 2 to 4");
  in[0] = view(a, DType::f32, {3, 3});
  CHECK_FAILS(run(), shape, "input 'y' is f32[2, 3], expected f32[n, 3], here f32[3, 3]");
  in[0] = view(a, DType::f32, {2});
  CHECK_FAILS(run(), shape, "input 'x' is f32[2], expected f32[n, 3]");
  in[0] = view(a, DType::i32, {2, 3});
  CHECK_FAILS(run(), dtype, "input 'x' is i32[2, 3]");
  in[0] = view(a, DType::f32, {2, 3});
  in[0].stride[0] = 4;
  CHECK_FAILS(run(), unsupported, "not contiguous");
  in[0] = view(nullptr, DType::f32, {2, 3});
  CHECK_FAILS(run(), unsupported, "'x' (f32[2, 3]) has no data");
  in[0] = view(reinterpret_cast<char*>(a) + 1, DType::f32, {2, 3});
  CHECK_FAILS(run(), unsupported, "multiple of its element");
  in[0] = view(c + 5, DType::f32, {2, 3});
  CHECK_FAILS(run(), aliasing, "overlap");
  in[0] = in[1];                        // two inputs may be one
  CHECK_OK(run());
  out[0] = view(c, DType::f32, {3, 3});
  CHECK_FAILS(run(), shape, "output 'out'");
  out[0] = view(c, DType::f32, {2, 3});
  out[1] = view(c + 3, DType::f32, {});
  CHECK_FAILS(run(), aliasing, "overlap");
  m.run->limit_memory(10);
  in[0] = view(a, DType::f32, {4, 3});
  in[1] = view(b, DType::f32, {4, 3});
  CHECK_FAILS(run(), memory, "the limit is 10");
}

static void hostile_sizes() {
  using namespace plan;
  const auto status = [](const Builder& b, int64_t n) {
    const std::string bytes = b.file();
    Plan* p = nullptr;
    Run* r = nullptr;
    CHECK_OK(Plan::open(bytes.data(), bytes.size(), toy::tables, toy::n_tables, Plan::Keep::copy, &p));
    CHECK_OK(Run::open(p, caps(), &r));
    const TensorView in[] = {view(nullptr, DType::f32, {n, 3}), view(nullptr, DType::f32, {n, 3})};
    Status s = r->bind(in, nullptr);
    Run::close(r);
    Plan::close(p);
    return s;
  };
  Builder b = toy::network();
  CHECK_OK(status(b, 4));
  CHECK_FAILS(status(b, int64_t(1) << 41), bound, "not possible");
  b.values[5].offset = b.constant(1);   // t0, one element further
  CHECK_FAILS(status(b, 4), bound, "value 5, f32[4, 3], reaches out of its buffer of 48 bytes");
  CHECK_FAILS(status(b, 0), bound, "begins outside");
  b = toy::network();
  b.values[5].stride[0] = b.constant(4);
  CHECK_FAILS(status(b, 4), bound, "reaches out");
  b = toy::network();
  b.values[5].stride[0] = b.constant(-3);
  CHECK_FAILS(status(b, 4), bound, "stride -3");
  b = toy::network();
  b.values[2].shape[0] = b.constant(int64_t(1) << 40);
  b.values[2].shape[1] = b.constant(int64_t(1) << 40);
  CHECK_FAILS(status(b, 4), bound, "too large");
  b = toy::network();
  b.buffers[5].bytes = b.constant(int64_t(1) << 62);
  CHECK_FAILS(status(b, 4), memory, "a temporary: ");
  b = toy::network();
  b.buffers[5].bytes = b.constant(-1);
  CHECK_FAILS(status(b, 4), memory, "a temporary: -1");
  b = toy::network();
  b.values[0].stride[0] = b.constant(1);
  CHECK_FAILS(status(b, 4), format, "does not cover its buffer");
  b = toy::network();
  b.values[5].shape[1] = b.constant(2); // the op's own check, with the layer's name
  b.values[5].stride[0] = b.constant(2);
  CHECK_FAILS(status(b, 4), shape, "in 'first': add: operands are");
}

static void state_and_lookup() {
  Model m(toy::accumulator());
  float x[2] = {1, 2}, y[2], s[2] = {0, 0};
  const TensorView in = view(x, DType::f32, {2}), out = view(y, DType::f32, {2}), state = view(s, DType::f32, {2});
  for (int i = 1; i <= 3; i++) {
    CHECK_OK(m.run->run(&in, &out, &state, nullptr));
    CHECK(s[0] == float(i) && s[1] == float(2 * i) && y[1] == s[1]);
  }
  float elsewhere[2] = {100, 100};      // the same binding, another memory
  const TensorView other = view(elsewhere, DType::f32, {2});
  CHECK_OK(m.run->run(&in, &out, &other, nullptr));
  CHECK(elsewhere[0] == 101 && s[0] == 3 && m.run->bindings_made() == 1);
  CHECK_FAILS(m.run->run(&in, &out, &in, nullptr), aliasing, "'x' and 'memory' overlap");
  CHECK_FAILS(m.run->run(&in, &out, nullptr, nullptr), shape, "none were given");
  CHECK(m.plan->port(plan::PortKind::state, 0).written);

  Model look(toy::lookup());
  float table[4] = {5, 6, 7, 8}, found[3], half[1];
  int64_t index[3] = {3, 0, 2};
  const TensorView ask[] = {view(table, DType::f32, {4}), view(index, DType::i64, {3})};
  const TensorView answer[] = {view(found, DType::f32, {3}), view(half, DType::f32, {1})};
  CHECK_OK(look.run->run(ask, answer, nullptr, nullptr));
  CHECK(found[0] == 8 && found[1] == 5 && found[2] == 7 && half[0] == -8);
  index[1] = 4;
  CHECK_FAILS(look.run->run(ask, answer, nullptr, nullptr), bound, "in 'lookup': take: index 4 of 4");
}

static void borrowed() {
  const std::string bytes = toy::network().file();
  std::vector<char> room(bytes.size() + 128);
  char* aligned = room.data() + (64 - reinterpret_cast<uintptr_t>(room.data()) % 64);
  for (const int shift : {0, 1, 8}) {   // where it lies, or copied
    memcpy(aligned + shift, bytes.data(), bytes.size());
    Plan* p = nullptr;
    Run* r = nullptr;
    CHECK_OK(Plan::open(aligned + shift, bytes.size(), toy::tables, toy::n_tables, Plan::Keep::borrow, &p));
    CHECK_OK(Run::open(p, caps(), &r));
    CHECK_OK(run_network(r, 3));
    Run::close(r);
    Plan::close(p);
  }
}

// Large weights move to huge pages when they are asked to, once; runs follow.
static void large_weights_settle() {
  Builder b = toy::network();
  const std::vector<char> more(size_t(5) << 20, 1);
  b.constant_buffer(more.data(), more.size());
  const std::string bytes = b.file();
  std::vector<char> room(bytes.size() + 64);
  char* aligned = room.data() + (64 - reinterpret_cast<uintptr_t>(room.data()) % 64);
  memcpy(aligned, bytes.data(), bytes.size());
  Plan* p = nullptr;
  Run *often = nullptr, *other = nullptr;
  CHECK_OK(Plan::open(aligned, bytes.size(), toy::tables, toy::n_tables, Plan::Keep::borrow, &p));
  CHECK_OK(Run::open(p, caps(), &often));
  CHECK_OK(Run::open(p, caps(), &other));
  CHECK_OK(run_network(other, 3));
  const int64_t before = allocator_stats().live;
  for (int i = 0; i < 8; i++) {
    if (i == 4 || i == 6) p->settle();
    CHECK_OK(run_network(often, 1 + i % 3));
    if (i == 3) CHECK(allocator_stats().live - before < int64_t(5) << 20 && often->bindings_made() == 3);
  }
  CHECK(often->bindings_made() == 6);
  CHECK(allocator_stats().live - before >= int64_t(5) << 20 && allocator_stats().live - before < int64_t(10) << 20);
  CHECK(other->bindings_made() == 1);
  CHECK_OK(run_network(other, 3));
  CHECK(other->bindings_made() == 2);
  Run::close(often);
  Run::close(other);
  Plan::close(p);
}

static accelnn_model* shared;
static void* run_from_c(void*) {
  for (int i = 0; i < 200; i++) {
    const int64_t n = 1 + i % 6;
    std::vector<float> x(size_t(3 * n), 1.0f), y(size_t(3 * n), 2.0f), out(size_t(3 * n));
    float sum;
    const accelnn_tensor in[] = {{x.data(), ACCELNN_F32, 2, {n, 3}}, {y.data(), ACCELNN_F32, 2, {n, 3}}};
    accelnn_tensor to[] = {{out.data(), ACCELNN_F32, 2, {n, 3}}, {&sum, ACCELNN_F32, 0, {}}};
    if (accelnn_run(shared, in, to) || out[0] != 16 || out[size_t(3 * n) - 1] != 36 || sum != float(78 * n * n)) return shared;
  }
  return nullptr;
}

static void c_api() {
  const std::string bytes = toy::network().file();
  accelnn_set_threads(2);
  shared = accelnn_open(bytes.data(), bytes.size());
  CHECK(shared && accelnn_input_count(shared) == 2 && accelnn_output_count(shared) == 2);
  accelnn_port port;
  CHECK(!accelnn_describe_input(shared, 1, &port) && !strcmp(port.name, "y") && port.shape[0] == -1 && port.shape[1] == 3 &&
        !strcmp(port.dim_name[0], "n"));
  CHECK(accelnn_describe_output(shared, 2, &port) == ACCELNN_SHAPE && strstr(accelnn_last_error(), "no port 2"));
  accelnn_tensor in[] = {{nullptr, ACCELNN_F32, 2, {4, 3}}, {nullptr, ACCELNN_F32, 2, {4, 3}}}, out[2] = {};
  CHECK(!accelnn_output_shapes(shared, in, out) && out[0].rank == 2 && out[0].shape[0] == 4 && out[1].rank == 0);
  in[1].rank = 1000;
  CHECK(accelnn_output_shapes(shared, in, out) == ACCELNN_SHAPE && accelnn_run(shared, in, out) == ACCELNN_SHAPE);
  std::vector<pthread_t> callers(4);
  for (pthread_t& t : callers) CHECK(!pthread_create(&t, nullptr, run_from_c, nullptr));
  for (pthread_t t : callers) {
    void* wrong = nullptr;
    pthread_join(t, &wrong);
    CHECK(!wrong);
  }
  accelnn_close(shared);
  const std::string stateful = toy::accumulator().file();
  CHECK(!accelnn_open(stateful.data(), stateful.size()) && strstr(accelnn_last_error(), "keeps state ('memory')"));
  CHECK(!accelnn_open("x", 1) && strstr(accelnn_last_error(), "not a Plan") && !accelnn_open_linked());
  accelnn_set_threads(1);
}

int main() {
  shapes_and_bindings();
  refusals();
  hostile_sizes();
  state_and_lookup();
  borrowed();
  large_weights_settle();
  c_api();
  CHECK(allocator_stats().live == 0);
  release_cached();
  return passed("executor");
}
