// layer_norm and its RMS kind. A row that fits is read once, into registers; a longer one is read three times by its block.
#include "cuda_row.h"
#include "norm/cuda_norm.h"

namespace accelnn {

// The mean is mended by that of what it leaves over: the sum that gave it was rounded.
template <class Group, bool rms, int wide, int threads, int held>
__device__ void norm_row(const NormRows& a, int64_t row, int thread, float* room) {
  const int n = int(a.n);
  float v[held], p[held], sum = 0, mean = 0, shift = 0;
  load<wide, threads>(a.x + row * a.n, n, thread, 0, v);
  if (!rms) {
#pragma unroll
    for (int i = 0; i < held; i++) sum += v[i];
    mean = Group::template all<Sum>(sum, room) / n;
    sum = 0;
#pragma unroll
    for (int i = 0; i < held; i++) {
      v[i] = place_of<wide, threads>(i, thread) < n ? v[i] - mean : 0;
      sum += v[i];
    }
    shift = Group::template all<Sum>(sum, room) / n;
    sum = 0;
  }
#pragma unroll
  for (int i = 0; i < held; i++) {
    if (!rms) v[i] = place_of<wide, threads>(i, thread) < n ? v[i] - shift : 0;
    sum += v[i] * v[i];
  }
  const float scale = 1 / sqrtf(Group::template all<Sum>(sum, room) / n + a.eps);
#pragma unroll
  for (int i = 0; i < held; i++) v[i] *= scale;
  if (a.weight) {
    load<wide, threads>(a.weight, n, thread, 0, p);
#pragma unroll
    for (int i = 0; i < held; i++) v[i] *= p[i];
  }
  if (a.bias) {
    load<wide, threads>(a.bias, n, thread, 0, p);
#pragma unroll
    for (int i = 0; i < held; i++) v[i] += p[i];
  }
  store<wide, threads>(a.y + row * a.n, n, thread, v);
  if (thread == 0) {
    a.rstd[row] = scale;
    if (a.mean) a.mean[row] = mean + shift;
  }
}

template <bool rms, int held> __device__ void norm_in_warp(const NormRows& a) {
  const int64_t row = int64_t(blockIdx.x) * norm_warps + threadIdx.x / 32;
  if (row < a.rows) norm_row<OfWarp, rms, 1, 32, held>(a, row, threadIdx.x % 32, nullptr);
}
template <bool rms, int wide, int threads, int held> __device__ void norm_in_block(const NormRows& a) {
  ACCELNN_SHARED(float, room, most_warps);
  norm_row<OfBlock, rms, wide, threads, held>(a, blockIdx.x, threadIdx.x, room);
}

// The sum of term(i) over a row, in double but for runs of norm_run.
template <class Term> __device__ double long_sum(int64_t n, double* room, const Term& term) {
  double sum = 0;
  for (int64_t first = threadIdx.x; first < n; first += int64_t(norm_run) * blockDim.x) {
    float run = 0;
    for (int i = 0; i < norm_run; i++) {
      const int64_t at = first + int64_t(i) * blockDim.x;
      if (at < n) run += term(at);
    }
    sum += run;
  }
  return across_block<Sum>(sum, room);
}

template <bool rms> __device__ void norm_walked(const NormRows& a) {
  ACCELNN_SHARED(double, room, most_warps);
  const float* x = a.x + blockIdx.x * a.n;
  float* const y = a.y + blockIdx.x * a.n;
  double mean = 0;
  if (!rms) mean = long_sum(a.n, room, [&](int64_t i) { return x[i]; }) / double(a.n);
  const float from = float(mean);
  const auto square = [&](int64_t i) {
    const float d = rms ? x[i] : x[i] - from;
    return d * d;
  };
  const double off = rms ? 0 : mean - from, squares = long_sum(a.n, room, square) / double(a.n) - off * off;
  const float scale = float(1 / sqrt(squares + a.eps));
  for (int64_t i = threadIdx.x; i < a.n; i += blockDim.x) {
    float z = (rms ? x[i] : x[i] - from) * scale;
    if (a.weight) z *= a.weight[i];
    if (a.bias) z += a.bias[i];
    y[i] = z;
  }
  if (threadIdx.x == 0) {
    a.rstd[blockIdx.x] = scale;
    if (a.mean) a.mean[blockIdx.x] = from;
  }
}

#define NORM(name, rms)                                                                                            \
  ACCELNN_KERNEL(name##_warp_4, 32 * norm_warps, NormRows, norm_in_warp<rms, 4>(a))                                \
  ACCELNN_KERNEL(name##_warp_16, 32 * norm_warps, NormRows, norm_in_warp<rms, norm_held_by_lanes>(a))              \
  ACCELNN_KERNEL(name##_block_128_1, 128, NormRows, norm_in_block<rms, 1, 128, norm_held>(a))                      \
  ACCELNN_KERNEL(name##_block_128_4, 128, NormRows, norm_in_block<rms, 4, 128, norm_held>(a))                      \
  ACCELNN_KERNEL(name##_block_1024_1, 1024, NormRows, norm_in_block<rms, 1, 1024, norm_held_alone>(a))             \
  ACCELNN_KERNEL(name##_block_1024_4, 1024, NormRows, norm_in_block<rms, 4, 1024, norm_held_alone>(a))             \
  ACCELNN_KERNEL(name##_long, 1024, NormRows, norm_walked<rms>(a))
NORM(layer_norm, false)
NORM(rms_norm, true)

}  // namespace accelnn
