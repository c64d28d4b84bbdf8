// Arguments of the kernels in cuda_norm.cu; addresses first (launches.h).
#pragma once
#include <cstdint>

namespace accelnn {

struct NormRows {                         // x[rows, n], weight[n]?, bias[n]? -> y, rstd[rows], mean[rows]?
  static constexpr int pointers = 6;
  const float *x, *weight, *bias;
  float *y, *rstd, *mean;
  int64_t rows, n;
  float eps;
};

constexpr int norm_warps = 4;                                                // rows of a block, where a row is a warp's
constexpr int norm_held = 32, norm_held_alone = 16, norm_held_by_lanes = 16; // numbers a thread: as softmax/cuda_softmax.h
constexpr int norm_run = 32;                                                 // of a longer row: so many are added in float32, then in double

}  // namespace accelnn
