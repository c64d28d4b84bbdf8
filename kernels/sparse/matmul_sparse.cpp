#include "sparse/matmul_sparse.h"

#define ACCELNN_OP matmul_sparse
#define ACCELNN_TABLE "sparse/matmul_sparse.inc"
#include "define_op.h"
#define ACCELNN_OP matmul_sparse_int8
#define ACCELNN_TABLE "sparse/matmul_sparse_int8.inc"
#include "define_op.h"

namespace accelnn {

namespace {

size_t round_up(double n) { return (size_t(n) + 63) / 64 * 64; }
bool small(int64_t a, int64_t b) { return double(a + 256) * double(b + 256) < 1e14; }

Status check(const Call& c, const char* name, bool int8) {
  const TensorView &a = c.in[0], &first = c.in[1], &index = c.in[2], &values = c.in[3], &bias = c.in[int8 ? 6 : 4], &y = c.out[0];
  const DType type = int8 ? DType::i8 : DType::f32;
  ACCELNN_CHECK(a.dtype == DType::f32 && first.dtype == DType::i32 && index.dtype == DType::i32 && values.dtype == type && y.dtype == DType::f32 &&
                    (bias.absent() || bias.dtype == DType::f32),
                dtype, "%s: f32 activations, i32 first and index, %s values, an f32 bias and output expected", name, name_of(type));
  bool fits = a.rank >= 2 && y.rank == a.rank;
  for (int d = 0; fits && d < a.rank - 1; d++) fits = a.shape[d] == y.shape[d];
  ACCELNN_CHECK(fits, shape, "%s: [..., M, K] -> [..., M, N] expected, not %s -> %s", name, describe(a).text, describe(y).text);
  const int64_t k = a.dim(-1), n = y.dim(-1), strips = (n + 15) / 16;
  int64_t rows = 1;
  for (int d = 0; d < a.rank - 1; d++) {
    ACCELNN_CHECK(small(rows, a.shape[d]), shape, "%s: %s is too large", name, describe(a).text);
    rows *= a.shape[d];
  }
  ACCELNN_CHECK(small(rows, k) && small(rows, n) && small(k, n) && k < INT32_MAX, shape, "%s: %s -> %s is too large", name, describe(a).text,
                describe(y).text);
  ACCELNN_CHECK(first.rank == 1 && first.shape[0] == strips + 1, shape, "%s: first [%lld] expected for %lld columns, not %s", name,
                static_cast<long long>(strips + 1), static_cast<long long>(n), describe(first).text);
  ACCELNN_CHECK(index.rank == 1 && values.rank == 2 && values.shape[0] == index.shape[0] && values.shape[1] == (int8 ? 64 : 16), shape,
                "%s: index [B] and values [B, %d] expected, not %s and %s", name, int8 ? 64 : 16, describe(index).text, describe(values).text);
  ACCELNN_CHECK(bias.absent() || (bias.rank == 1 && bias.shape[0] == n), shape, "%s: bias [%lld] expected, not %s", name, static_cast<long long>(n),
                describe(bias).text);
  if (int8) {
    const TensorView &scale = c.in[4], &sums = c.in[5];
    ACCELNN_CHECK(scale.dtype == DType::f32 && sums.dtype == DType::i32 && scale.rank == 1 && sums.rank == 1 && scale.shape[0] == n && sums.shape[0] == n,
                  shape, "%s: scale f32[%lld] and sums i32[%lld] expected, not %s and %s", name, static_cast<long long>(n), static_cast<long long>(n),
                  describe(scale).text, describe(sums).text);
  }
  for (int i = 0; i < (int8 ? 7 : 5); i++) {
    ACCELNN_CHECK(c.in[i].absent() || c.in[i].contiguous(), shape, "%s: contiguous operands expected", name);
    ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "%s: the output overlaps input %d", name, i);
  }
  ACCELNN_CHECK(y.contiguous(), shape, "%s: the output must be contiguous", name);
  return {};
}
Status check_f32(const Call& c) { return check(c, "matmul_sparse", false); }
Status check_int8(const Call& c) { return check(c, "matmul_sparse_int8", true); }

size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  const SparseProblem p = sparse_problem(call);
  return p.panel_bytes + p.row_bytes + 2 * p.scale_bytes;
}

}  // namespace

SparseProblem sparse_problem(const Call& call) {
  const TensorView &a = call.in[0], &y = call.out[0];
  SparseProblem p = {};
  p.int8 = call.in[3].dtype == DType::i8;
  p.m = 1;
  for (int d = 0; d < a.rank - 1; d++) p.m *= a.shape[d];
  p.n = y.dim(-1);
  p.k = a.dim(-1);
  p.strips = (p.n + sparse_strip - 1) / sparse_strip;
  p.blocks = call.in[2].shape[0];
  p.words = p.int8 ? (p.k + 3) / 4 : p.k;
  // Room for two words a group, whichever the ISA wants; float rows are transposed from where they are, a single one is its own panel.
  const double panel = double(p.m) * double(p.words) * (p.int8 ? 8 : 4);
  p.panel_bytes = p.m > 1 ? round_up(panel) : 0;
  p.quad_row = (p.k + 63) / 64 * 16;
  p.row_bytes = p.int8 ? round_up(double(p.m) * double(p.quad_row) * 8) : 0;
  p.scale_bytes = p.int8 ? round_up(double(p.m) * 4) : 0;
  return p;
}

const Op op_matmul_sparse = {"matmul_sparse", matmul_sparse_attrs, matmul_sparse_attr::count_, 4, 5, 1, check_f32, refuse_nothing, workspace};
const Op op_matmul_sparse_int8 = {"matmul_sparse_int8", matmul_sparse_int8_attrs, matmul_sparse_int8_attr::count_, 6, 7, 1, check_int8,
                                  refuse_nothing, workspace};

}  // namespace accelnn
