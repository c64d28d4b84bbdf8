// What the device side of cuda_*.cu starts from. nvcc compiles these files for GPUs; g++ compiles the same text against a shim that runs the threads of a
// block as fibers (tests/cuda_kernels/simt.h), which is why barriers, shared memory and PTX stand behind the names of this file.
//   ACCELNN_KERNEL(entry, most threads, Arguments, body)    an entry point; `body` is a call with `a`, its Arguments (launches.h), in it
//   ACCELNN_SHARED(type, name, n)                           n elements of shared memory
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define ACCELNN_KERNEL(entry, most, Arguments, ...) \
  extern "C" __global__ void __launch_bounds__(most) entry(const __grid_constant__ Arguments a) { __VA_ARGS__; }
#define ACCELNN_SHARED(type, name, n) __shared__ type name[n]
#else
#include <cmath>
#endif

namespace accelnn {

constexpr unsigned whole_warp = 0xffffffffu;
constexpr int most_warps = 32;            // of a block
constexpr float infinity = __builtin_inff();

struct Vector4 { float x, y, z, w; };     // 16 bytes: one load or store of a thread

struct Largest {
  static constexpr float none = -infinity;
  __device__ static float of(float a, float b) { return fmaxf(a, b); }      // a NaN is lost here; whoever needs it finds it in a sum
};
struct Sum {
  static constexpr float none = 0;
  template <class T> __device__ static T of(T a, T b) { return a + b; }
};

// The same bits in every lane: each step adds the same two numbers on both sides.
template <class Join, class T> __device__ T across_warp(T v) {
  for (int step = 16; step; step /= 2) v = Join::of(v, __shfl_xor_sync(whole_warp, v, step));
  return v;
}

// Of a whole block, whose size is a multiple of 32. `room`: most_warps numbers of shared memory, free again on return.
template <class Join, class T> __device__ T across_block(T v, T* room) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  v = across_warp<Join>(v);
  if (lane == 0) room[warp] = v;
  __syncthreads();
  v = across_warp<Join>(lane < warps ? room[lane] : T(Join::none));
  __syncthreads();
  return v;
}

}  // namespace accelnn
