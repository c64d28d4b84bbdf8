#include "cuda/module.h"
#include "text.h"
#include <cstdlib>
#include <cstring>
#include <pthread.h>

namespace accelnn::cuda {

namespace {

constexpr int default_shared = 48 << 10;  // what a block may have without asking
constexpr size_t elf_header = 64, fat_header = 16;
constexpr unsigned cuda_machine = 190, fat_magic = 0xBA55ED50;

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct Locked {
  Locked() { pthread_mutex_lock(&lock); }
  ~Locked() { pthread_mutex_unlock(&lock); }
};

template <class T> T read(const unsigned char* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

Status check_cubin(const unsigned char* image, size_t bytes) {
  ACCELNN_CHECK(bytes >= elf_header, format, "cuda: a cubin of %zu bytes is cut short: its header alone has %zu", bytes, elf_header);
  const unsigned machine = read<uint16_t>(image + 18);
  ACCELNN_CHECK(machine == cuda_machine, format, "cuda: an ELF file for machine %u: a cubin (%u) expected", machine, cuda_machine);
  const uint64_t sections = read<uint64_t>(image + 40), each = read<uint16_t>(image + 58), n = read<uint16_t>(image + 60);
  ACCELNN_CHECK(sections <= bytes && each * n <= bytes - sections, format, "cuda: a cubin of %zu bytes is cut short: its sections end at %llu", bytes,
                static_cast<unsigned long long>(sections + each * n));
  return {};
}

Status check_fat(const unsigned char* image, size_t bytes) {
  const size_t header = bytes >= fat_header ? read<uint16_t>(image + 6) : fat_header;
  const uint64_t body = bytes >= fat_header ? read<uint64_t>(image + 8) : 0;
  ACCELNN_CHECK(header <= bytes && body <= bytes - header, format, "cuda: a fat binary of %zu bytes is cut short: %llu expected", bytes,
                static_cast<unsigned long long>(header + body));
  return {};
}

Status check_image(const unsigned char* image, size_t bytes) {
  if (bytes >= 4 && !memcmp(image, "\177ELF", 4)) return check_cubin(image, bytes);
  if (bytes >= 4 && read<unsigned>(image) == fat_magic) return check_fat(image, bytes);
  // PTX is text; its first directive after comments is .version.
  ACCELNN_CHECK(!memchr(image, 0, bytes) && memmem(image, bytes, ".version", 8), format,
                "cuda: %zu bytes that are neither a cubin, a fat binary nor PTX", bytes);
  return {};
}

// What the compiler in the driver says of PTX that it cannot take. The log's end is cut off, not its beginning: the first complaint explains the others.
Status load(Module* m, int device, ModuleHandle* out) {
  const Locked locked;
  if (!m->loaded[device]) {
    char log[1024] = "";
    int options[] = {jit::error_log, jit::error_log_bytes};
    void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
    const Result r = api.cuModuleLoadDataEx(&m->loaded[device], m->image, 2, options, values);
    if (r) {
      m->loaded[device] = nullptr;
      return failed(r, "cuModuleLoadDataEx", "an image of %zu bytes on device %d%s%.80s", m->bytes, device, log[0] ? ": " : "", log);
    }
  }
  *out = m->loaded[device];
  return {};
}

Status attribute(const Function& f, int which, int* value) {
  ACCELNN_CUDA(cuFuncGetAttribute, (value, which, f.handle), "attribute %d of %s", which, f.name);
  return {};
}

// The driver's own list of parameters, which it has since CUDA 12.4.
Status read_parameters(Function* f) {
  for (int i = 0;; i++) {
    size_t offset = 0, bytes = 0;
    const Result r = api.cuFuncGetParamInfo(f->handle, size_t(i), &offset, &bytes);
    if (r == result::invalid_value) {     // the end of the list
      f->n_parameters = i;
      return {};
    }
    if (r) return failed(r, "cuFuncGetParamInfo", "parameter %d of %s", i, f->name);
    ACCELNN_CHECK(i < max_parameters && offset + bytes <= max_parameter_bytes, unsupported, "cuda: %s has more than %d parameters or %zu bytes of them",
                  f->name, max_parameters, max_parameter_bytes);
    f->parameters[i] = {offset, bytes};
    f->parameter_bytes = offset + bytes;
  }
}

// Sizes alone: a cubin moves a tensor map to 64 bytes of its constant bank (offset 48 on sm_90), and the driver puts every parameter into its place.
Status compare(const Function& f, const char* signature, const Parameter* parameters, int n) {
  ACCELNN_CHECK(n == f.n_parameters, attribute, "cuda: %s has %d parameters, the signature \"%s\" %d", f.name, f.n_parameters, signature, n);
  for (int i = 0; i < n; i++)
    ACCELNN_CHECK(f.parameters[i].bytes == parameters[i].bytes, attribute, "cuda: parameter %d of %s has %zu bytes, %zu in the signature \"%s\"", i, f.name,
                  f.parameters[i].bytes, parameters[i].bytes, signature);
  return {};
}

LaunchAttribute* add_attribute(Function* f, int id) {
  LaunchAttribute* a = &f->attributes[f->n_attributes++];
  memset(a, 0, sizeof *a);
  a->id = id;
  return a;
}

Status set_options(Function* f, const Options& o, const DeviceInfo& info) {
  const uint64_t blocks = uint64_t(o.cluster[0]) * o.cluster[1] * o.cluster[2];
  ACCELNN_CHECK(o.cluster[0] && o.cluster[1] && o.cluster[2] && blocks <= 2 * portable_cluster, attribute,
                "cuda: %s: a cluster of %u x %u x %u blocks: 1 to %d expected", f->name, o.cluster[0], o.cluster[1], o.cluster[2], 2 * portable_cluster);
  ACCELNN_CHECK((blocks == 1 && !o.overlap) || info.major >= 9, unsupported,
                "cuda: %s: clusters and overlapping launches need sm_90 or newer, the device is sm_%d%d",
                f->name, info.major, info.minor);
  for (int i = 0; i < 3; i++) f->cluster[i] = o.cluster[i];
  f->cluster_blocks = unsigned(blocks);
  if (blocks > portable_cluster) ACCELNN_CUDA(cuFuncSetAttribute, (f->handle, function_attribute::large_clusters, 1), "%s: clusters of 16 blocks", f->name);
  if (blocks > 1) add_attribute(f, launch_attribute::cluster)->value.cluster = {o.cluster[0], o.cluster[1], o.cluster[2]};
  if (o.cooperative) add_attribute(f, launch_attribute::cooperative)->value.flag = 1;
  if (o.overlap) add_attribute(f, launch_attribute::overlap)->value.flag = 1;
  return {};
}

Status describe(Function* f, int device, const char* signature, const Options& options) {
  namespace a = function_attribute;
  const DeviceInfo* info = nullptr;
  ACCELNN_TRY(device_info(device, &info));
  ACCELNN_TRY(attribute(*f, a::registers, &f->registers));
  ACCELNN_TRY(attribute(*f, a::static_shared, &f->static_shared));
  ACCELNN_TRY(attribute(*f, a::local_bytes, &f->local_bytes));
  ACCELNN_TRY(attribute(*f, a::threads_per_block, &f->threads));
  f->shared_limit = info->shared_optin - f->static_shared;
  f->shared_allowed = default_shared - f->static_shared;
  ACCELNN_CHECK(signature || api.cuFuncGetParamInfo, unsupported,
                "cuda: %s: this driver cannot say what parameters a kernel has: a signature is needed", f->name);
  if (api.cuFuncGetParamInfo) ACCELNN_TRY(read_parameters(f));
  if (signature) {
    Parameter parameters[max_parameters];
    int n = 0;
    size_t bytes = 0;
    ACCELNN_TRY(layout(f->name, signature, parameters, &n, &bytes));
    if (api.cuFuncGetParamInfo) ACCELNN_TRY(compare(*f, signature, parameters, n));
    memcpy(f->parameters, parameters, sizeof(Parameter) * size_t(n));
    f->n_parameters = n;
    f->parameter_bytes = bytes;
  }
  return set_options(f, options, *info);
}

Status allow_shared(Function& f, int64_t shared) {
  ACCELNN_CHECK(shared >= 0 && shared <= f.shared_limit, bound, "cuda: %s: %lld bytes of dynamic shared memory, and %d of its own: a block of device %d has %d",
                f.name, static_cast<long long>(shared), f.static_shared, f.device, f.shared_limit + f.static_shared);
  const Locked locked;
  if (shared <= f.shared_allowed) return {};
  ACCELNN_CUDA(cuFuncSetAttribute, (f.handle, function_attribute::max_dynamic_shared, int(shared)), "%lld bytes of shared memory for %s",
               static_cast<long long>(shared), f.name);
  f.shared_allowed = int(shared);
  return {};
}

Status refuse_grid(const Function& f, const Grid& g) {
  char text[200];
  format(text, sizeof text, "%lld x %lld x %lld blocks of %lld x %lld x %lld threads", static_cast<long long>(g.blocks[0]), static_cast<long long>(g.blocks[1]),
         static_cast<long long>(g.blocks[2]), static_cast<long long>(g.threads[0]), static_cast<long long>(g.threads[1]), static_cast<long long>(g.threads[2]));
  return fail(Code::bound, "cuda: %s: %s: at most %d threads in a block, 2147483647 x 65535 x 65535 blocks, whole clusters of %u expected", f.name, text,
              f.threads, f.cluster_blocks);
}

bool fits(int64_t value, int64_t most) { return value >= 1 && value <= most; }

}  // namespace

Status create(Module* m, const void* image, size_t bytes) {
  ACCELNN_TRY(check_image(static_cast<const unsigned char*>(image), bytes));
  m->image = static_cast<unsigned char*>(malloc(bytes + 1));
  ACCELNN_CHECK(m->image, memory, "cuda: no memory for an image of %zu bytes", bytes);
  memcpy(m->image, image, bytes);
  m->image[bytes] = 0;
  m->bytes = bytes;
  return {};
}

Status destroy(Module* m) {
  Status first;
  for (int device = 0; device < max_devices; device++)
    if (ModuleHandle const handle = m->loaded[device]) {
      m->loaded[device] = nullptr;
      const Status s = on(device, [&]() -> Status {
        const Result r = api.cuModuleUnload(handle);
        return !r || r == result::deinitialized ? Status() : failed(r, "cuModuleUnload", "device %d", device);
      });
      if (first.ok()) first = s;
    }
  ::free(m->image);
  m->image = nullptr;
  return first;
}

size_t bytes_of(char letter) {
  switch (letter) {
    case 'b':
    case 'B': return 1;
    case 'h':
    case 'H': return 2;
    case 'i':
    case 'I':
    case 'f': return 4;
    case 'P':
    case 'q':
    case 'Q':
    case 'd': return 8;
    case 'T': return sizeof(TensorMap);
    default: return 0;
  }
}

Status layout(const char* name, const char* signature, Parameter* parameters, int* n, size_t* bytes) {
  size_t at = 0;
  for (*n = 0; signature[*n]; ++*n) {
    const size_t size = bytes_of(signature[*n]);
    ACCELNN_CHECK(size, attribute, "cuda: %s: the signature \"%s\" holds %c: letters of PbBhHiIqQfdT expected", name, signature, signature[*n]);
    at = (at + size - 1) / size * size;
    ACCELNN_CHECK(*n < max_parameters && at + size <= max_parameter_bytes, unsupported,
                  "cuda: %s: a signature of more than %d parameters or %zu bytes of them", name,
                  max_parameters, max_parameter_bytes);
    parameters[*n] = {at, size};
    at += size;
  }
  *bytes = at;
  return {};
}

Status find(Function* f, Module* m, const char* name, int device, const char* signature, const Options& options) {
  ACCELNN_CHECK(strlen(name) < sizeof f->name, attribute, "cuda: a kernel's name of %zu characters: fewer than %zu expected", strlen(name), sizeof f->name);
  strcpy(f->name, name);
  f->device = device;
  return on(device, [&]() -> Status {
    ModuleHandle module = nullptr;
    ACCELNN_TRY(load(m, device, &module));
    ACCELNN_CUDA(cuModuleGetFunction, (&f->handle, module, name), "kernel %s", name);
    return describe(f, device, signature, options);
  });
}

Status launch(Function& f, const Grid& g, int64_t shared, const void* arguments, size_t bytes, StreamHandle stream) {
  bool right = fits(g.threads[0], 1024) && fits(g.threads[1], 1024) && fits(g.threads[2], 64);
  const int64_t threads = right ? g.threads[0] * g.threads[1] * g.threads[2] : 0;
  right = right && threads <= f.threads;
  for (int i = 0; i < 3; i++) right = right && fits(g.blocks[i], i ? 65535 : INT32_MAX) && g.blocks[i] % f.cluster[i] == 0;
  if (__builtin_expect(!right, 0)) return refuse_grid(f, g);
  ACCELNN_CHECK(bytes == f.parameter_bytes, shape, "cuda: %s: %zu bytes of arguments: %zu expected", f.name, bytes, f.parameter_bytes);
  return on(f.device, [&]() -> Status {
    if (__builtin_expect(shared < 0 || shared > f.shared_allowed, 0)) ACCELNN_TRY(allow_shared(f, shared));
    const LaunchConfig config = {{unsigned(g.blocks[0]), unsigned(g.blocks[1]), unsigned(g.blocks[2])},
                                 {unsigned(g.threads[0]), unsigned(g.threads[1]), unsigned(g.threads[2])},
                                 unsigned(shared),
                                 stream,
                                 f.attributes,
                                 f.n_attributes};
    void* parameters[max_parameters];
    for (int i = 0; i < f.n_parameters; i++) parameters[i] = const_cast<char*>(static_cast<const char*>(arguments)) + f.parameters[i].offset;
    ACCELNN_CUDA(cuLaunchKernelEx, (&config, f.handle, parameters, nullptr), "%s, %u x %u x %u blocks of %u threads, %u bytes shared", f.name,
                 config.grid[0], config.grid[1], config.grid[2], unsigned(threads), config.shared);
    return {};
  });
}

}  // namespace accelnn::cuda
