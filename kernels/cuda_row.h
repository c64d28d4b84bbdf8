// Rows of numbers that a warp or a block holds in registers.
#pragma once
#include "cuda_kernel.h"

namespace accelnn {

// Element number i of a thread of a group: neighbours read neighbours, four at a time where `wide`. `threads` is no variable: the places of 32 elements
// would be 32 addresses, kept from the loads to the stores, and spilled (264 bytes a thread, sm_80).
template <int wide, int threads> __device__ int place_of(int i, int thread) { return (i / wide * threads + thread) * wide + i % wide; }

// `held` numbers of x[0, n), `beyond` where it has ended. Wide loads need n and x to be multiples of 4 floats.
template <int wide, int threads, int held> __device__ void load(const float* x, int n, int thread, float beyond, float (&v)[held]) {
#pragma unroll
  for (int i = 0; i < held; i += wide) {
    const int at = place_of<wide, threads>(i, thread);
    if constexpr (wide == 4) {
      Vector4 q = {beyond, beyond, beyond, beyond};
      if (at < n) q = *reinterpret_cast<const Vector4*>(x + at);
      v[i] = q.x;
      v[i + 1] = q.y;
      v[i + 2] = q.z;
      v[i + 3] = q.w;
    } else {
      v[i] = at < n ? x[at] : beyond;
    }
  }
}

template <int wide, int threads, int held> __device__ void store(float* y, int n, int thread, const float (&v)[held]) {
#pragma unroll
  for (int i = 0; i < held; i += wide) {
    const int at = place_of<wide, threads>(i, thread);
    if constexpr (wide == 4) {
      if (at < n) *reinterpret_cast<Vector4*>(y + at) = {v[i], v[i + 1], v[i + 2], v[i + 3]};
    } else if (at < n) {
      y[at] = v[i];
    }
  }
}

struct OfWarp {                           // who shares a row
  template <class Join> __device__ static float all(float v, float*) { return across_warp<Join>(v); }
};
struct OfBlock {
  template <class Join> __device__ static float all(float v, float* room) { return across_block<Join>(v, room); }
};

}  // namespace accelnn
