// The Run's half of executor.h: one caller's memory, and the Plan bound to this machine and these shapes.
#include "executor.h"
#include <ctime>
#include <unistd.h>
#include "pool.h"

namespace accelnn {

using plan::PortKind;
using plan::Storage;

namespace {

long long ll(int64_t x) { return static_cast<long long>(x); }
int64_t round_up(int64_t bytes) { return (bytes + int64_t(alignment) - 1) & -int64_t(alignment); }

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// While binding, ports and the arena lie at addresses that no process has (not canonical), one after the other: overlap() is right about them,
// and a check that reads data faults at once.
constexpr uintptr_t nowhere = uintptr_t(1) << 60;

char* shifted(char* base, int64_t bytes) { return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(base) + uintptr_t(bytes)); }

Status within(const char* what, int64_t bytes, int64_t limit) {
  return bytes >= 0 && bytes <= limit ? Status() : fail(Code::memory, "%s: %lld bytes for these inputs; the limit is %lld", what, ll(bytes), ll(limit));
}

Status in_call(const Status& s, int64_t i, const char* label) {
  return *label ? fail(s.code, "in '%.60s': %s", label, s.text) : fail(s.code, "in call %lld: %s", ll(i), s.text);
}

}  // namespace

struct Run::Binding {
  Array<int64_t> dims;
  Array<TensorView> ports;              // what every port must look like; data null
  Array<TensorView> views;              // operands of the calls, as the ops want them: max_in, then max_out each
  Array<Attr> attrs;
  Array<BoundCall> calls;
  Array<Patch> patches;                 // by slot: the views whose data moves with that port (slot n_ports: the arena)
  Array<int64_t> first_patch;           // n_slots + 1
  Array<int64_t> most_steps;            // of every flow
  Array<char*> seen;                    // the base that the views of a slot were made for
  int64_t arena_bytes = 0, workspace_offset = 0, workspace_bytes = 0;
  uint64_t used = 0;
};

Status Run::open(const Plan* plan, const Caps& caps, Run** result) {
  *result = nullptr;
  Run* r = create<Run>();
  ACCELNN_CHECK(r, memory, "no memory for a Run");
  r->plan_ = plan;
  r->caps_ = caps;
  const int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  r->memory_limit_ = pages > 0 && page > 0 ? pages * page : plan::max_bytes;
  const int n = plan->total_ports();
  Status s = r->dims_.resize(plan->n_dims());
  if (s.ok()) s = r->base_.resize(n + 1);
  if (s.ok()) s = r->by_address_.resize(n);
  if (!s.ok()) return close(r), s;
  for (int i = 0; i < n; i++) r->by_address_[i] = uint32_t(i);
  *result = r;
  return {};
}

void Run::close(Run* r) { destroy(r); }

Run::~Run() {
  for (Binding* b : bindings_) destroy(b);
  release(arena_);
}

// Bindings hold addresses of the weights.
void Run::follow_weights() {
  const char* now = plan_->weights();
  if (now == weights_) return;
  for (Binding*& b : bindings_) destroy(b), b = nullptr;
  current_ = nullptr;
  weights_ = now;
}

Status Run::find_or_make(const TensorView* inputs, const TensorView* states) {
  follow_weights();
  ACCELNN_TRY(plan_->evaluate_dims(inputs, states, dims_.data()));
  Binding** slot = &bindings_[0];       // where a new one goes: an empty place, or the least recently used
  Binding* found = nullptr;
  for (Binding*& b : bindings_) {
    if (b && (!dims_.size() || !memcmp(b->dims.data(), dims_.data(), size_t(dims_.size()) * sizeof(int64_t)))) {
      found = b;
      break;
    }
    if (*slot && (!b || b->used < (*slot)->used)) slot = &b;
  }
  const auto same = [&](const Binding& b) -> Status {
    for (int i = 0; i < plan_->total_ports(); i++) {
      if (plan_->ports_[i].kind == PortKind::output) continue;
      const TensorView* view = plan_->given(i, inputs, nullptr, states);
      ACCELNN_CHECK(view, shape, "the Plan has inputs or states, but none were given");
      ACCELNN_TRY(plan_->same_port(i, b.ports[i], *view));
    }
    return {};
  };
  if (found) {
    ACCELNN_TRY(same(*found));
  } else {
    found = create<Binding>();
    ACCELNN_CHECK(found, memory, "no memory for a Run");
    Status s = [&]() -> Status {
      ACCELNN_TRY(found->dims.resize(dims_.size()));
      if (dims_.size()) memcpy(found->dims.data(), dims_.data(), size_t(dims_.size()) * sizeof(int64_t));
      ACCELNN_TRY(found->ports.resize(plan_->total_ports()));
      for (int i = 0; i < plan_->total_ports(); i++) ACCELNN_TRY(plan_->evaluate_port(i, dims_.data(), &found->ports[i]));
      ACCELNN_TRY(same(*found));        // before any work on shapes that are wrong anyhow
      return make(found);
    }();
    if (!s.ok()) return destroy(found), s;
    if (current_ == *slot) current_ = nullptr;
    destroy(*slot);
    *slot = found;
    made_++;
  }
  found->used = ++clock_;
  current_ = found;
  return {};
}

Status Run::make(Binding* b) {
  const plan::File& f = plan_->file_;
  Array<Place> places;
  Array<TensorView> values;
  ACCELNN_TRY(place_buffers(b, &places));
  ACCELNN_TRY(evaluate_values(*b, places, &values));
  for (int i = 0; i < plan_->total_ports(); i++) {
    const TensorView& v = values[plan_->ports_[i].value];
    ACCELNN_CHECK(v.contiguous() && v.data == b->seen[i], format, "the value of port %d does not cover its buffer", i);
  }
  ACCELNN_TRY(b->attrs.resize(f.attrs.count));
  for (int64_t i = 0; i < f.attrs.count; i++) {
    const plan::AttrValue& a = f.attrs[i];
    Attr& attr = b->attrs[i];
    attr.n = 0;
    switch (a.kind) {
      case plan::attr_expression: ACCELNN_TRY(plan::evaluate(f, {uint32_t(a.value), a.count}, b->dims.data(), &attr.i)); break;
      case uint32_t(AttrKind::integers):
        attr.list = f.numbers.at + a.value;
        attr.n = a.count;
        break;
      case uint32_t(AttrKind::real): memcpy(&attr.f, &a.value, sizeof attr.f); break;
      default: attr.i = a.value;
    }
  }
  return bind_calls(b, places, values);
}

// Where every buffer begins: ports nowhere, constants in the weights, temporaries in the arena, which is nowhere too.
Status Run::place_buffers(Binding* b, Array<Place>* places) {
  const plan::File& f = plan_->file_;
  const int n_ports = plan_->total_ports();
  ACCELNN_TRY(places->resize(f.buffers.count));
  ACCELNN_TRY(b->seen.resize(n_ports + 1));
  uintptr_t next = nowhere;
  for (int i = 0; i < n_ports; i++) {
    const int64_t bytes = b->ports[i].count() * int64_t(size_of(b->ports[i].dtype));
    b->seen[i] = reinterpret_cast<char*>(next);
    (*places)[plan_->ports_[i].buffer] = {b->seen[i], bytes, 0, uint32_t(i)};
    next += uintptr_t(round_up(bytes)) + alignment;
  }
  b->seen[n_ports] = reinterpret_cast<char*>(next);
  for (int64_t i = 0; i < f.buffers.count; i++) {
    const plan::Buffer& buffer = f.buffers[i];
    Place& p = (*places)[i];
    if (buffer.storage == Storage::constant) {
      p = {const_cast<char*>(weights_) + buffer.offset, int64_t(buffer.length), 0, uint32_t(n_ports) + 1};
    } else if (buffer.storage == Storage::temporary) {
      p.slot = uint32_t(n_ports);
      ACCELNN_TRY(plan::evaluate(f, buffer.bytes, b->dims.data(), &p.bytes));
      ACCELNN_TRY(within("a temporary", p.bytes, memory_limit_));
    }
  }
  ACCELNN_TRY(place_temporaries(places, &b->workspace_offset));
  for (int64_t i = 0; i < f.buffers.count; i++)
    if (f.buffers[i].storage == Storage::temporary) (*places)[i].base = shifted(b->seen[n_ports], (*places)[i].offset);
  return {};
}

// Largest first, each at the lowest offset where nothing lies that lives at the same time. Within a few percent of the lower bound on usual nets.
Status Run::place_temporaries(Array<Place>* places, int64_t* total) const {
  const plan::Span<plan::Buffer>& buffers = plan_->file_.buffers;
  Array<uint32_t> order, placed;        // placed: by offset
  int64_t n = 0, n_placed = 0;
  for (const plan::Buffer& b : buffers) n += b.storage == Storage::temporary;
  ACCELNN_TRY(order.resize(n));
  ACCELNN_TRY(placed.resize(n));
  n = 0;
  for (int64_t i = 0; i < buffers.count; i++)
    if (buffers[i].storage == Storage::temporary) order[n++] = uint32_t(i);
  Place* const at = places->data();
  sort_indices(order.data(), n, [&](uint32_t a, uint32_t b) { return at[a].bytes != at[b].bytes ? at[a].bytes > at[b].bytes : a < b; });
  *total = 0;
  for (uint32_t i : order) {
    const int64_t size = round_up(at[i].bytes);
    int64_t low = 0;
    for (int64_t k = 0; k < n_placed; k++) {
      const uint32_t other = placed[k];
      if (buffers[other].last < buffers[i].first || buffers[i].last < buffers[other].first) continue;
      if (at[other].offset >= low + size) break;
      const int64_t end = at[other].offset + round_up(at[other].bytes);
      if (end > low) low = end;
    }
    at[i].offset = low;
    ACCELNN_TRY(within("the network's memory", low + size, memory_limit_));
    if (low + size > *total) *total = low + size;
    int64_t k = n_placed++;
    for (; k > 0 && at[placed[k - 1]].offset > low; k--) placed[k] = placed[k - 1];
    placed[k] = i;
  }
  return {};
}

// Every value as a view; none reaches out of its buffer.
Status Run::evaluate_values(const Binding& b, const Array<Place>& places, Array<TensorView>* values) const {
  const plan::File& f = plan_->file_;
  ACCELNN_TRY(values->resize(f.values.count));
  for (int64_t i = 0; i < f.values.count; i++) {
    const plan::Value& v = f.values[i];
    const Place& place = places[v.buffer];
    TensorView& view = (*values)[i];
    view.dtype = DType(v.dtype);
    view.rank = v.rank;
    const int64_t size = int64_t(size_of(view.dtype));
    int64_t offset, count = 1;
    ACCELNN_TRY(plan::evaluate(f, v.offset, b.dims.data(), &offset));
    ACCELNN_CHECK(offset >= 0 && offset <= place.bytes / size, bound, "value %lld begins outside its buffer of %lld bytes", ll(i), ll(place.bytes));
    int64_t last = offset;
    bool empty = false, fits = true;
    for (int k = 0; k < v.rank; k++) {
      int64_t &n = view.shape[k], &step = view.stride[k], reach;
      ACCELNN_TRY(plan::evaluate(f, v.shape[k], b.dims.data(), &n));
      ACCELNN_TRY(plan::evaluate(f, v.stride[k], b.dims.data(), &step));
      ACCELNN_CHECK(n >= 0 && step >= 0 && step <= plan::max_elements, bound, "value %lld has size %lld and stride %lld along axis %d", ll(i), ll(n),
                    ll(step), k);
      empty |= n == 0;
      fits &= !__builtin_mul_overflow(count, n ? n : 1, &count) && count <= plan::max_elements;
      fits &= !__builtin_mul_overflow(n ? n - 1 : 0, step, &reach) && !__builtin_add_overflow(last, reach, &last);
    }
    ACCELNN_CHECK(fits, bound, "value %lld, %s, is too large", ll(i), describe(view).text);
    ACCELNN_CHECK(empty || last < place.bytes / size, bound, "value %lld, %s, reaches out of its buffer of %lld bytes", ll(i), describe(view).text,
                  ll(place.bytes));
    view.data = shifted(place.base, offset * size);
  }
  return {};
}

Status Run::bind_calls(Binding* b, const Array<Place>& places, const Array<TensorView>& values) {
  const plan::File& f = plan_->file_;
  const int64_t n_slots = plan_->total_ports() + 1;
  const int64_t n_views = plan_->n_views_ + (f.flows.count ? flow_code.n_views(f) : 0);
  ACCELNN_TRY(b->views.resize(n_views));
  ACCELNN_TRY(b->calls.resize(f.calls.count));
  ACCELNN_TRY(b->first_patch.resize(n_slots + 1));
  Array<uint32_t> value_of;             // of every view
  ACCELNN_TRY(value_of.resize(n_views));
  for (uint32_t& value : value_of) value = plan::no_value;
  for (int64_t i = 0; i < f.calls.count; i++) {
    const plan::CallRecord& c = f.calls[i];
    uint32_t* const at = value_of.data() + plan_->calls_[i].first_view;
    const uint32_t* const operands = f.operands.at + c.first_operand;
    for (uint32_t k = 0; k < c.n_in + c.n_out; k++) at[k < c.n_in ? k : k - c.n_in + uint32_t(plan_->op(int(i))->max_in)] = operands[k];
  }
  if (f.flows.count) flow_code.values(f, value_of.data() + plan_->n_views_);

  // Twice over the views: the first counts each slot's patches, the second writes them where the sums say.
  const auto slot_of = [&](int64_t view) { return value_of[view] == plan::no_value ? n_slots : places[f.values[value_of[view]].buffer].slot; };
  for (int64_t i = 0; i < n_views; i++) {
    b->views[i] = value_of[i] == plan::no_value ? absent_view() : values[value_of[i]];
    const int64_t slot = slot_of(i);
    if (slot < n_slots) b->first_patch[slot + 1]++;
  }
  for (int64_t s = 0; s < n_slots; s++) b->first_patch[s + 1] += b->first_patch[s];
  ACCELNN_TRY(b->patches.resize(b->first_patch[n_slots]));
  Array<int64_t> next;
  ACCELNN_TRY(next.resize(n_slots));
  for (int64_t s = 0; s < n_slots; s++) next[s] = b->first_patch[s];
  for (int64_t i = 0; i < n_views; i++) {
    const int64_t slot = slot_of(i);
    if (slot < n_slots) b->patches[next[slot]++] = {uint32_t(i), b->views[i].as<char>() - b->seen[slot]};
  }

  for (int64_t i = 0; i < f.calls.count; i++) {
    const Plan::CallPlan& call = plan_->calls_[i];
    const Op& op = *call.table->op;
    BoundCall& bound = b->calls[i];
    const TensorView* in = b->views.data() + call.first_view;
    bound.call = Call{in, op.max_in, in + op.max_in, op.max_out, b->attrs.data() + f.calls[i].first_attr};
    Status s = op.check(bound.call);
    if (s.ok()) s = select(*call.table, bound.call, caps_, &bound.row);
    if (!s.ok()) return in_call(s, i, call.label);
    const size_t bytes = op.workspace(bound.call, *bound.row);
    ACCELNN_TRY(within(op.name, int64_t(bytes), memory_limit_));
    if (int64_t(bytes) > b->workspace_bytes) b->workspace_bytes = int64_t(bytes);
  }
  b->arena_bytes = b->workspace_offset + round_up(b->workspace_bytes);
  return f.flows.count ? flow_code.bind(f, b->dims.data(), b->views.data() + plan_->n_views_, &b->most_steps) : Status();
}

Status Run::bind(const TensorView* inputs, const TensorView* states) { return find_or_make(inputs, states); }

Status Run::take_pointers(const TensorView* inputs, const TensorView* outputs, const TensorView* states) {
  for (int i = 0; i < plan_->total_ports(); i++) {
    const Plan::PortRecord& port = plan_->ports_[i];
    const TensorView* view = plan_->given(i, inputs, outputs, states);
    ACCELNN_CHECK(view, shape, "the Plan has outputs, but none were given");
    if (port.kind == PortKind::output) ACCELNN_TRY(plan_->same_port(i, current_->ports[i], *view));
    char* data = view->as<char>();
    ACCELNN_CHECK(data || !view->count(), unsupported, "'%.60s' (%s) has no data", port.info.name, describe(*view).text);
    ACCELNN_CHECK(reinterpret_cast<uintptr_t>(data) % size_of(view->dtype) == 0, unsupported,
                  "'%.60s' (%s) does not begin at a multiple of its element",
                  port.info.name, describe(*view).text);
    base_[i] = data;
  }
  return {};
}

// At bind the ports were apart from each other. What a run writes must still be, or a call could meet an aliasing that its op has not checked.
Status Run::check_overlap() {
  const int64_t n = by_address_.size();
  uint32_t* const order = by_address_.data();
  const auto before = [&](uint32_t a, uint32_t b) { return base_[a] != base_[b] ? base_[a] < base_[b] : a < b; };
  if (n > 1024) {
    sort_indices(order, n, before);
  } else {
    for (int64_t i = 1; i < n; i++) {   // almost sorted: callers pass the same arrays again and again
      const uint32_t moved = order[i];
      int64_t k = i;
      for (; k > 0 && before(moved, order[k - 1]); k--) order[k] = order[k - 1];
      order[k] = moved;
    }
  }
  const char *end_of_any = nullptr, *end_of_written = nullptr;
  int64_t any = 0, writer = 0;
  for (int64_t i = 0; i < n; i++) {
    const uint32_t p = order[i];
    const TensorView& view = current_->ports[p];
    const bool writes = plan_->ports_[p].info.written;
    const int64_t bytes = view.count() * int64_t(size_of(view.dtype));
    if (!bytes) continue;
    const char* const end = base_[p] + bytes;
    const int64_t other = writes ? any : writer;
    ACCELNN_CHECK(base_[p] >= (writes ? end_of_any : end_of_written), aliasing, "'%.60s' and '%.60s' overlap, and a run writes one of them",
                  plan_->ports_[other].info.name, plan_->ports_[p].info.name);
    if (end > end_of_any) {
      end_of_any = end;
      any = p;
    }
    if (writes && end > end_of_written) {
      end_of_written = end;
      writer = p;
    }
  }
  return {};
}

Status Run::grow_arena() {
  if (current_->arena_bytes > arena_size_) {
    release(arena_);
    arena_size_ = 0;
    arena_ = static_cast<char*>(allocate(size_t(current_->arena_bytes)));
    ACCELNN_CHECK(arena_, memory, "no memory for %zu bytes", size_t(current_->arena_bytes));
    arena_size_ = current_->arena_bytes;
  }
  base_[plan_->total_ports()] = arena_;
  return {};
}

void Run::patch(Binding* b) {
  const int64_t arena = plan_->total_ports();
  for (int64_t slot = 0; slot <= arena; slot++) {
    char* const base = base_[slot];
    if (base == b->seen[slot]) continue;
    for (int64_t k = b->first_patch[slot]; k < b->first_patch[slot + 1]; k++) {
      const Patch& p = b->patches[k];
      b->views[p.view].data = base ? base + p.offset : nullptr;
    }
    if (slot == arena && b->workspace_bytes)
      for (BoundCall& c : b->calls) c.call.work = base + b->workspace_offset;
    b->seen[slot] = base;
  }
}

Status Run::run(const TensorView* inputs, const TensorView* outputs, const TensorView* states, Pool* pool, int64_t* nanoseconds) {
  ACCELNN_TRY(find_or_make(inputs, states));
  return run_bound(inputs, outputs, states, pool, nanoseconds);
}

const TensorView& Run::output(int i) const { return current_->ports[plan_->first_port(PortKind::output) + i]; }

Status Run::run_bound(const TensorView* inputs, const TensorView* outputs, const TensorView* states, Pool* pool, int64_t* nanoseconds) {
  ACCELNN_TRY(take_pointers(inputs, outputs, states));
  ACCELNN_TRY(check_overlap());
  ACCELNN_TRY(grow_arena());
  patch(current_);
  const plan::File& f = plan_->file_;
  const int64_t n = current_->calls.size();
  if (nanoseconds && n) memset(nanoseconds, 0, size_t(n) * sizeof *nanoseconds);
  if (pool) pool->begin_run();
  Status result = __builtin_expect(!f.flows.count, 1)
      ? run_calls(0, n, pool, nanoseconds)
      : flow_code.run(f, current_->views.data() + plan_->n_views_, current_->most_steps, step_limit_, {this, pool, nanoseconds, &Run::run_calls});
  if (pool) pool->end_run();
  return result;
}

Status Run::run_calls(int64_t first, int64_t end, Pool* pool, int64_t* nanoseconds) {
  int64_t started = nanoseconds ? now_ns() : 0;
  for (int64_t i = first; i < end; i++) {
    BoundCall& bound = current_->calls[i];
    bound.call.pool = pool;
    Status s = bound.row->run(bound.call);
    if (__builtin_expect(!s.ok(), 0)) return in_call(s, i, plan_->label(int(i)));
    if (nanoseconds) {
      const int64_t now = now_ns();
      nanoseconds[i] += now - started;
      started = now;
    }
  }
  return {};
}

CallInfo Run::call(int i) const {
  const BoundCall& bound = current_->calls[i];
  return {plan_->op_name(i), plan_->label(i), bound.row, &bound.call};
}

int64_t Run::arena_bytes() const { return current_ ? current_->arena_bytes : 0; }
int64_t Run::workspace_bytes() const { return current_ ? current_->workspace_bytes : 0; }

}  // namespace accelnn
