#include "weight_only/matmul_int4.h"

#define ACCELNN_OP matmul_int4
#define ACCELNN_TABLE "weight_only/matmul_int4.inc"
#include "define_op.h"
#define ACCELNN_OP matmul_int4_pack
#define ACCELNN_TABLE "weight_only/matmul_int4_pack.inc"
#include "define_op.h"

namespace accelnn {

namespace {

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t clamp(int64_t n, int64_t low, int64_t high) { return n < low ? low : n > high ? high
                                                                                      : n; }
bool is_group(int64_t n) { return n == 32 || n == 64 || n == 128; }
bool small(int64_t a, int64_t b) { return double(a + 256) * double(b + 256) < 1e14; }

Status check(const Call& c) {
  const TensorView &a = c.in[0], &w = c.in[1], &bias = c.in[2], &y = c.out[0];
  const int64_t group = c.integer(matmul_int4_attr::group), zero_points = c.integer(matmul_int4_attr::zero_points);
  const int64_t compute = c.integer(matmul_int4_attr::compute);
  ACCELNN_CHECK(is_group(group) && (zero_points == 0 || zero_points == 1) && (compute == 0 || compute == 1), attribute,
                "matmul_int4: group is 32, 64 or 128, zero_points and compute are 0 or 1, not %lld, %lld, %lld", static_cast<long long>(group),
                static_cast<long long>(zero_points), static_cast<long long>(compute));
  ACCELNN_CHECK(a.dtype == DType::f32 && w.dtype == DType::u8 && y.dtype == DType::f32 && (bias.absent() || bias.dtype == DType::f32), dtype,
                "matmul_int4: f32 activations, packed u8 weights, an f32 bias and output expected");
  bool fits = a.rank >= 2 && y.rank == a.rank;
  for (int d = 0; fits && d < a.rank - 1; d++) fits = a.shape[d] == y.shape[d];
  ACCELNN_CHECK(fits, shape, "matmul_int4: [..., M, K] -> [..., M, N] expected, not %s -> %s", describe(a).text, describe(y).text);
  const int64_t k = a.dim(-1), n = y.dim(-1), bytes = group * 8 + 32 + 16 * zero_points;
  int64_t rows = 1;
  for (int d = 0; d < a.rank - 1; d++) {
    ACCELNN_CHECK(small(rows, a.shape[d]), shape, "matmul_int4: %s is too large", describe(a).text);
    rows *= a.shape[d];
  }
  ACCELNN_CHECK(small(rows, k) && small(rows, n) && small(k, n), shape, "matmul_int4: %s -> %s is too large", describe(a).text, describe(y).text);
  ACCELNN_CHECK(w.rank == 3 && w.shape[0] == (n + 15) / 16 && w.shape[1] == (k + group - 1) / group && w.shape[2] == bytes, shape,
                "matmul_int4: %s -> %s wants packed weights [%lld, %lld, %lld], not %s", describe(a).text, describe(y).text,
                static_cast<long long>((n + 15) / 16), static_cast<long long>((k + group - 1) / group), static_cast<long long>(bytes), describe(w).text);
  ACCELNN_CHECK(bias.absent() || (bias.rank == 1 && bias.shape[0] == n), shape, "matmul_int4: bias [%lld] expected, not %s", static_cast<long long>(n),
                describe(bias).text);
  ACCELNN_CHECK(a.contiguous() && w.contiguous() && y.contiguous() && (bias.absent() || bias.contiguous()), shape,
                "matmul_int4: contiguous operands expected");
  for (int i = 0; i < 3; i++) ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "matmul_int4: the output overlaps input %d", i);
  return {};
}

// The row of the wide integer dot product has nothing to add where activations stay float.
const char* refuse(const Row& row, const Call& call) {
  return (row.isa & isa::vnni) && !call.integer(matmul_int4_attr::compute) ? "integer products only (compute = 1)" : nullptr;
}

size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  const Int4Problem p = int4_problem(call);
  return p.a_bytes + p.scale_bytes + p.start_bytes;
}

Status check_pack(const Call& c) {
  const TensorView &q = c.in[0], &s = c.in[1], &z = c.in[2], &w = c.out[0];
  const int64_t group = c.integer(matmul_int4_pack_attr::group);
  ACCELNN_CHECK(is_group(group), attribute, "matmul_int4_pack: group is 32, 64 or 128, not %lld", static_cast<long long>(group));
  ACCELNN_CHECK(q.dtype == DType::u8 && s.dtype == DType::f32 && w.dtype == DType::u8 && (z.absent() || z.dtype == DType::u8), dtype,
                "matmul_int4_pack: u8 values, f32 scales and u8 zero points expected");
  ACCELNN_CHECK(q.rank == 2 || (q.rank == 3 && q.shape[2] * 2 == group), shape, "matmul_int4_pack: values [N, K] or nibbles [N, K/%lld, %lld] expected, not %s",
                static_cast<long long>(group), static_cast<long long>(group / 2), describe(q).text);
  const int64_t n = q.shape[0], groups = q.rank == 3 ? q.shape[1] : (q.shape[1] + group - 1) / group;
  ACCELNN_CHECK(s.rank == 2 && s.shape[0] == n && s.shape[1] == groups && (z.absent() || same_shape(s, z)), shape,
                "matmul_int4_pack: scales and zero points [%lld, %lld] expected, not %s and %s", static_cast<long long>(n), static_cast<long long>(groups),
                describe(s).text, describe(z).text);
  ACCELNN_CHECK(w.rank == 3 && w.shape[0] == (n + 15) / 16 && w.shape[1] == groups && w.shape[2] == group * 8 + 32 + (z.absent() ? 0 : 16), shape,
                "matmul_int4_pack: %s does not hold %s in groups of %lld", describe(w).text, describe(q).text, static_cast<long long>(group));
  ACCELNN_CHECK(small(n, groups * group), shape, "matmul_int4_pack: %s is too large", describe(q).text);
  ACCELNN_CHECK(q.contiguous() && s.contiguous() && (z.absent() || z.contiguous()) && w.contiguous(), shape, "matmul_int4_pack: contiguous operands expected");
  ACCELNN_CHECK(!overlap(q, w) && !overlap(s, w) && (z.absent() || !overlap(z, w)), aliasing, "matmul_int4_pack: the output overlaps an input");
  return {};
}

}  // namespace

Int4Problem int4_problem(const Call& call) {
  const TensorView &a = call.in[0], &y = call.out[0];
  Int4Problem p = {};
  p.m = 1;
  for (int d = 0; d < a.rank - 1; d++) p.m *= a.shape[d];
  p.n = y.dim(-1);
  p.k = a.dim(-1);
  p.group = call.integer(matmul_int4_attr::group);
  p.zero_points = call.integer(matmul_int4_attr::zero_points) != 0;
  p.int8 = call.integer(matmul_int4_attr::compute) != 0;
  p.groups = (p.k + p.group - 1) / p.group;
  p.strips = (p.n + int4_strip - 1) / int4_strip;
  p.group_bytes = p.group * 8 + 32 + (p.zero_points ? 16 : 0);
  const int64_t whole = p.groups * p.group;
  // An odd number of cache lines a row: the rows of a tile spread over all sets of L1.
  p.copy_a = p.int8 || p.k != whole || (p.k % 512 == 0 && p.m > 4);
  p.a_row = p.int8 ? (round_up(whole, 64) / 64 | 1) * 64 : p.copy_a ? (round_up(whole, 16) / 16 | 1) * 64
                                                                    : p.k * 4;
  // As many rows as half of a 1 MiB L2 holds, in whole tiles of 13 and 14.
  p.row_block = clamp((512 << 10) / (p.a_row ? p.a_row : 1) / 182 * 182, 182, 728);
  p.row_parts = (p.m + p.row_block - 1) / p.row_block;
  const double work = double(p.m) * double(p.n) * double(p.k);
  const int64_t by_work = work / 2e5 < 16 ? int64_t(work / 2e5) : 16, wanted = p.row_parts ? (16 + p.row_parts - 1) / p.row_parts : 1;
  p.column_parts = clamp(by_work < wanted ? by_work : wanted, 1, p.strips < 1 ? 1 : p.strips);
  p.a_bytes = p.copy_a ? size_t(p.m * p.a_row) : 0;
  p.scale_bytes = p.int8 ? size_t(round_up(p.m * p.groups * 4, 64)) : 0;
  p.start_bytes = p.scale_bytes;
  return p;
}

const Op op_matmul_int4 = {"matmul_int4", matmul_int4_attrs, matmul_int4_attr::count_, 2, 3, 1, check, refuse, workspace};
const Op op_matmul_int4_pack = {"matmul_int4_pack", matmul_int4_pack_attrs, matmul_int4_pack_attr::count_, 2, 3, 1, check_pack, refuse_nothing, no_workspace};

}  // namespace accelnn
