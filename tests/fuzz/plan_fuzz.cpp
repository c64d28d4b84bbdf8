// libFuzzer on the Plan reader, then on binding and running what it accepts. The header is mended first (size, checksum, magic, version), or almost
// every mutation would end there. Dims are tiny and memory is limited; every buffer a run may touch is as long as its shape says, to the byte.
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include "engine/executor.h"
#include "tests/cpp/toy_ops.h"

using namespace accelnn;
using plan::PortKind;

static constexpr size_t longest = 1 << 16;
static constexpr int64_t most_elements = 1 << 16, most_memory = 1 << 24;

static void* filled(const TensorView& v) {
  const size_t n = size_t(v.count()) * size_of(v.dtype);
  void* p = allocate(n);
  if (p) memset(p, 1, n);
  return p;
}

static void bind_and_run(const Plan* p, int64_t size) {
  const int n_in = p->n(PortKind::input), n_out = p->n(PortKind::output), n_state = p->n(PortKind::state);
  Array<TensorView> in, out, state;
  Run* run = nullptr;
  if (!in.resize(n_in).ok() || !out.resize(n_out).ok() || !state.resize(n_state).ok() || !Run::open(p, caps(), &run).ok()) return;
  run->limit_memory(most_memory);
  run->limit_steps(256);
  const auto give = [&](Array<TensorView>& views) {
    bool small = true;
    for (TensorView& v : views) small &= v.count() <= most_elements;
    for (TensorView& v : views) if (small) v.data = filled(v);
    return small;
  };
  bool ready = p->smallest(size, in.data()).ok();
  for (int i = 0; ready && i < n_state; i++) {
    const PortInfo& port = p->port(PortKind::state, i);
    state[i].dtype = port.dtype;
    state[i].rank = port.rank;
    for (int k = 0; k < port.rank; k++) ready &= (state[i].shape[k] = port.shape[k] < 0 ? size : port.shape[k]) <= most_elements;
    if (ready) state[i].set_contiguous();
  }
  ready = ready && p->shapes(in.data(), state.data(), out.data()).ok() && give(in) && give(out) && give(state);
  if (ready) {
    (void)run->run(in.data(), out.data(), state.data(), nullptr);
    (void)run->run(in.data(), out.data(), state.data(), nullptr);
  }
  for (Array<TensorView>* views : {&in, &out, &state})
    for (TensorView& v : *views) release(v.data);
  Run::close(run);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) {
  if (n < sizeof(plan::Header) || n > longest) return 0;
  char* file = static_cast<char*>(allocate(n));
  memcpy(file, data, n);
  plan::Header h;
  memcpy(&h, file, sizeof h);
  memcpy(h.magic, plan::magic, sizeof h.magic);
  h.version = plan::version;
  h.bytes = n;
  h.checksum = plan::checksum(file + sizeof h, n - sizeof h);
  memcpy(file, &h, sizeof h);
  Plan* p = nullptr;
  if (Plan::open(file, n, toy::tables, toy::n_tables, Plan::Keep::borrow, &p).ok()) {
    bind_and_run(p, 1);
    bind_and_run(p, 5);
    Plan::close(p);
  }
  release(file);
  if (allocator_stats().live) abort();  // whatever happens, everything is given back
  return 0;
}
