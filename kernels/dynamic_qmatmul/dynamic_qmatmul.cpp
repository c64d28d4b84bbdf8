#include "dynamic_qmatmul/dynamic_qmatmul.h"
#include "matmul/activation.h"
#include "matmul/matmul.h"

#define ACCELNN_OP dynamic_qmatmul
#define ACCELNN_TABLE "dynamic_qmatmul/dynamic_qmatmul.inc"
#include "define_op.h"

namespace accelnn {

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

const float* row_of(const TensorView& a, int64_t row) {
  const int64_t m = a.dim(-2);
  return a.as<float>() + batch_offset(a, row / m, a.rank - 2) + row % m * a.stride[a.rank - 2];
}

// One stride for all rows, batch dims included.
static bool even_rows(const TensorView& a, int64_t* stride) {
  int64_t rows = 1;
  *stride = 0;
  for (int d = a.rank - 2; d >= 0; d--) {
    if (a.shape[d] == 1) continue;
    if (rows == 1) *stride = a.stride[d];
    else if (a.stride[d] != rows * *stride) return false;
    rows *= a.shape[d];
  }
  return true;
}

DynamicProblem dynamic_problem(const Call& call, int quad_bytes) {
  const TensorView &a = call.in[0], &y = call.out[0];
  DynamicProblem p = {};
  p.packed = call.integer(dynamic_qmatmul_attr::packed) != 0;
  p.n = y.dim(-1);
  p.k = a.dim(-1);
  p.k4 = (p.k + 3) / 4;
  p.rows = 1;
  for (int d = 0; d < y.rank - 1; d++) p.rows *= y.shape[d];
  p.even_rows = even_rows(a, &p.a_row);
  p.a_k = p.k <= 1 ? 1 : a.stride[a.rank - 1];
  p.gather = p.a_k != 1;
  p.quad_row = (round_up(p.k, 64) / 64 * (quad_bytes / 4) | 1) * 64;      // whole vectors of quads are written
  // A block of quantized rows stays in L2 beside a strip of weights.
  const int64_t fit = (384 << 10) / p.quad_row, block = fit < 28 ? 28 : fit > row_block ? row_block
                                                                                        : fit;
  p.row_parts = (p.rows + block - 1) / block;
  p.column_parts = column_parts_of(p.rows, p.n, p.k4, p.row_parts);
  p.zero_at = size_t(round_up(p.rows * 4, 64));
  p.quads_at = 2 * p.zero_at;
  p.copy_at = p.quads_at + size_t(p.rows * p.quad_row);
  p.panels_at = p.copy_at + (p.gather ? size_t(round_up(p.rows * p.k * 4, 64)) : 0);
  p.bytes = p.panels_at + (p.packed ? 0 : size_t((p.n + 15) / 16 * (p.k4 + 1) * 64));
  return p;
}

static Status check(const Call& c) {
  const TensorView &a = c.in[0], &b = c.in[1], &scale = c.in[2], &bias = c.in[3], &y = c.out[0];
  ACCELNN_CHECK(a.dtype == DType::f32 && b.dtype == DType::i8 && y.dtype == DType::f32, dtype,
                "dynamic_qmatmul: f32 @ i8 -> f32 expected, not %s @ %s -> %s", describe(a).text, describe(b).text, describe(y).text);
  const int64_t packed = c.integer(dynamic_qmatmul_attr::packed), how = c.integer(dynamic_qmatmul_attr::activation);
  ACCELNN_CHECK(packed == 0 || packed == 1, attribute, "dynamic_qmatmul: packed is 0 or 1, not %lld", static_cast<long long>(packed));
  ACCELNN_CHECK(how >= 0 && how < activation::count_, attribute, "dynamic_qmatmul: activation is 0..%d, not %lld", activation::count_ - 1,
                static_cast<long long>(how));
  const int64_t whole = c.integer(dynamic_qmatmul_attr::whole);
  ACCELNN_CHECK(whole == 0 || whole == 1, attribute, "dynamic_qmatmul: whole is 0 or 1, not %lld", static_cast<long long>(whole));
  bool fits = a.rank >= 2 && y.rank == a.rank;
  for (int d = 0; fits && d < a.rank - 1; d++) fits = a.shape[d] == y.shape[d];
  if (fits && packed)
    fits = b.rank == 3 && b.shape[0] == (y.dim(-1) + 15) / 16 && b.shape[1] == (a.dim(-1) + 3) / 4 + 1 && b.shape[2] == 64 && b.contiguous();
  else
    fits = fits && b.rank == 2 && b.shape[0] == a.dim(-1) && b.shape[1] == y.dim(-1);
  ACCELNN_CHECK(fits, shape, "dynamic_qmatmul: [..., M, K] @ %s -> [..., M, N] expected, not %s @ %s -> %s",
                packed ? "contiguous [ceil(N/16), ceil(K/4) + 1, 64]" : "[K, N]", describe(a).text, describe(b).text, describe(y).text);
  const int64_t n = y.dim(-1);
  ACCELNN_CHECK(scale.dtype == DType::f32 && scale.rank == 1 && scale.shape[0] == n && scale.contiguous(), shape,
                "dynamic_qmatmul: scale f32[%lld], contiguous, expected, not %s", static_cast<long long>(n), describe(scale).text);
  ACCELNN_CHECK(bias.absent() || (bias.dtype == DType::f32 && bias.rank == 1 && bias.shape[0] == n && bias.contiguous()), shape,
                "dynamic_qmatmul: bias f32[%lld], contiguous, expected, not %s", static_cast<long long>(n), describe(bias).text);
  double rows = 1;                       // broadcast operands (stride 0) can be larger than memory; copies of them cannot
  for (int d = 0; d < a.rank - 1; d++) rows *= double(a.shape[d]);
  ACCELNN_CHECK(rows < 1e13 && addressable(int64_t(rows), a.dim(-1)) && addressable(a.dim(-1), n), shape, "dynamic_qmatmul: %s @ %s is too large",
                describe(a).text, describe(b).text);
  ACCELNN_CHECK(y.contiguous(), shape, "dynamic_qmatmul: the output must be contiguous");
  for (int i = 0; i < 4; i++) ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "dynamic_qmatmul: the output overlaps input %d", i);
  return {};
}

// Rows without a dot product of bytes keep every quantized number in 16 bits.
static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  return dynamic_problem(call, row.isa & (isa::vnni | isa::avxvnni) ? 4 : 8).bytes;
}

const Op op_dynamic_qmatmul = {"dynamic_qmatmul", dynamic_qmatmul_attrs, dynamic_qmatmul_attr::count_, 3, 4, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
