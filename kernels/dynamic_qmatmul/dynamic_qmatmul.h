// dynamic_qmatmul(a f32[..., M, K], b i8, scale f32[N], bias? f32[N]) -> y f32[..., M, N]
//   Each row x of a becomes bytes inside the call, then the product is exact in integers:
//     low = min(0, x), high = max(0, x), step = max((high / 2 - low / 2) / 127.5, 2^-126), zero = rint(-low * (1 / step))
//     q[k] = min(rint(x[k] * (1 / step)) + zero, 255)                                                      halves to even, all in float32
//     y[i, j] = activation(float(sum_k (q[i, k] - zero[i]) * b[k, j]) * (scale[j] * step[i]) + bias[j])      every operation rounded once
//   (ONNX's DynamicQuantizeLinear, a row at a time, with a product in place of a division.) b is i8 [K, N], or with packed = 1 what matmul_pack made
//   of it. activation: kernels/matmul/activation.h.
// whole = 1: all rows share one step and one zero point, those of dynamic_quantize (quantize/dynamic_quantize.h), q = clamp(rint(x[k] / step) + zero, 0, 255)
//   with a true division: ONNX's DynamicQuantizeLinear and MatMulInteger, the same integers. "A row" below is then all of a.
// A row that holds a NaN or an infinity has no step: all of its results are NaN before the activation. Rows of zeros are exact. The step is never
// below the smallest normal number, so that its inverse exists: rows of denormals become zeros or ones of that size.
// a, b: any strides. scale, bias and packed panels contiguous. y contiguous, overlapping no input. All sizes from 0; K = 0 gives the bias. The sums
// cannot wrap up to K = 66 000.
// Error against real arithmetic: |y - exact| <= (1/2 + 2^-12) step[i] sum_k |b[k, j]| |scale[j]| + gamma_5 of the terms; activations add a few ulp.
// Bitwise equal on every row and for any number of threads, as far as the activation is (none and relu are; the others differ by the ISA's fma).
#pragma once
#include "op.h"

#define ACCELNN_OP dynamic_qmatmul
#define ACCELNN_TABLE "dynamic_qmatmul/dynamic_qmatmul.inc"
#include "attr_slots.h"

namespace accelnn {

// A checked call, taken apart. Batch dims are rows: b is the same for all of them.
struct DynamicProblem {
  int64_t rows, n, k, k4;
  bool packed, even_rows, gather;      // even_rows: row r of a is at r * a_row; gather: its elements are not neighbours, a is copied first
  int64_t a_row, a_k;                  // strides of a, elements
  int64_t quad_row;                    // bytes between two quantized rows: an odd number of cache lines, so that a tile's rows share no cache set
  int64_t row_parts, column_parts;
  size_t zero_at, quads_at, copy_at, panels_at, bytes;      // workspace: steps at 0, then these
};
DynamicProblem dynamic_problem(const Call&, int quad_bytes);
const float* row_of(const TensorView& a, int64_t row);      // first element of a row, batch dims included

}  // namespace accelnn
