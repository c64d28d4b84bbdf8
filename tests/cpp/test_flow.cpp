// Branches and loops: what they compute, and what the reader and the binding refuse.
#include <string>
#include <vector>
#include "check.h"
#include "engine/executor.h"
#include "toy_plans.h"

using namespace accelnn;
using plan::no_value;

static TensorView view(void* data, DType dtype, std::initializer_list<int64_t> shape) {
  TensorView v;
  v.data = data;
  v.dtype = dtype;
  v.rank = 0;
  for (const int64_t n : shape) v.shape[v.rank++] = n;
  v.set_contiguous();
  return v;
}

// Opens, binds and runs it once.
static Status done(const Builder& b, int64_t n = 4, int64_t steps = 3, bool condition = true, int64_t limit = 1 << 20) {
  const std::string bytes = b.file();
  Plan* plan = nullptr;
  ACCELNN_TRY(Plan::open(bytes.data(), bytes.size(), toy::tables, toy::n_tables, Plan::Keep::copy, &plan));
  Run* run = nullptr;
  CHECK_OK(Run::open(plan, caps(), &run));
  run->limit_steps(limit);
  std::vector<float> x(size_t(3 * n)), each(size_t(3 * n), -7.0f);
  float s[3] = {1, 2, 3}, y[3] = {-7, -7, -7}, z[3] = {-7, -7, -7}, want[3];
  for (size_t i = 0; i < x.size(); i++) x[i] = float(i % 5);
  const TensorView in[] = {view(x.data(), DType::f32, {n, 3}), view(s, DType::f32, {3}), view(&steps, DType::i64, {}), view(&condition, DType::boolean, {})};
  const TensorView out[] = {view(y, DType::f32, {3}), view(each.data(), DType::f32, {n, 3}), view(z, DType::f32, {3})};
  std::vector<int64_t> times(size_t(plan->n_calls()), -1);
  Status result = run->run(in, out, nullptr, nullptr, times.data());
  if (result.ok()) {
    for (int64_t i = 0; i < 3; i++) {
      float last = s[i];
      for (int64_t k = 0; k < n; k++) {
        last += x[size_t(3 * k + i)];
        CHECK(each[size_t(3 * k + i)] == last);
      }
      want[i] = last;
      CHECK(y[i] == (condition ? 2 : -1) * last);
      for (int64_t k = 0; k < steps && k < 1000; k++) want[i] = condition ? want[i] + last : 2 * want[i];
      CHECK(z[i] == want[i]);
    }
    for (const int64_t t : times) CHECK(t >= 0);
    CHECK(times[condition ? 4 : 3] == 0 && (times[condition ? 7 : 6] == 0));       // the other bodies have not run
  }
  Run::close(run);
  Plan::close(plan);
  return result;
}

static void computed() {
  for (const int64_t n : {0, 1, 4, 100})
    for (const int64_t steps : {-3, 0, 1, 5})
      for (const bool c : {false, true}) CHECK_OK(done(toy::flows(), n, steps, c));
  CHECK_OK(done(toy::flows(), 1, int64_t(1) << 60, true));         // `most` is 1000
  CHECK_OK(done(toy::flows(), 4, 12, true, 16));
  CHECK_FAILS(done(toy::flows(), 4, 12, true, 15), bound, "more than 15 steps of loops");
}

template <class F> static Status changed(const F& change) {
  Builder b = toy::flows();
  change(b);
  return done(b);
}

static void refused_by_the_reader() {
  CHECK_FAILS(changed([](Builder& b) { b.flows[0].kind = plan::FlowKind(2); }), format, "unknown kind 2");
  CHECK_FAILS(changed([](Builder& b) { b.flows[0].block = 2; }), format, "blocks of flow 0 do not follow");
  CHECK_FAILS(changed([](Builder& b) { b.flows[3].block = 6; }), format, "blocks of flow 3 do not follow");
  CHECK_FAILS(changed([](Builder& b) { b.flows.pop_back(); }), format, "not all of them are in use");
  CHECK_FAILS(changed([](Builder& b) { b.blocks.pop_back(); }), format, "flow 3 has too few blocks");
  CHECK_FAILS(changed([](Builder& b) { b.flows.clear(); }), format, "or there are others");
  CHECK_FAILS(changed([](Builder& b) { b.blocks[0].n_calls = 0; }), format, "block 1 does not lie");
  CHECK_FAILS(changed([](Builder& b) { b.blocks[1].n_calls = 9; }), format, "block 2 does not lie");
  CHECK_FAILS(changed([](Builder& b) { b.blocks[2].first_call = 5; }), format, "block 3 does not lie");
  CHECK_FAILS(changed([](Builder& b) { b.blocks[1].first_call = 0; }), format, "stands before the one in front");
  CHECK_FAILS(changed([](Builder& b) { b.flows[1].condition = no_value; }), format, "branch 1 is not sound");
  CHECK_FAILS(changed([](Builder& b) { b.flows[1].condition = 99; }), format, "names value 99");
  CHECK_FAILS(changed([](Builder& b) { b.flows[1].counter = 10; }), format, "branch 1 is not sound");
  CHECK_FAILS(changed([](Builder& b) { b.flows[2].counter = 2; }), format, "flow 2 writes value 2");
  CHECK_FAILS(changed([](Builder& b) { b.buffers[10].last = 6; }), format, "value 10 does not live as long as flow 2");
  CHECK_FAILS(changed([](Builder& b) { b.flows[2].trips = 10; }), format, "read where it may not have been written");
  CHECK_FAILS(changed([](Builder& b) { b.flows[0].trips = 2; }), format, "would not fill it");
  CHECK_FAILS(changed([](Builder& b) { b.slices[0].written = 2; }), format, "neither read nor written");
  CHECK_FAILS(changed([](Builder& b) { b.slices[0].written = 1; }), format, "writes value 0");
  CHECK_FAILS(changed([](Builder& b) { b.flows[0].n_slices = 3; }), format, "slices of flow 0 do not follow");
  CHECK_FAILS(changed([](Builder& b) { b.flows[0].n_slices = 1; }), format, "slices of flow 1 do not follow");
  CHECK_FAILS(changed([](Builder& b) { b.flows[0].most.terms = 0; }), format, "expression of flow 0");
  // z is written by one body only; y before anything; a state that a loop of no steps may not have written
  CHECK_FAILS(changed([](Builder& b) { b.operands[b.calls[4].first_operand + 1] = 6; }), format, "no call writes output 0");
  CHECK_FAILS(changed([](Builder& b) { b.operands[b.calls[0].first_operand + 1] = 6; }), format, "read where it may not have been written");
  CHECK_FAILS(changed([](Builder& b) { b.buffers[7].last = 5; }), format, "which lives from call 0 to 5");
  CHECK_FAILS(changed([](Builder& b) { b.buffers[7].last = 6; }), format, "temporary 7 ends in a loop that it is older than");
  CHECK_FAILS(done(toy::hollow()), format, "1 flows, 2 blocks, 0 slices: not all");
  Builder deep = toy::flows();
  const plan::Flow branch = deep.flows.back();
  for (int i = 0; i < 40; i++) {        // each in the first body of the one before; both bodies are one call
    deep.flows.push_back(branch);
    deep.flows.back().block = uint32_t(deep.blocks.size()) + 1;
    deep.blocks.push_back({6, 1});
    deep.blocks.push_back({7, 1});
  }
  CHECK_FAILS(done(deep), format, "block");
}

static void refused_when_bound() {
  CHECK_FAILS(changed([](Builder& b) { b.flows[1].condition = 2; }), dtype, "the condition of flow 1 is i64[]");
  CHECK_FAILS(changed([](Builder& b) { b.values[10].dtype = uint8_t(DType::f32); }), dtype, "counter of loop 2");
  CHECK_FAILS(changed([](Builder& b) { b.flows[0].most = b.constant(3); }), shape, "loop 0 of 3 steps");
  CHECK_FAILS(changed([](Builder& b) { b.slices[0].whole = 1; }), shape, "is no step of");
}

int main() {
  computed();
  refused_by_the_reader();
  refused_when_bound();
  CHECK(allocator_stats().live == 0);
  return passed("flow");
}
