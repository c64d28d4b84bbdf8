// What a CUDA row answers: the kernels to launch for a call, with image, grid, block, shared memory and arguments. It is data alone, so that eager Python
// launches it, a Plan can keep it, and tests run it on threads of the CPU or on an emulator. Nothing here knows a driver.
#pragma once
#include <cstring>
#include "op.h"

namespace accelnn {

struct Chip {
  int arch;                               // 90: compute capability 9.0
  int units;                              // streaming multiprocessors
  int shared;                             // bytes of shared memory that one block may ask for
};

struct Blocks { int64_t x, y = 1, z = 1; };

constexpr int max_launches = 8;
constexpr size_t max_launch_bytes = 384;

struct Launch {
  const char* image;                      // what it was compiled from: "softmax/cuda_softmax" is kernels/softmax/cuda_softmax.cu
  const char* entry;
  Blocks grid;
  int threads, shared, pointers;          // `arguments` begins with so many addresses
  size_t bytes;
  alignas(16) char arguments[max_launch_bytes];
};

// Two passes: the first, with `work` null, tells how much scratch there has to be (`scratch`); the second is given it. Rows do the same in both.
struct Launches {
  char* work = nullptr;
  int64_t scratch = 0;
  int n = 0;
  Launch all[max_launches];

  // `count` elements that last until the last launch of this call has ended; what stands in them is anything.
  template <class T> T* take(int64_t count) {
    T* const place = work ? reinterpret_cast<T*>(work + scratch) : nullptr;
    scratch += (count * int64_t(sizeof(T)) + 255) / 256 * 256;
    return place;
  }

  // Arguments: one struct, the kernel's only parameter, that begins with Arguments::pointers addresses.
  template <class Arguments>
  void add(const char* image, const char* entry, Blocks grid, int threads, const Arguments& arguments, int shared = 0) {
    static_assert(sizeof(Arguments) <= max_launch_bytes && alignof(Arguments) <= 16, "more arguments than a Launch holds");
    Launch& l = all[n++];
    l.image = image;
    l.entry = entry;
    l.grid = grid;
    l.threads = threads;
    l.shared = shared;
    l.pointers = Arguments::pointers;
    l.bytes = sizeof(Arguments);
    memcpy(l.arguments, &arguments, sizeof(Arguments));
  }
};

constexpr int64_t max_blocks_x = 2147483647, max_blocks_yz = 65535;
ACCELNN_INLINE int64_t blocks_for(int64_t n, int64_t each) { return (n + each - 1) / each; }
ACCELNN_INLINE bool aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

}  // namespace accelnn
