// CUDA C++ on a processor: g++ compiles a kernel's source with this file in front of it (-include), and simt.cpp runs its threads as fibers, one block
// after the other. What it shows: barriers that are missing or not met by all, races that an order of warps brings out, waits that are missing, reads and
// writes outside of memory (with AddressSanitizer; shared memory too), shared memory that nobody wrote (it holds NaN). What it does not show: the text of
// inline PTX, for which functions of the same names stand here, and the weak order of a real GPU's memory.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__

namespace simt {

struct Index { unsigned x, y, z; };

struct Place {                            // what a thread sees of where it is
  Index thread;
  int number;                             // in its block
};
extern Place* here;
extern Index block, block_size, grid;

void barrier(int line);                   // __syncthreads
// All lanes of `mask` leave `bytes` and go on when the last of them has: then lane l's lie at 64 l.
const char* exchange(unsigned mask, const void* mine, size_t bytes, int line);
void* shared(const void* site, size_t bytes);     // the block's piece of memory for a declaration
void* dynamic_shared();

// Copies that run beside the threads: they may land at once or as late as when they are waited for, and both come up.
void copy_later(void* to, const void* from, size_t bytes, size_t of_which_zero);
void commit_copies();
void wait_for_copies(int groups_left);

struct Entry {
  const char* name;
  size_t bytes;                           // of its arguments
  int most_threads;
  void (*run)(const void* arguments);
  Entry* next;
  Entry(const char* name, size_t bytes, int most_threads, void (*run)(const void*));
};

template <class T> const T& from_lane(const char* slots, int lane) { return *reinterpret_cast<const T*>(slots + 64 * lane); }

}  // namespace simt

#define threadIdx (simt::here->thread)
#define blockIdx (simt::block)
#define blockDim (simt::block_size)
#define gridDim (simt::grid)

inline void __syncthreads(int line = __builtin_LINE()) { simt::barrier(line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) { simt::exchange(mask, nullptr, 0, line); }
template <class T> T __shfl_xor_sync(unsigned mask, T v, int step, int line = __builtin_LINE()) {
  static_assert(sizeof(T) <= 8, "32 or 64 bits");
  const char* const all = simt::exchange(mask, &v, sizeof v, line);
  return simt::from_lane<T>(all, simt::here->number % 32 ^ step);
}
template <class T> T __shfl_sync(unsigned mask, T v, int lane, int line = __builtin_LINE()) {
  static_assert(sizeof(T) <= 8, "32 or 64 bits");
  const char* const all = simt::exchange(mask, &v, sizeof v, line);
  return simt::from_lane<T>(all, lane % 32);
}
inline float rsqrtf(float x) { return 1 / sqrtf(x); }

#define ACCELNN_KERNEL(entry, most, Arguments, ...)                     \
  static void entry(const void* given) {                                \
    Arguments a;                                                        \
    memcpy(&a, given, sizeof a);                                        \
    __VA_ARGS__;                                                        \
  }                                                                     \
  static simt::Entry entry##_entry(#entry, sizeof(Arguments), most, entry);
#define ACCELNN_SHARED(type, name, n)   \
  static const char name##_site = 0;    \
  type* const name = static_cast<type*>(simt::shared(&name##_site, sizeof(type) * (n)))
