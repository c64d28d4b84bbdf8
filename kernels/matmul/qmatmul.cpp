#include "matmul/qmatmul.h"
#include "matmul/matmul.h"

#define ACCELNN_OP qmatmul
#define ACCELNN_TABLE "matmul/qmatmul.inc"
#include "define_op.h"

namespace accelnn {

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

QmatmulProblem qmatmul_problem(const Call& call) {
  const TensorView &a = call.in[0], &b = call.in[2], &y = call.out[0];
  QmatmulProblem p = {};
  p.packed = call.integer(qmatmul_attr::packed) != 0;
  p.m = y.shape[0];
  p.n = y.shape[1];
  p.k = a.shape[1];
  p.a_row = a.stride[0];
  p.a_k = p.k <= 1 ? 1 : a.stride[1];
  if (!p.packed) {
    p.b_k = b.stride[0];
    p.b_column = b.stride[1];
  }
  p.copy_a = p.a_k != 1 || p.k % 4 != 0;             // a tile reads four k at a time
  p.copied_a_row = round_up(p.k, 4) + 4;
  p.row_parts = (p.m + row_block - 1) / row_block;
  p.column_parts = column_parts_of(p.m, p.n, p.k / 4, p.row_parts);
  p.start_bytes = size_t(round_up(p.n * 4, 64));
  p.a_bytes = p.copy_a ? size_t(round_up(p.m * p.copied_a_row, 64)) : 0;
  p.b_bytes = p.packed ? 0 : size_t((p.n + 15) / 16 * ((p.k + 3) / 4 + 1) * 64);
  return p;
}

static Status check_qmatmul(const Call& c) {
  const TensorView &a = c.in[0], &a_zero = c.in[1], &b = c.in[2], &scale = c.in[3], &bias = c.in[4], &out_zero = c.in[5], &y = c.out[0];
  ACCELNN_CHECK(a.dtype == DType::u8 && b.dtype == DType::i8 && (y.dtype == DType::u8 || y.dtype == DType::f32 || y.dtype == DType::i32), dtype,
                "qmatmul: u8 @ i8 -> u8, f32 or i32 expected, not %s @ %s -> %s", describe(a).text, describe(b).text, describe(y).text);
  const int64_t packed = c.integer(qmatmul_attr::packed), relu = c.integer(qmatmul_attr::relu);
  ACCELNN_CHECK((packed == 0 || packed == 1) && (relu == 0 || relu == 1), attribute, "qmatmul: packed and relu are 0 or 1, not %lld and %lld",
                static_cast<long long>(packed), static_cast<long long>(relu));
  bool fits = a.rank == 2 && y.rank == 2 && a.shape[0] == y.shape[0];
  if (fits && packed)
    fits = b.rank == 3 && b.shape[0] == (y.shape[1] + 15) / 16 && b.shape[1] == (a.shape[1] + 3) / 4 + 1 && b.shape[2] == 64 && b.contiguous();
  else
    fits = fits && b.rank == 2 && b.shape[0] == a.shape[1] && b.shape[1] == y.shape[1];
  ACCELNN_CHECK(fits, shape, "qmatmul: [M, K] @ %s -> [M, N] expected, not %s @ %s -> %s",
                packed ? "contiguous [ceil(N/16), ceil(K/4) + 1, 64]" : "[K, N]", describe(a).text, describe(b).text, describe(y).text);
  const int64_t n = y.shape[1];
  ACCELNN_CHECK(a_zero.dtype == DType::u8 && a_zero.rank == 0, shape, "qmatmul: a_zero u8[] expected, not %s", describe(a_zero).text);
  ACCELNN_CHECK(scale.dtype == DType::f32 && scale.rank == 1 && scale.shape[0] == n && scale.contiguous(), shape,
                "qmatmul: scale f32[%lld], contiguous, expected, not %s", static_cast<long long>(n), describe(scale).text);
  ACCELNN_CHECK(bias.absent() || (bias.dtype == DType::i32 && bias.rank == 1 && bias.shape[0] == n && bias.contiguous()), shape,
                "qmatmul: bias i32[%lld], contiguous, expected, not %s", static_cast<long long>(n), describe(bias).text);
  ACCELNN_CHECK(out_zero.absent() ? y.dtype != DType::u8 : out_zero.dtype == DType::u8 && out_zero.rank == 0, shape,
                "qmatmul: out_zero u8[] expected (left out only where the output is not u8), not %s", describe(out_zero).text);
  ACCELNN_CHECK(addressable(a.shape[0], a.shape[1]) && addressable(a.shape[1], n), shape, "qmatmul: %s @ %s is too large", describe(a).text,
                describe(b).text);
  ACCELNN_CHECK(y.contiguous(), shape, "qmatmul: the output must be contiguous");
  for (int i = 0; i < 6; i++) ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "qmatmul: the output overlaps input %d", i);
  return {};
}

static size_t qmatmul_workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  const QmatmulProblem p = qmatmul_problem(call);
  return p.start_bytes + p.a_bytes + p.b_bytes;
}

const Op op_qmatmul = {"qmatmul", qmatmul_attrs, qmatmul_attr::count_, 4, 6, 1, check_qmatmul, refuse_nothing, qmatmul_workspace};

}  // namespace accelnn
