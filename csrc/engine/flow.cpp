#include "flow.h"
#include <cstring>

extern "C" const char accelnn_flow = 1;

namespace accelnn {

using namespace plan;

namespace {

long long ll(int64_t x) { return static_cast<long long>(x); }

#define FORMAT(condition, ...) ACCELNN_CHECK(condition, format, "damaged or hostile Plan: " __VA_ARGS__)

// Walks the calls as a run would, each once: what is read must have been written on every way there.
struct Walk {
  const File& f;
  uint8_t* written;
  Array<uint32_t> trail;                // buffers in the order in which they were first written
  int64_t n_trail = 0, flow = 0, next_block = 1, next_slice = 0;
  Block loops[max_depth];               // those around
  int n_loops = 0;

  // A temporary that is older than a loop lives until the loop ends: the next step finds it where it was.
  Status lives(uint32_t at) const {
    const Buffer& b = f.buffers[at];
    for (int i = 0; i < n_loops && b.storage == Storage::temporary; i++)
      FORMAT(b.first >= loops[i].first_call || b.last >= loops[i].first_call + loops[i].n_calls - 1, "temporary %u ends in a loop that it is older than",
             at);
    return {};
  }
  Status reads(uint32_t value) const {
    const uint32_t at = f.values[value].buffer;
    const Storage s = f.buffers[at].storage;
    FORMAT(written[at] || (s != Storage::temporary && s != Storage::output), "buffer %u is read where it may not have been written", at);
    return lives(at);
  }
  Status writes(uint32_t value) {
    const uint32_t at = f.values[value].buffer;
    if (!written[at]) trail[n_trail++] = at;
    written[at] = 1;
    return lives(at);
  }
  // A value of a flow: memory that a port holds or that lives at that time.
  Status sound(uint32_t value, const Block& time, bool write) const {
    FORMAT(value < f.values.count, "flow %lld names value %u of %lld", ll(flow), value, ll(f.values.count));
    const Buffer& b = f.buffers[f.values[value].buffer];
    FORMAT(b.storage != Storage::temporary || (b.first <= time.first_call && time.first_call + time.n_calls - 1 <= b.last),
           "value %u does not live as long as flow %lld", value, ll(flow));
    FORMAT(!write || b.storage == Storage::temporary || b.storage == Storage::output, "flow %lld writes value %u", ll(flow), value);
    return {};
  }
  void forget(int64_t from) {
    for (int64_t i = from; i < n_trail; i++) written[trail[i]] = 0;
  }

  Status range(Block b, int depth) {
    FORMAT(depth < max_depth, "more than %d blocks in each other", max_depth);
    const uint32_t end = b.first_call + b.n_calls;
    for (uint32_t at = b.first_call; at < end;) {
      uint32_t next = end;
      if (flow < f.flows.count) {
        FORMAT(f.flows[flow].block == next_block && next_block < f.blocks.count, "the blocks of flow %lld do not follow those before", ll(flow));
        const Block& first = f.blocks[next_block];
        FORMAT(first.first_call >= at, "flow %lld stands before the one in front of it", ll(flow));
        if (first.first_call < end) next = first.first_call;
      }
      for (; at < next; at++) {
        const CallRecord& c = f.calls[at];
        for (uint32_t k = 0; k < c.n_in + c.n_out; k++) {
          const uint32_t value = f.operands[c.first_operand + k];
          if (value != no_value) ACCELNN_TRY(k < c.n_in ? reads(value) : writes(value));
        }
      }
      if (at < end) ACCELNN_TRY(one(end, depth, &at));
    }
    return {};
  }

  Status one(uint32_t end, int depth, uint32_t* at) {
    const Flow& w = f.flows[flow];
    const bool loop = w.kind == FlowKind::loop;
    FORMAT(loop || w.kind == FlowKind::branch, "flow %lld is of unknown kind %u", ll(flow), uint32_t(w.kind));
    const int64_t block = next_block;
    for (; next_block < block + (loop ? 1 : 2); next_block++) {
      FORMAT(next_block < f.blocks.count, "flow %lld has too few blocks", ll(flow));
      const Block& b = f.blocks[next_block];
      FORMAT(b.first_call == *at && b.n_calls && b.n_calls <= end - *at, "block %lld does not lie in the one around it", ll(next_block));
      *at += b.n_calls;
    }
    const Block& body = f.blocks[block];
    FORMAT(w.first_slice == next_slice && w.n_slices <= f.slices.count - next_slice, "the slices of flow %lld do not follow those before", ll(flow));
    const int64_t slices = next_slice, from = n_trail;
    next_slice += w.n_slices;
    if (w.condition != no_value) {
      ACCELNN_TRY(sound(w.condition, loop ? body : Block{body.first_call, 1}, false));
      ACCELNN_TRY(reads(w.condition));
    }
    if (!loop) {
      FORMAT(w.condition != no_value && w.trips == no_value && w.counter == no_value && !w.n_slices, "branch %lld is not sound", ll(flow));
      flow++;
      ACCELNN_TRY(range(body, depth + 1));
      const int64_t middle = n_trail;
      forget(from);
      ACCELNN_TRY(range(f.blocks[block + 1], depth + 1));
      for (int64_t i = from; i < middle; i++) written[trail[i]] *= 2;      // 2: by both
      int64_t kept = from;
      for (int64_t i = middle; i < n_trail; i++) {
        const uint32_t buffer = trail[i];
        if (written[buffer] == 2) trail[kept++] = buffer;
        written[buffer] = written[buffer] == 2;
      }
      n_trail = kept;
      return {};
    }
    if (w.trips != no_value) {
      ACCELNN_TRY(sound(w.trips, {body.first_call, 1}, false));
      ACCELNN_TRY(reads(w.trips));
    }
    loops[n_loops++] = body;
    if (w.counter != no_value) {
      ACCELNN_TRY(sound(w.counter, body, true));
      ACCELNN_TRY(writes(w.counter));
    }
    for (int64_t i = slices; i < next_slice; i++) {
      const Slice& s = f.slices[i];
      FORMAT(s.written <= 1, "slice %lld is neither read nor written", ll(i));
      FORMAT(!s.written || (w.condition == no_value && w.trips == no_value), "slice %lld: a loop that may end early would not fill it", ll(i));
      ACCELNN_TRY(sound(s.whole, body, s.written));
      ACCELNN_TRY(sound(s.part, body, !s.written));
      if (s.written) continue;
      ACCELNN_TRY(reads(s.whole));
      ACCELNN_TRY(writes(s.part));
    }
    flow++;
    ACCELNN_TRY(range(body, depth + 1));
    for (int64_t i = slices; i < next_slice; i++)
      if (f.slices[i].written) ACCELNN_TRY(reads(f.slices[i].part));
    n_loops--;
    forget(from);                       // there may have been no step
    n_trail = from;
    for (int64_t i = slices; i < next_slice; i++)
      if (f.slices[i].written) ACCELNN_TRY(writes(f.slices[i].whole));
    return {};
  }
};

template <class T> Status take(const Span<char>& section, int64_t limit, Span<T>* span) {
  FORMAT(section.count % int64_t(sizeof(T)) == 0 && section.count / int64_t(sizeof(T)) <= limit, "a section of %lld bytes: at most %lld elements of %zu",
         ll(section.count), ll(limit), sizeof(T));
  span->at = reinterpret_cast<const T*>(section.at);
  span->count = section.count / int64_t(sizeof(T));
  return {};
}

Status check(File* file, uint8_t* written) {
  ACCELNN_TRY(take(file->flow_section, max_flows, &file->flows));
  ACCELNN_TRY(take(file->slice_section, max_count, &file->slices));
  const File& f = *file;
  for (int64_t i = 0; i < f.flows.count; i++) ACCELNN_TRY(check_expression(f, f.flows[i].most, "flow", i));
  Walk walk{f, written, {}, 0, 0, 1, 0, {}, 0};
  if (f.buffers.count) memset(written, 0, size_t(f.buffers.count));   // an empty Array lies nowhere
  ACCELNN_TRY(walk.trail.resize(f.operands.count + f.flows.count + f.slices.count));
  ACCELNN_TRY(walk.range(f.blocks[0], 0));
  FORMAT(walk.flow == f.flows.count && walk.next_block == f.blocks.count && walk.next_slice == f.slices.count,
         "%lld flows, %lld blocks, %lld slices: not all of them are in use", ll(f.flows.count), ll(f.blocks.count), ll(f.slices.count));
  return {};
}

// No view was given: absent, or of one element of this type.
bool is_one(const TensorView& v, bool given, DType dtype) { return !given || (v.dtype == dtype && v.count() == 1); }

int64_t n_views(const File& f) { return 3 * f.flows.count + 2 * f.slices.count; }

void values(const File& f, uint32_t* at) {
  for (const Flow& w : f.flows) {
    *at++ = w.condition;
    *at++ = w.trips;
    *at++ = w.counter;
  }
  for (const Slice& s : f.slices) {
    *at++ = s.whole;
    *at++ = s.part;
  }
}

Status bind(const File& f, const int64_t* dims, const TensorView* views, Array<int64_t>* most_steps) {
  ACCELNN_TRY(most_steps->resize(f.flows.count));
  int64_t* const most = most_steps->data();
  const TensorView* slice = views + 3 * f.flows.count;
  for (int64_t i = 0; i < f.flows.count; i++, views += 3) {
    const Flow& w = f.flows[i];
    ACCELNN_CHECK(is_one(views[0], w.condition != no_value, DType::boolean), dtype, "the condition of flow %lld is %s, not one bool", ll(i),
                  describe(views[0]).text);
    ACCELNN_CHECK(is_one(views[1], w.trips != no_value, DType::i64) && is_one(views[2], w.counter != no_value, DType::i64), dtype,
                  "the number of steps or the counter of loop %lld is not one int64", ll(i));
    ACCELNN_TRY(evaluate(f, w.most, dims, &most[i]));
    for (uint32_t k = 0; k < w.n_slices; k++, slice += 2) {
      const TensorView &whole = slice[0], &part = slice[1];
      bool same = whole.dtype == part.dtype && whole.rank == part.rank + 1 && whole.contiguous() && part.contiguous() && !overlap(whole, part);
      for (int d = 0; same && d < part.rank; d++) same = whole.shape[d + 1] == part.shape[d];
      ACCELNN_CHECK(same && whole.shape[0] == most[i], shape, "loop %lld of %lld steps: %s is no step of %s", ll(i), ll(most[i]), describe(part).text,
                    describe(whole).text);
    }
  }
  return {};
}

struct Runner {
  const File& f;
  const TensorView *views, *slices;
  const int64_t* most;
  int64_t limit;
  const Pass& pass;
  int64_t steps = 0;                    // of all loops

  // `flow`: the first that does not stand before the block. Afterwards the first behind it.
  Status range(const Block& b, int64_t* flow) {
    const int64_t end = int64_t(b.first_call) + b.n_calls;
    for (int64_t at = b.first_call; at < end;) {
      const bool stops = *flow < f.flows.count && f.blocks[f.flows[*flow].block].first_call < end;
      const int64_t next = stops ? f.blocks[f.flows[*flow].block].first_call : end;
      if (next > at) ACCELNN_TRY((pass.run->*pass.calls)(at, next, pass.pool, pass.nanoseconds));
      at = next;
      if (stops) ACCELNN_TRY(one(flow, &at));
    }
    return {};
  }

  Status one(int64_t* flow, int64_t* at) {
    const int64_t i = *flow;
    const Flow& w = f.flows[i];
    const TensorView* v = views + 3 * i;
    const Block& body = f.blocks[w.block];
    if (w.kind == FlowKind::branch) {
      const Block& other = f.blocks[w.block + 1];
      const bool first = *v[0].as<uint8_t>();
      *at = int64_t(other.first_call) + other.n_calls;
      *flow = behind(i + 1, first ? body.first_call : other.first_call);
      ACCELNN_TRY(range(first ? body : other, flow));
      *flow = behind(*flow, *at);
      return {};
    }
    *at = int64_t(body.first_call) + body.n_calls;
    const int64_t trips = w.trips == no_value || *v[1].as<int64_t>() > most[i] ? most[i] : *v[1].as<int64_t>();
    for (int64_t k = 0; k < trips && (w.condition == no_value || *v[0].as<uint8_t>()); k++) {
      ACCELNN_CHECK(steps++ < limit, bound, "more than %lld steps of loops", ll(limit));
      if (w.counter != no_value) *v[2].as<int64_t>() = k;
      move(w, k, 0);
      *flow = i + 1;
      ACCELNN_TRY(range(body, flow));
      move(w, k, 1);
    }
    *flow = behind(i + 1, *at);
    return {};
  }

  // The first flow from `i` on that stands at a call or behind it.
  int64_t behind(int64_t i, int64_t call) const {
    while (i < f.flows.count && f.blocks[f.flows[i].block].first_call < call) i++;
    return i;
  }

  void move(const Flow& w, int64_t k, uint32_t written) const {
    for (uint32_t s = 0; s < w.n_slices; s++) {
      if (f.slices[w.first_slice + s].written != written) continue;
      const TensorView &whole = slices[2 * (w.first_slice + s)], &part = slices[2 * (w.first_slice + s) + 1];
      const size_t bytes = size_t(part.count()) * size_of(part.dtype);
      char* at = whole.as<char>() + size_t(k) * bytes;
      if (bytes) memcpy(written ? at : part.as<char>(), written ? part.as<char>() : at, bytes);
    }
  }
};

Status run(const File& f, const TensorView* views, const Array<int64_t>& most_steps, int64_t limit, const Pass& pass) {
  int64_t flow = 0;
  return Runner{f, views, views + 3 * f.flows.count, most_steps.data(), limit, pass}.range(f.blocks[0], &flow);
}

}  // namespace

const FlowCode flow_code = {check, n_views, values, bind, run};

}  // namespace accelnn
