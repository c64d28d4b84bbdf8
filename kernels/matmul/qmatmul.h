// qmatmul(a u8[M, K], a_zero u8[], b, scale f32[N], bias? i32[N], out_zero? u8[]) -> y u8 | f32 | i32 [M, N]
//   v = sum_k (a[i, k] - a_zero) * b[k, j] + bias[j], exact (modulo 2^32);  relu = 1: v = max(v, 0)
//   i32: v        f32: float(v) * scale[j]        u8: clamp(out_zero + rint(float(v) * scale[j]), 0, 255), halves to even; NaN gives 0
//   b is i8 [K, N], or with packed = 1 what matmul_pack made of it.
// a, b: any strides. Everything else contiguous; y overlaps no input. A u8 output needs out_zero. M, N, K from 0.
// Bitwise equal on every row. The sums cannot wrap up to K = 66 000.
#pragma once
#include "op.h"

#define ACCELNN_OP qmatmul
#define ACCELNN_TABLE "matmul/qmatmul.inc"
#include "attr_slots.h"

namespace accelnn {

struct QmatmulProblem {
  int64_t m, n, k;
  int64_t a_row, a_k, b_k, b_column;
  bool packed, copy_a;
  int64_t copied_a_row;               // bytes
  int64_t row_parts, column_parts;
  size_t start_bytes, a_bytes, b_bytes;
};
QmatmulProblem qmatmul_problem(const Call&);

}  // namespace accelnn
