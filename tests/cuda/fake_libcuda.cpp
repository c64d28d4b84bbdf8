// A libcuda that runs no kernel: it keeps device memory on the host so that copies work, checks what it is asked as strictly as the real one, writes down
// launches, and fails the nth call of an entry point when a test says so (fake_* below). Kernels run if a test brings an emulator (fake_on_launch). While it
// is lazy, streams do nothing until somebody waits for them, and then no more than was waited for: the worst of all orders. Compiled by tests/cuda/fake.py.
#include "fake_image.h"
#include "cuda/abi.h"
#include <sys/mman.h>
#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>

#define ENTRY extern "C" __attribute__((visibility("default")))

using namespace accelnn::cuda;

namespace {

constexpr Result invalid_context = 201, invalid_handle = 400, out_of_resources = 701, invalid_cluster = 912;
constexpr size_t page = 4096, space = size_t(1) << 36;

struct Object {
  enum Kind { module, function, stream, event, graph, exec } kind;
  int device;
  Image image;                            // module
  std::shared_ptr<const std::string> bytes;
  Kernel kernel;                          // function
  Object* module_of = nullptr;
  int allowed = 48 << 10;
  bool capturing = false, invalid = false;           // stream
  std::vector<std::function<Result()>> work;         // stream under capture, graph
  std::vector<std::function<Result()>> queue;        // stream: what was asked of it while lazy, and how much of that is done
  size_t done = 0;
  int number = 0;                         // of a stream: 0 is the default one
  bool timing = true;                     // event
  long recorded = 0;
  Object* on = nullptr;                   // the stream that it was recorded in, after so many pieces of its queue
  size_t position = 0;
};

struct Block {
  Address begin, end;
  bool alive;
  int device;
};

struct Failure { int nth; Result code; };

// A launch as an emulator wants it: parameters as the kernel finds them.
struct Launched {
  const char* image;
  size_t image_bytes;
  const char* kernel;
  unsigned grid[3], block[3], shared;
  const unsigned char* parameters;
  size_t parameter_bytes;
};
using OnLaunch = Result (*)(const Launched*);

struct State {
  std::map<std::string, int> calls;
  std::map<std::string, Failure> failures;
  std::map<std::string, long> settings;
  std::map<Object*, std::unique_ptr<Object>> objects;
  std::map<std::pair<int, int>, std::unique_ptr<Object>> standing;       // device and number: the default stream, and each thread's own
  OnLaunch on_launch = nullptr;
  int streams = 0;
  std::vector<Block> blocks;
  Address next = 0;
  size_t used = 0;
  Result lost = 0;
  long clock = 0;
  std::string log;
};

State* state = new State;
std::recursive_mutex guard;
const std::map<std::string, long> defaults = {{"devices", 2}, {"arch", 90}, {"optin", 232448}, {"version", 13000}, {"memory", 1L << 30},
                                              {"busy", 0}, {"quick", 0}, {"lazy", 0}, {"streams", 0}};
int contexts[32];                         // a context is the address of its device's entry
thread_local Context current = nullptr;

long setting(const char* name) {
  const auto found = state->settings.find(name);
  return found != state->settings.end() ? found->second : defaults.at(name);
}

int device_of(Context c) { return int(reinterpret_cast<int*>(c) - contexts); }

// Counts the call; 0, or what it has to answer.
Result begin(const char* entry, bool needs_context) {
  const int nth = ++state->calls[entry];
  const auto found = state->failures.find(entry);
  if (found != state->failures.end() && found->second.nth == nth) return found->second.code;
  if (state->lost && needs_context) return state->lost;
  return needs_context && !current ? invalid_context : result::success;
}

#define BEGIN(entry, needs_context)                                        \
  const std::lock_guard<std::recursive_mutex> locked(guard);               \
  if (const Result r = begin(entry, needs_context)) return r

template <class H> H add(Object&& o) {
  auto made = std::make_unique<Object>(std::move(o));
  made->device = device_of(current);
  Object* p = made.get();
  state->objects[p] = std::move(made);
  return reinterpret_cast<H>(p);
}

template <class H> Object* get(H handle, Object::Kind kind) {
  const auto found = state->objects.find(reinterpret_cast<Object*>(handle));
  return found != state->objects.end() && found->first->kind == kind && found->first->device == device_of(current) ? found->first : nullptr;
}

#define GET(name, handle, kind)                \
  Object* const name = get(handle, Object::kind); \
  if (!name) return invalid_handle

template <class H> Result drop(H handle, Object::Kind kind) {
  if (!get(handle, kind)) return invalid_handle;
  state->objects.erase(reinterpret_cast<Object*>(handle));
  return result::success;
}

const Block* block_at(Address a) {
  for (const Block& b : state->blocks)
    if (a >= b.begin && a < b.end) return &b;
  return nullptr;
}

bool valid(Address a, size_t bytes) {
  const Block* b = block_at(a);
  return b && b->alive && bytes <= b->end - a;
}

// What spoils every capture of this device: the thread-local mode lets other threads alone, and the tests have one.
Result forbidden_while_capturing() {
  Result r = result::success;
  for (auto& [p, o] : state->objects)
    if (p->kind == Object::stream && p->capturing) {
      p->invalid = true;
      r = result::capture_unsupported;
    }
  return r;
}

// Null, and 1 by its other name, is the device's default stream; 2 is one for each thread, of which tests have one.
Object* stream_at(StreamHandle handle) {
  const auto number = reinterpret_cast<uintptr_t>(handle);
  if (number > 2) return get(handle, Object::stream);
  auto& s = state->standing[{device_of(current), number == 2}];
  if (!s) s.reset(new Object{Object::stream, device_of(current), {}, {}, {}});
  s->number = number == 2 ? -1 : 0;
  return s.get();
}

Result run_until(Object* s, size_t n) {
  while (s->done < n) {
    const auto work = s->queue[s->done++];
    if (const Result r = work()) return r;
  }
  return state->lost;
}
Result run_all(Object* s) { return run_until(s, s->queue.size()); }

// Runs work now or, while lazy, later; or writes it into the capture of its stream.
Result submit(StreamHandle handle, std::function<Result()> work) {
  Object* const s = stream_at(handle);
  if (!s) return invalid_handle;
  if (!s->capturing && !setting("lazy")) return work();
  (s->capturing ? s->work : s->queue).push_back(std::move(work));
  return result::success;
}

void note(const std::string& line) { state->log += line + "\n"; }
// A test that asks for it is told of which stream something happened in.
std::string in_stream(StreamHandle s) { return setting("streams") ? " in stream " + std::to_string(stream_at(s)->number) : ""; }

std::string three(const unsigned* n) { return std::to_string(n[0]) + "," + std::to_string(n[1]) + "," + std::to_string(n[2]); }

}  // namespace

// ---- what tests say and ask

ENTRY void fake_reset() {
  const std::lock_guard<std::recursive_mutex> locked(guard);
  const Address next = state->next;       // addresses are never given twice: a stale one is always seen
  delete state;
  state = new State;
  state->next = next;
}
ENTRY void fake_set(const char* name, long value) { state->settings[name] = value; }
ENTRY void fake_fail(const char* entry, int nth, int code) { state->failures[entry] = {state->calls[entry] + nth, code}; }
ENTRY void fake_lose(int code) { state->lost = code; }
ENTRY int fake_calls(const char* entry) { return state->calls[entry]; }
ENTRY const char* fake_log() { return state->log.c_str(); }
ENTRY void fake_on_launch(OnLaunch f) { state->on_launch = f; }
ENTRY int fake_block(Address a, Address* begin, Address* end) {
  const Block* b = block_at(a);
  if (!b || !b->alive) return 0;
  *begin = b->begin;
  *end = b->end;
  return 1;
}
ENTRY int fake_live() {
  int n = 0;
  for (const Block& b : state->blocks) n += b.alive;
  for (const auto& o : state->objects) n += o.first->kind != Object::function;
  return n;
}

// ---- the driver

ENTRY Result cuInit(unsigned) {
  BEGIN("cuInit", false);
  return setting("devices") ? result::success : result::no_device;
}
ENTRY Result cuDriverGetVersion(int* v) {
  BEGIN("cuDriverGetVersion", false);
  *v = int(setting("version"));
  return 0;
}
ENTRY Result cuGetErrorName(Result r, const char** s) {
  BEGIN("cuGetErrorName", false);
  static const std::map<Result, const char*> names = {{1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {3, "CUDA_ERROR_NOT_INITIALIZED"},
    {4, "CUDA_ERROR_DEINITIALIZED"}, {100, "CUDA_ERROR_NO_DEVICE"}, {201, "CUDA_ERROR_INVALID_CONTEXT"}, {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
    {218, "CUDA_ERROR_INVALID_PTX"}, {400, "CUDA_ERROR_INVALID_HANDLE"}, {500, "CUDA_ERROR_NOT_FOUND"}, {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {719, "CUDA_ERROR_LAUNCH_FAILED"}, {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}, {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
    {999, "CUDA_ERROR_UNKNOWN"}};
  const auto found = names.find(r);
  *s = found == names.end() ? nullptr : found->second;
  return *s ? 0 : result::invalid_value;
}
ENTRY Result cuGetErrorString(Result r, const char** s) {
  BEGIN("cuGetErrorString", false);
  const char* name;
  *s = cuGetErrorName(r, &name) ? nullptr : "the fake's words";
  return *s ? 0 : result::invalid_value;
}
ENTRY Result cuDeviceGetCount(int* n) {
  BEGIN("cuDeviceGetCount", false);
  *n = int(setting("devices"));
  return 0;
}
ENTRY Result cuDeviceGet(int* d, int i) {
  BEGIN("cuDeviceGet", false);
  *d = i;
  return i < setting("devices") ? 0 : 101;
}
ENTRY Result cuDeviceGetName(char* to, int n, int d) {
  BEGIN("cuDeviceGetName", false);
  snprintf(to, size_t(n), "Fake GPU %d", d);
  return 0;
}
ENTRY Result cuDeviceTotalMem_v2(size_t* n, int) {
  BEGIN("cuDeviceTotalMem", false);
  *n = size_t(setting("memory"));
  return 0;
}
ENTRY Result cuDeviceGetAttribute(int* v, int which, int) {
  BEGIN("cuDeviceGetAttribute", false);
  namespace a = device_attribute;
  const long arch = setting("arch");
  const std::map<int, long> values = {{a::major, arch / 10}, {a::minor, arch % 10}, {a::units, 132}, {a::warp_size, 32}, {a::threads_per_block, 1024},
    {a::threads_per_unit, 2048}, {a::shared_per_block, 49152}, {a::shared_optin, setting("optin")}, {a::shared_per_unit, 233472}, {a::l2_bytes, 50 << 20},
    {a::clock_khz, 1980000}, {a::memory_clock_khz, 2619000}, {a::memory_bus_bits, 5120}, {a::cooperative, 1}, {a::clusters, arch >= 90}};
  const auto found = values.find(which);
  *v = found == values.end() ? 0 : int(found->second);
  return found == values.end() ? result::invalid_value : 0;
}
ENTRY Result cuDevicePrimaryCtxRetain(Context* c, int d) {
  BEGIN("cuDevicePrimaryCtxRetain", false);
  *c = reinterpret_cast<Context>(contexts + d);
  return 0;
}
ENTRY Result cuCtxGetCurrent(Context* c) {
  BEGIN("cuCtxGetCurrent", false);
  *c = current;
  return 0;
}
ENTRY Result cuCtxSetCurrent(Context c) {
  BEGIN("cuCtxSetCurrent", false);
  current = c;
  return 0;
}
ENTRY Result cuCtxSynchronize() {
  BEGIN("cuCtxSynchronize", true);
  if (const Result r = forbidden_while_capturing()) return r;
  for (auto& [p, o] : state->objects)
    if (p->kind == Object::stream && p->device == device_of(current)) run_all(p);
  for (auto& [which, o] : state->standing)
    if (which.first == device_of(current)) run_all(o.get());
  return state->lost;
}

ENTRY Result cuModuleLoadDataEx(ModuleHandle* m, const void* image, unsigned n, int* options, void** values) {
  BEGIN("cuModuleLoadDataEx", true);
  Object o{Object::module, 0, {}, {}, {}};
  std::string complaint;
  const Result r = read_image(static_cast<const char*>(image), int(setting("arch")), &o.image, &complaint);
  for (unsigned i = 0; i < n; i++)
    if (options[i] == jit::error_log && !complaint.empty()) strcpy(static_cast<char*>(values[i]), complaint.c_str());
  if (r) return r;
  o.bytes = std::make_shared<const std::string>(static_cast<const char*>(image), image_bytes(static_cast<const char*>(image)));
  *m = add<ModuleHandle>(std::move(o));
  return result::success;
}
ENTRY Result cuModuleUnload(ModuleHandle m) {
  BEGIN("cuModuleUnload", true);
  for (auto it = state->objects.begin(); it != state->objects.end();)
    it = it->first->module_of == reinterpret_cast<Object*>(m) ? state->objects.erase(it) : std::next(it);
  return drop(m, Object::module);
}
ENTRY Result cuModuleGetFunction(FunctionHandle* f, ModuleHandle m, const char* name) {
  BEGIN("cuModuleGetFunction", true);
  GET(module, m, module);
  const auto found = module->image.kernels.find(name);
  if (found == module->image.kernels.end()) return result::not_found;
  Object o{Object::function, 0, {}, {}, found->second};
  o.module_of = module;
  *f = add<FunctionHandle>(std::move(o));
  return 0;
}
ENTRY Result cuFuncGetAttribute(int* v, int which, FunctionHandle handle) {
  BEGIN("cuFuncGetAttribute", true);
  GET(f, handle, function);
  namespace a = function_attribute;
  *v = which == a::threads_per_block ? f->kernel.threads : which == a::static_shared ? f->kernel.shared : which == a::registers ? 32 : 0;
  return 0;
}
ENTRY Result cuFuncSetAttribute(FunctionHandle handle, int which, int value) {
  BEGIN("cuFuncSetAttribute", true);
  GET(f, handle, function);
  if (which == function_attribute::large_clusters) return 0;
  if (which != function_attribute::max_dynamic_shared || value < 0 || value + f->kernel.shared > setting("optin")) return result::invalid_value;
  f->allowed = std::max(f->allowed, value + f->kernel.shared);
  return 0;
}
#ifndef FAKE_IS_OLD
ENTRY Result cuFuncGetParamInfo(FunctionHandle handle, size_t i, size_t* offset, size_t* bytes) {
  BEGIN("cuFuncGetParamInfo", true);
  GET(f, handle, function);
  if (i >= f->kernel.parameters.size()) return result::invalid_value;
  *offset = f->kernel.parameters[i].offset;
  *bytes = f->kernel.parameters[i].bytes;
  return 0;
}
#endif

namespace {

// The parameters as the kernel finds them, and their words.
std::string read_arguments(const Kernel& k, void** arguments, std::string* packed) {
  std::string text;
  for (size_t i = 0; i < k.parameters.size(); i++) {
    const KernelParameter& p = k.parameters[i];
    unsigned long long value = 0;
    memcpy(&value, arguments[i], std::min<size_t>(8, p.bytes));
    text += " " + std::to_string(value);
    packed->resize(std::max(packed->size(), size_t(p.offset) + p.bytes));
    memcpy(&(*packed)[p.offset], arguments[i], p.bytes);
  }
  return text;
}

// Whether an argument is an address that was given back.
bool stale(const Kernel& k, const std::string& packed) {
  for (const KernelParameter& p : k.parameters) {
    Address value = 0;
    if (p.bytes == 8) memcpy(&value, &packed[p.offset], 8);
    if (const Block* b = block_at(value); b && !b->alive) return true;
  }
  return false;
}

}  // namespace

ENTRY Result cuLaunchKernelEx(const LaunchConfig* c, FunctionHandle handle, void** arguments, void** extra) {
  if (state->settings.count("quick")) return result::success;
  BEGIN("cuLaunchKernelEx", true);
  GET(f, handle, function);
  const Kernel& k = f->kernel;
  if (extra || (!k.parameters.empty() && !arguments)) return result::invalid_value;
  for (int i = 0; i < 3; i++)
    if (!c->grid[i] || !c->block[i]) return result::invalid_value;
  if (c->grid[0] > 2147483647u || c->grid[1] > 65535 || c->grid[2] > 65535 || c->block[2] > 64) return result::invalid_value;
  if (c->block[0] * c->block[1] * c->block[2] > unsigned(k.threads)) return out_of_resources;
  if (int(c->shared) + k.shared > f->allowed) return result::invalid_value;
  std::string options;
  for (unsigned i = 0; i < c->n_attributes; i++) {
    const LaunchAttribute& a = c->attributes[i];
    if (a.id == launch_attribute::cooperative) options += " cooperative";
    if (a.id == launch_attribute::overlap) options += " overlap";
    if (a.id != launch_attribute::cluster) continue;
    const unsigned size[3] = {a.value.cluster.x, a.value.cluster.y, a.value.cluster.z};
    for (int d = 0; d < 3; d++)
      if (c->grid[d] % size[d]) return invalid_cluster;
    options += " cluster " + three(size);
  }
  std::string packed;
  const std::string line = "launch " + k.name + " grid " + three(c->grid) + " block " + three(c->block) + " shared " + std::to_string(c->shared) + options +
                           in_stream(c->stream) + " args" + read_arguments(k, arguments, &packed);
  const LaunchConfig config = *c;
  return submit(c->stream, [line, packed, config, kernel = k, image = f->module_of->bytes]() -> Result {
    note(line);
    if (stale(kernel, packed)) state->lost = result::illegal_address;      // as on a device: whoever comes next hears of it
    if (state->lost || !state->on_launch) return result::success;
    Launched l = {image->data(), image->size(), kernel.name.c_str(), {}, {}, config.shared,
                  reinterpret_cast<const unsigned char*>(packed.data()), packed.size()};
    memcpy(l.grid, config.grid, sizeof l.grid);
    memcpy(l.block, config.block, sizeof l.block);
    state->lost = state->on_launch(&l);
    return result::success;
  });
}

ENTRY Result cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  BEGIN("cuMemGetInfo", true);
  *total = size_t(setting("memory"));
  *free_bytes = *total - state->used;
  return 0;
}
ENTRY Result cuMemAlloc_v2(Address* a, size_t n) {
  BEGIN("cuMemAlloc", true);
  if (const Result r = forbidden_while_capturing()) return r;
  if (!n) return result::invalid_value;
  if (n > size_t(setting("memory")) - state->used) return result::out_of_memory;
  static const Address base = Address(mmap(nullptr, space, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  const size_t whole = (n + page - 1) / page * page;
  const Address at = base + state->next;
  mprotect(reinterpret_cast<void*>(at), whole, PROT_READ | PROT_WRITE);
  memset(reinterpret_cast<void*>(at), 0xCD, whole);
  state->next += whole + page;
  state->used += n;
  state->blocks.push_back({at, at + n, true, device_of(current)});
  *a = at;
  return 0;
}
ENTRY Result cuMemFree_v2(Address a) {
  BEGIN("cuMemFree", true);
  for (Block& b : state->blocks)
    if (b.begin == a && b.alive) {
      b.alive = false;
      state->used -= b.end - b.begin;
      return mprotect(reinterpret_cast<void*>(a), (b.end - a + page - 1) / page * page, PROT_NONE) ? result::unknown : result::success;
    }
  return result::invalid_value;
}

ENTRY Result cuPointerGetAttribute(void* to, int which, Address a) {
  BEGIN("cuPointerGetAttribute", true);
  const Block* b = block_at(a);
  if (!b || !b->alive || which != pointer_attribute::device_ordinal) return result::invalid_value;
  *static_cast<int*>(to) = b->device;
  return 0;
}

namespace {
Result move(StreamHandle s, void* to, const void* from, size_t n, bool right) {
  if (!right) return result::invalid_value;
  return submit(s, [=] { return memmove(to, from, n), result::success; });
}
void* pointer(Address a) { return reinterpret_cast<void*>(a); }
}  // namespace

ENTRY Result cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, StreamHandle s) {
  BEGIN("cuMemcpyHtoDAsync", true);
  return move(s, pointer(to), from, n, valid(to, n));
}
ENTRY Result cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, StreamHandle s) {
  BEGIN("cuMemcpyDtoHAsync", true);
  return move(s, to, pointer(from), n, valid(from, n));
}
ENTRY Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, StreamHandle s) {
  BEGIN("cuMemcpyDtoDAsync", true);
  return move(s, pointer(to), pointer(from), n, valid(to, n) && valid(from, n));
}
ENTRY Result cuMemsetD8Async(Address to, unsigned char v, size_t n, StreamHandle s) {
  BEGIN("cuMemsetD8Async", true);
  if (!valid(to, n)) return result::invalid_value;
  return submit(s, [=] { return memset(pointer(to), v, n), result::success; });
}
ENTRY Result cuMemsetD32Async(Address to, unsigned v, size_t n, StreamHandle s) {
  BEGIN("cuMemsetD32Async", true);
  if (!valid(to, 4 * n) || to % 4) return result::invalid_value;
  return submit(s, [=] { return std::fill_n(static_cast<unsigned*>(pointer(to)), n, v), result::success; });
}

ENTRY Result cuStreamCreate(StreamHandle* s, unsigned) {
  BEGIN("cuStreamCreate", true);
  Object o{Object::stream, 0, {}, {}, {}};
  o.number = ++state->streams;
  *s = add<StreamHandle>(std::move(o));
  return 0;
}
ENTRY Result cuStreamDestroy_v2(StreamHandle handle) {
  BEGIN("cuStreamDestroy", true);
  GET(s, handle, stream);
  run_all(s);                             // its work is done nevertheless
  for (auto& [p, o] : state->objects)
    if (p->on == s) p->on = nullptr;
  return drop(handle, Object::stream);
}
ENTRY Result cuStreamSynchronize(StreamHandle s) {
  BEGIN("cuStreamSynchronize", true);
  if (!stream_at(s)) return invalid_handle;
  if (const Result r = forbidden_while_capturing()) return r;
  return run_all(stream_at(s));
}
ENTRY Result cuStreamQuery(StreamHandle s) {
  BEGIN("cuStreamQuery", true);
  const Object* const p = stream_at(s);
  if (!p) return invalid_handle;
  return setting("busy") || p->done < p->queue.size() ? result::not_ready : result::success;
}
ENTRY Result cuStreamWaitEvent(StreamHandle s, EventHandle e, unsigned) {
  BEGIN("cuStreamWaitEvent", true);
  GET(event, e, event);
  if (!stream_at(s)) return invalid_handle;
  const std::string line = "wait for event " + std::to_string(event->recorded) + in_stream(s);
  return submit(s, [line, on = event->on, position = event->position] {
    note(line);
    return on ? run_until(on, position) : result::success;
  });
}
ENTRY Result cuEventCreate(EventHandle* e, unsigned flags) {
  BEGIN("cuEventCreate", true);
  Object o{Object::event, 0, {}, {}, {}};
  o.timing = !(flags & event_no_timing);
  *e = add<EventHandle>(std::move(o));
  return 0;
}
ENTRY Result cuEventDestroy_v2(EventHandle e) {
  BEGIN("cuEventDestroy", true);
  return drop(e, Object::event);
}
ENTRY Result cuEventRecord(EventHandle handle, StreamHandle s) {
  BEGIN("cuEventRecord", true);
  GET(e, handle, event);
  Object* const on = stream_at(s);
  if (!on) return invalid_handle;
  const long time = ++state->clock;
  if (setting("streams")) note("event " + std::to_string(time) + in_stream(s));
  if (!on->capturing) {
    e->recorded = time;
    e->on = on;
    e->position = on->queue.size();
    return result::success;
  }
  return submit(s, [=] { return e->recorded = time, result::success; });
}
ENTRY Result cuEventQuery(EventHandle e) {
  BEGIN("cuEventQuery", true);
  GET(event, e, event);
  return setting("busy") || (event->on && event->on->done < event->position) ? result::not_ready : result::success;
}
ENTRY Result cuEventSynchronize(EventHandle e) {
  BEGIN("cuEventSynchronize", true);
  GET(event, e, event);
  return event->on ? run_until(event->on, event->position) : state->lost;
}
ENTRY Result cuEventElapsedTime(float* ms, EventHandle a, EventHandle b) {
  BEGIN("cuEventElapsedTime", true);
  GET(from, a, event);
  GET(to, b, event);
  if (!from->recorded || !to->recorded || !from->timing || !to->timing) return invalid_handle;
  *ms = float(to->recorded - from->recorded) * 0.5f;
  return 0;
}

ENTRY Result cuStreamBeginCapture_v2(StreamHandle handle, int mode) {
  BEGIN("cuStreamBeginCapture", true);
  GET(s, handle, stream);
  if (s->capturing || mode != capture_thread_local) return result::invalid_value;
  s->capturing = true;
  return 0;
}
ENTRY Result cuStreamIsCapturing(StreamHandle handle, int* now) {
  BEGIN("cuStreamIsCapturing", true);
  GET(s, handle, stream);
  *now = s->capturing ? 1 + s->invalid : 0;
  return 0;
}
ENTRY Result cuStreamEndCapture(StreamHandle handle, GraphHandle* g) {
  BEGIN("cuStreamEndCapture", true);
  GET(s, handle, stream);
  if (!s->capturing) return result::invalid_value;
  Object o{Object::graph, 0, {}, {}, {}};
  o.work.swap(s->work);
  const bool invalid = s->invalid;
  s->capturing = s->invalid = false;
  if (invalid) return result::capture_invalidated;
  *g = add<GraphHandle>(std::move(o));
  return 0;
}
ENTRY Result cuGraphGetNodes(GraphHandle handle, GraphNode*, size_t* n) {
  BEGIN("cuGraphGetNodes", true);
  GET(g, handle, graph);
  *n = g->work.size();
  return 0;
}
ENTRY Result cuGraphInstantiateWithFlags(GraphExec* e, GraphHandle handle, unsigned long long) {
  BEGIN("cuGraphInstantiateWithFlags", true);
  GET(g, handle, graph);
  Object o{Object::exec, 0, {}, {}, {}};
  o.work = g->work;
  *e = add<GraphExec>(std::move(o));
  return 0;
}
#ifndef FAKE_LACKS_GRAPHS
ENTRY Result cuGraphLaunch(GraphExec handle, StreamHandle s) {
  BEGIN("cuGraphLaunch", true);
  GET(e, handle, exec);
  if (!stream_at(s)) return invalid_handle;
  note("graph of " + std::to_string(e->work.size()));
  for (const auto& work : e->work)
    if (const Result r = work()) return r;
  return 0;
}
#endif
ENTRY Result cuGraphExecDestroy(GraphExec e) {
  BEGIN("cuGraphExecDestroy", true);
  return drop(e, Object::exec);
}
ENTRY Result cuGraphDestroy(GraphHandle g) {
  BEGIN("cuGraphDestroy", true);
  return drop(g, Object::graph);
}

// The first words of the map say what was asked, for the test to read.
ENTRY Result cuTensorMapEncodeTiled(TensorMap* map, int type, unsigned rank, void* address, const uint64_t* shape, const uint64_t* stride, const unsigned* box,
                                    const unsigned* step, int interleave, int swizzle, int promotion, int fill) {
  BEGIN("cuTensorMapEncodeTiled", true);
  if (reinterpret_cast<uintptr_t>(map) % 64 || rank < 1 || rank > 5 || reinterpret_cast<uintptr_t>(address) % 16 || interleave) return result::invalid_value;
  for (unsigned d = 0; d < rank; d++)
    if (!shape[d] || !box[d] || box[d] > 256 || !step[d] || step[d] > 8 || (d && stride[d - 1] % 16)) return result::invalid_value;
  memset(map, 0, sizeof *map);
  map->words[0] = reinterpret_cast<uintptr_t>(address);
  map->words[1] = uint64_t(type) | uint64_t(rank) << 8 | uint64_t(swizzle) << 16 | uint64_t(promotion) << 24 | uint64_t(fill) << 32;
  for (unsigned d = 0; d < rank; d++) {
    map->words[2 + d] = shape[d] | uint64_t(box[d]) << 40 | uint64_t(step[d]) << 56;
    if (d) map->words[6 + d] = stride[d - 1];
  }
  return 0;
}
