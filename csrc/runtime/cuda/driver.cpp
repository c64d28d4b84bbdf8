#include "cuda/driver.h"
#include "text.h"
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <pthread.h>

namespace accelnn::cuda {

Driver api;

namespace {

struct DeviceState {
  std::atomic<bool> ready{false};
  int handle = 0;
  Context context = nullptr;
  DeviceInfo info = {};
};

enum : int { unknown,
             opened,
             absent };
std::atomic<int> state{unknown};
Status reason;                            // why there is no driver, while state is absent
int n_devices = 0;
DeviceState devices[max_devices];
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct Locked {
  Locked() { pthread_mutex_lock(&lock); }
  ~Locked() { pthread_mutex_unlock(&lock); }
};

void* find_library(Status* why) {
  static const char* const places[] = {"libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"};
  if (const char* wish = getenv("ACCELNN_LIBCUDA")) {
    void* const library = dlopen(wish, RTLD_NOW | RTLD_LOCAL);
    if (!library) *why = fail(device_code, "cuda: ACCELNN_LIBCUDA=%s cannot be opened: %s", wish, dlerror());
    return library;
  }
  for (const char* place : places)
    if (void* const library = dlopen(place, RTLD_NOW | RTLD_LOCAL)) return library;
  *why = fail(device_code, "cuda: no NVIDIA driver: libcuda.so.1 is neither on the library path, in /usr/local/nvidia/lib64 nor in /usr/lib/wsl/lib");
  return nullptr;
}

Status load() {
  Status why;
  void* const library = find_library(&why);
  if (!library) return why;
#define ACCELNN_LOAD(name, symbol, ...)                                    \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, symbol)); \
  if (!api.name) return fail(device_code, "cuda: the driver's library has no %s: a driver for CUDA 12.0 or newer is needed", symbol);
  ACCELNN_CUDA_ENTRIES(ACCELNN_LOAD)
#undef ACCELNN_LOAD
#define ACCELNN_LOAD(name, symbol, ...) api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, symbol));
  ACCELNN_CUDA_OPTIONAL_ENTRIES(ACCELNN_LOAD)
#undef ACCELNN_LOAD
  const Result r = api.cuInit(0);
  if (r == result::no_device) return {};
  if (r) return failed(r, "cuInit", "the driver does not start");
  ACCELNN_CUDA(cuDeviceGetCount, (&n_devices), "after cuInit");
  n_devices = n_devices < max_devices ? n_devices : max_devices;
  return {};
}

// The sentences of failed(): a context whose kernel went wrong answers every later call with the same number.
bool is_lost(Result r) {
  using namespace result;
  return r == device_unavailable || r == ecc_uncorrectable || r == illegal_address || r == launch_timeout || r == assert_failed ||
      (r >= hardware_stack_error && r <= launch_failed);
}

Code code_of(Result r) {
  using namespace result;
  if (r == out_of_memory) return Code::memory;
  return r == invalid_image || r == invalid_ptx || r == no_binary_for_gpu || r == unsupported_ptx_version ? Code::format : device_code;
}

Status attribute(int handle, int which, int* value) {
  ACCELNN_CUDA(cuDeviceGetAttribute, (value, which, handle), "attribute %d of device %d", which, handle);
  return {};
}

Status describe(int index, DeviceState* d) {
  namespace a = device_attribute;
  ACCELNN_CUDA(cuDeviceGet, (&d->handle, index), "device %d", index);
  DeviceInfo& i = d->info;
  ACCELNN_CUDA(cuDeviceGetName, (i.name, int(sizeof i.name), d->handle), "device %d", index);
  ACCELNN_CUDA(cuDeviceTotalMem, (&i.memory, d->handle), "device %d", index);
  ACCELNN_CUDA(cuDriverGetVersion, (&i.driver), "device %d", index);
  const struct { int which, *value; } wanted[] = {
      {a::major, &i.major},
      {a::minor, &i.minor},
      {a::units, &i.units},
      {a::warp_size, &i.warp},
      {a::threads_per_block, &i.threads_per_block},
      {a::threads_per_unit, &i.threads_per_unit},
      {a::shared_per_block, &i.shared_per_block},
      {a::shared_optin, &i.shared_optin},
      {a::shared_per_unit, &i.shared_per_unit},
      {a::l2_bytes, &i.l2_bytes},
      {a::clock_khz, &i.clock_khz},
      {a::memory_clock_khz, &i.memory_clock_khz},
      {a::memory_bus_bits, &i.memory_bus_bits},
      {a::cooperative, &i.cooperative},
      {a::clusters, &i.clusters},
  };
  for (const auto& w : wanted) ACCELNN_TRY(attribute(d->handle, w.which, w.value));
  return {};
}

// The primary context is kept for the life of the process: whoever else uses the device holds it too.
Status prepare(int index, DeviceState** out) {
  ACCELNN_TRY(open());
  if (index < 0 || index >= n_devices) return fail(device_code, "cuda: device %d asked for, of %d", index, n_devices);
  DeviceState& d = devices[index];
  *out = &d;
  if (__builtin_expect(d.ready.load(std::memory_order_acquire), 1)) return {};
  const Locked locked;
  if (d.ready.load(std::memory_order_relaxed)) return {};
  ACCELNN_TRY(describe(index, &d));
  ACCELNN_CUDA(cuDevicePrimaryCtxRetain, (&d.context, d.handle), "device %d", index);
  d.ready.store(true, std::memory_order_release);
  return {};
}

}  // namespace

Status failed(Result r, const char* entry, const char* format_, ...) {
  const char *name = nullptr, *words = nullptr;
  if (api.cuGetErrorName(r, &name) || !name) name = "an unknown error";
  if (api.cuGetErrorString(r, &words) || !words) words = "no description";
  char about[160];
  va_list arguments;
  va_start(arguments, format_);
  vformat(about, sizeof about, format_, arguments);
  va_end(arguments);
  const char* hint = "";
  if (is_lost(r)) hint = "; the device is lost to this process";
  if (r == result::not_initialized) hint = "; a process forked after CUDA was first used cannot use it";
  return fail(code_of(r), "%s: %s (%d, %s): %s%s", entry, name, r, words, about, hint);
}

Status open() {
  const int known = state.load(std::memory_order_acquire);
  if (__builtin_expect(known == opened, 1)) return {};
  const Locked locked;
  if (state.load(std::memory_order_relaxed) == unknown) {
    reason = load();
    state.store(reason.ok() ? opened : absent, std::memory_order_release);
  }
  return reason;
}

Status device_count(int* n) {
  *n = 0;
  ACCELNN_TRY(open());
  *n = n_devices;
  return {};
}

Status device_info(int device, const DeviceInfo** info) {
  DeviceState* d;
  ACCELNN_TRY(prepare(device, &d));
  *info = &d->info;
  return {};
}

Status enter(int device, Context* before) {
  DeviceState* d;
  ACCELNN_TRY(prepare(device, &d));
  Context current = nullptr;
  ACCELNN_CUDA(cuCtxGetCurrent, (&current), "device %d", device);
  *before = nullptr;
  if (__builtin_expect(current == d->context, 1)) return {};
  ACCELNN_CUDA(cuCtxSetCurrent, (d->context), "device %d", device);
  *before = current;                      // null: the thread had none, and ours may stay
  return {};
}

Status leave(int device, Context before) {
  ACCELNN_CUDA(cuCtxSetCurrent, (before), "back from device %d", device);
  return {};
}

Status synchronize(int device) {
  return on(device, [&]() -> Status {
    ACCELNN_CUDA(cuCtxSynchronize, (), "device %d", device);
    return {};
  });
}

}  // namespace accelnn::cuda
