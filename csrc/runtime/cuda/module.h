// Compiled GPU code and its launch. A Module is loaded once a device, when the first of its functions is asked for there.
#pragma once
#include "cuda/driver.h"

namespace accelnn::cuda {

struct Module {
  unsigned char* image = nullptr;         // our copy, with a zero behind it: PTX is text
  size_t bytes = 0;
  ModuleHandle loaded[max_devices] = {};
};

// A cubin, a fat binary or PTX. Refused when it is none, or shorter than its own header says: the driver is given no length and would read on.
Status create(Module* m, const void* image, size_t bytes);
Status destroy(Module* m);                // no graph that launches a function of it may run afterwards

constexpr int max_parameters = 256;
constexpr size_t max_parameter_bytes = 4096;
constexpr int portable_cluster = 8;

struct Parameter { size_t offset, bytes; };

struct Options {
  unsigned cluster[3] = {1, 1, 1};        // blocks that share their memory (sm_90)
  bool cooperative = false;               // all blocks at once, or an error
  bool overlap = false;                   // may begin while the kernel before it ends (sm_90)
};

struct Function {
  FunctionHandle handle = nullptr;
  int device = 0;
  char name[160] = {};
  int registers = 0, static_shared = 0, local_bytes = 0, threads = 0;      // threads: the most of one block
  int shared_limit = 0;                   // the most dynamic shared memory that a block may have here
  int shared_allowed = 0;                 // how much the driver has been told to allow
  int n_parameters = 0;
  Parameter parameters[max_parameters];   // where they lie in the bytes that launch() is given
  size_t parameter_bytes = 0;
  LaunchAttribute attributes[3];
  unsigned n_attributes = 0, cluster_blocks = 1, cluster[3] = {1, 1, 1};
};

// Letters of a signature, one for each parameter in order, and their layout: P address, b B i8 u8, h H 16 bits, i I 32, q Q 64, f f32, d f64,
// T tensor map. Each is aligned to its size.
size_t bytes_of(char letter);             // 0: no such letter
Status layout(const char* name, const char* signature, Parameter* parameters, int* n, size_t* bytes);

// `signature` null: as the driver says, which it can since CUDA 12.4. Where both are known they must agree.
Status find(Function* f, Module* m, const char* name, int device, const char* signature, const Options& options);

struct Grid { int64_t blocks[3], threads[3]; };
// `arguments`: `bytes` of them, at the offsets of f.parameters.
Status launch(Function& f, const Grid& grid, int64_t shared, const void* arguments, size_t bytes, StreamHandle stream);

}  // namespace accelnn::cuda
