// Arguments of the kernels in cuda_softmax.cu; addresses first (launches.h).
#pragma once
#include <cstdint>

namespace accelnn {

struct SoftmaxRows {                      // x[rows, n] -> y
  static constexpr int pointers = 4;
  const float* x;
  float *y, *top, *total;                 // of every piece of a long row: its maximum and the sum of its exponentials
  int64_t rows, n;
  int pieces;
};
struct SoftmaxGradRows {                  // dy[rows, n], y -> dx
  static constexpr int pointers = 4;
  const float *dy, *y;
  float *dx, *sums;
  int64_t rows, n;
  int pieces;
};
struct SoftmaxAxis {                      // x[outer, along, inner] -> y; places = outer * inner
  static constexpr int pointers = 2;
  const float* x;
  float* y;
  int64_t places, along, inner;
};
struct SoftmaxGradAxis {
  static constexpr int pointers = 3;
  const float *dy, *y;
  float* dx;
  int64_t places, along, inner;
};

// A row is one warp's, or that of a block of 128 or 1024 threads, in registers: so many numbers a thread, half as many of each of a gradient's operands.
// Of 1024 threads each has 64 registers, in which 32 numbers fit that were loaded four at a time, but not with an address for each alone: 68 bytes spilled.
// Longer rows are cut into pieces. A lane of a warp holds 16 at most: with 32, sm_90 spilled 64 bytes at 56 registers, without being short of them.
constexpr int softmax_held = 32, softmax_held_alone = 16, softmax_held_by_lanes = 16;
constexpr int softmax_warps = 4;                                       // rows of a block, where a row is a warp's
constexpr int64_t softmax_piece = 1024 * softmax_held, softmax_grad_piece = softmax_piece / 2;
constexpr int axis_lanes = 32, axis_parts = 8;                         // neighbouring places of a block, and parts of the axis that run side by side

}  // namespace accelnn
