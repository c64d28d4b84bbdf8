#include "matmul/bf16.h"
#include "matmul/matmul.h"
#include "matmul/activation.h"

#define ACCELNN_OP matmul
#define ACCELNN_TABLE "matmul/matmul.inc"
#include "define_op.h"
#define ACCELNN_OP matmul_pack
#define ACCELNN_TABLE "matmul/matmul_pack.inc"
#include "define_op.h"

namespace accelnn {

namespace {

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t clamp(int64_t n, int64_t low, int64_t high) { return n < low ? low : n > high ? high
                                                                                      : n; }

// a's rows, batch dims included, as one dimension with one stride.
bool fold_rows(const TensorView& a, int64_t* rows, int64_t* stride) {
  *rows = 1;
  *stride = 0;
  for (int d = a.rank - 2; d >= 0; d--) {
    if (a.shape[d] == 1) continue;
    if (*rows == 1) *stride = a.stride[d];
    else if (a.stride[d] != *rows * *stride) return false;
    *rows *= a.shape[d];
  }
  return true;
}

bool repeats(const TensorView& b) {
  for (int d = 0; d < b.rank - 2; d++)
    if (b.shape[d] != 1 && b.stride[d] != 0) return false;
  return true;
}

}  // namespace

int64_t batch_offset(const TensorView& v, int64_t item, int batch_dims) {
  int64_t offset = 0;
  for (int d = batch_dims - 1; d >= 0; d--) {
    offset += item % v.shape[d] * v.stride[d];
    item /= v.shape[d];
  }
  return offset;
}

int64_t work_of(int64_t m, int64_t n, int64_t k) {
  const double flops = 2.0 * double(m) * double(n) * double(k);
  return flops < 1e18 ? int64_t(flops) : int64_t(1e18);
}
int64_t work_beside_b(int64_t m, int64_t n, int64_t k) { return work_of(m < 3 && double(k) * double(n) >= rows_beyond_l2 ? 3 : m, n, k); }
bool addressable(int64_t rows, int64_t columns) { return double(rows + 16) * double(columns + 16) < 1e14; }

// About 16 parts in all, each of 100 000 multiply-adds at least: fewer have too little work to be split.
int64_t column_parts_of(int64_t m, int64_t n, int64_t k, int64_t row_parts) {
  const int64_t by_work = work_of(m, n, k) / 200000 / (row_parts < 1 ? 1 : row_parts);
  const int64_t wanted = row_parts < 1 ? 1 : (16 + row_parts - 1) / row_parts;
  return clamp(wanted < by_work ? wanted : by_work, 1, n < strip ? 1 : n / strip);
}

static MatmulPath path_of(const MatmulProblem& p) {
  if (p.panels) return MatmulPath::tiles;
  const bool large = p.k * p.n > 100000;           // beyond, b does not stay near the core
  if (p.b_column == 1) return !large || p.m > 32 ? MatmulPath::tiles : p.m <= 4 ? MatmulPath::rows
                                                                                : MatmulPath::strips;
  if (p.b_k == 1 && p.m <= 4) return MatmulPath::dots;
  if (p.b_k == 1 && p.m <= 32 && p.k * p.n > 16384) return MatmulPath::swapped;      // smaller ones are turned faster than a
  return MatmulPath::tiles;
}

MatmulProblem matmul_operands(const Call& call) {
  const TensorView &a = call.in[0], &b = call.in[1], &y = call.out[0];
  MatmulProblem p = {};
  p.packed = call.integer(matmul_attr::packed) != 0;
  p.n = y.dim(-1);
  p.k = a.dim(-1);
  p.batch = 1;
  if (!((p.packed || repeats(b)) && fold_rows(a, &p.m, &p.a_row))) {
    p.m = y.dim(-2);
    for (int d = 0; d < y.rank - 2; d++) p.batch *= y.shape[d];
    p.a_row = a.stride[a.rank - 2];
  }
  p.a_k = p.k <= 1 ? 1 : a.stride[a.rank - 1];
  if (p.packed) {
    p.b_k = 16;
  } else {
    p.b_k = p.k <= 1 ? 1 : b.stride[b.rank - 2];
    p.b_column = p.n <= 1 ? 1 : b.stride[b.rank - 1];
  }
  return p;
}

MatmulProblem matmul_problem(const Call& call) {
  MatmulProblem p = matmul_operands(call);
  if (p.n == 1 && p.m > 1) {
    p.turned = true;
    p.n = p.m;
    p.m = 1;
    p.b_column = p.a_row;
    const int64_t a_k = p.a_k;
    p.a_k = p.b_k;
    p.b_k = a_k;
  }
  p.panels = p.packed && !p.turned;
  p.path = path_of(p);
  p.work = work_beside_b(p.m, p.n, p.k);
  // A stride that is no multiple of a cache line makes every other vector straddle two (127^3: 82 in place, 100 packed), which many rows pay for.
  const bool large = p.k * p.n > 100000, straddles = p.b_k % 16 != 0;
  p.copy_b = p.path == MatmulPath::tiles && !p.panels && (p.b_column != 1 || (p.m > 32 && large) || (p.m >= 96 && straddles));
  // Rows 2 KiB or a multiple apart share the cache sets of L1, where a tile wants 14 of them at once.
  p.copy_a = p.path == MatmulPath::swapped || (p.path != MatmulPath::rows && p.a_k != 1) ||
      (p.path <= MatmulPath::strips && p.a_row % 512 == 0 && p.m > 4 && p.n > 2 * strip);
  p.copied_a_row = ((p.k + 15) / 16 | 1) * 16;             // an odd number of cache lines: all sets in turn
  p.row_parts = p.path == MatmulPath::tiles ? (p.m + row_block - 1) / row_block : 1;
  p.column_parts = column_parts_of(p.m, p.n, p.k, p.row_parts);
  p.unit = p.path == MatmulPath::strips ? 96 : strip;             // whole strips on every ISA
  const int64_t a_columns = p.m <= 4 ? 4 : p.m <= 8 ? 8
                                                    : round_up(p.m, 16);
  if (p.path == MatmulPath::swapped) p.a_bytes = size_t(round_up(p.k, 4) * a_columns * 4);
  else if (p.copy_a) p.a_bytes = size_t(p.m * p.copied_a_row * 4);
  if (p.copy_b) p.b_bytes = size_t(round_up(p.n, 16) * p.k * 4);
  p.a_bytes = (p.a_bytes + 63) / 64 * 64;
  // Small items by themselves, each part its own; large or few ones in parts.
  if (p.batch > 1 && (p.batch >= 16 || work_of(p.m, p.n, p.k) < 4000000) && p.a_bytes + p.b_bytes <= size_t(1) << 20)
    p.item_parts = p.batch < 16 ? p.batch : 16;
  if (p.path == MatmulPath::rows && !p.item_parts) {
    const int64_t parts = p.k * p.n >= rows_of_memory ? 8 : p.k * p.n >= rows_beyond_l2 && p.n <= 1024 ? 4
                                                                                                       : 0;
    if (p.k >= 64 * parts) p.k_parts = parts;
    p.b_bytes = size_t(round_up(p.k_parts * p.m * p.n, 16) * 4);
  }
  p.fresh = p.copy_b && !p.item_parts && p.m <= fresh_rows;
  if (p.fresh) {
    p.row_parts = 1;
    p.column_parts = column_parts_of(p.m, p.n, p.k, 1);
    p.b_bytes = size_t(p.column_parts * fresh_block * 4);
  }
  p.shared = p.copy_b && !p.item_parts && !p.fresh;
  if (p.shared) {
    p.copied_a_row = k_block + 16;
    p.block_rows = clamp(caps().l2 / (3 * 4 * k_block) / 14 * 14, 42, 504);        // a third of L2: 168 rows of 1 MiB
    p.row_parts = (p.m + p.block_rows - 1) / p.block_rows;
    p.column_parts = column_parts_of(p.m, p.n, p.k, p.row_parts);
    if (p.copy_a) p.a_bytes = size_t(p.row_parts * p.column_parts * p.block_rows * p.copied_a_row * 4);
    p.state_bytes = size_t(round_up((p.k / k_block + 1) * (p.n / fresh_columns + 1), 64));
    p.b_bytes += p.state_bytes;
  }
  // By rows first: in a chain of products a thread then reads the rows that it wrote. Two threads whose cores share no cache, chains in a Plan: 64^3 4.9 us
  // by columns, 2.7 by rows, 128^3 20.6 and 12.5.
  if (p.path == MatmulPath::tiles && !p.copy_b) {
    const int64_t by_work = work_of(p.m, p.n, p.k) / 200000, by_rows = p.m / 32;
    p.row_parts = clamp(by_rows < by_work ? by_rows : by_work, p.row_parts, p.row_parts < 4 ? 4 : p.row_parts);
    p.column_parts = column_parts_of(p.m, p.n, p.k, p.row_parts);
  }
  return p;
}

static Status check_matmul(const Call& c) {
  const TensorView &a = c.in[0], &b = c.in[1], &bias = c.in[2], &residual = c.in[3], &y = c.out[0];
  const bool halves = a.dtype == DType::bf16;
  ACCELNN_CHECK((halves || a.dtype == DType::f32) && b.dtype == a.dtype && (y.dtype == a.dtype || y.dtype == DType::f32), dtype,
                "matmul: f32 @ f32 -> f32 or bf16 @ bf16 -> bf16 or f32 expected, not %s @ %s -> %s", describe(a).text, describe(b).text, describe(y).text);
  ACCELNN_CHECK(a.rank >= 2 && y.rank == a.rank, shape, "matmul: a of rank >= 2 and y of the same rank expected, not %s -> %s", describe(a).text,
                describe(y).text);
  const int64_t packed = c.integer(matmul_attr::packed), how = c.integer(matmul_attr::activation);
  ACCELNN_CHECK(packed == 0 || packed == 1, attribute, "matmul: packed is 0 or 1, not %lld", static_cast<long long>(packed));
  ACCELNN_CHECK(how >= 0 && how < activation::count_, attribute, "matmul: activation is 0..%d, not %lld", activation::count_ - 1,
                static_cast<long long>(how));
  bool fits = a.dim(-2) == y.dim(-2);
  for (int d = 0; d < a.rank - 2; d++) fits = fits && a.shape[d] == y.shape[d];
  if (packed) {
    fits = fits && b.rank == 3 && b.shape[0] == (y.dim(-1) + 15) / 16 && b.contiguous() &&
        (halves ? b.shape[1] == (a.dim(-1) + 1) / 2 && b.shape[2] == 32 : b.shape[1] == a.dim(-1) && b.shape[2] == 16);
  } else {
    fits = fits && b.rank == a.rank && b.dim(-2) == a.dim(-1) && b.dim(-1) == y.dim(-1);
    for (int d = 0; fits && d < a.rank - 2; d++) fits = b.shape[d] == y.shape[d];
  }
  ACCELNN_CHECK(fits, shape, "matmul: [..., M, K] @ %s -> [..., M, N] expected, not %s @ %s -> %s",
                !packed      ? "[..., K, N]"
                    : halves ? "contiguous [ceil(N/16), ceil(K/2), 32]"
                             : "contiguous [ceil(N/16), K, 16]",
                describe(a).text, describe(b).text, describe(y).text);
  ACCELNN_CHECK(bias.absent() || ((bias.dtype == DType::f32 || bias.dtype == a.dtype) && bias.rank == 1 && bias.shape[0] == y.dim(-1) && bias.contiguous()),
                shape, "matmul: bias f32[%lld]%s, contiguous, expected, not %s", static_cast<long long>(y.dim(-1)), halves ? " or bf16" : "",
                describe(bias).text);
  ACCELNN_CHECK(residual.absent() || (residual.dtype == y.dtype && same_shape(residual, y) && residual.contiguous()), shape,
                "matmul: a residual like the output %s, contiguous, expected, not %s", describe(y).text, describe(residual).text);
  // Broadcast operands (stride 0) can be larger than memory; copies of them cannot.
  const int64_t rows = y.dim(-1) ? y.count() / y.dim(-1) : 0;
  ACCELNN_CHECK(addressable(rows, a.dim(-1)) && addressable(a.dim(-1), y.dim(-1)), shape, "matmul: %s @ %s is too large", describe(a).text,
                describe(b).text);
  ACCELNN_CHECK(y.contiguous(), shape, "matmul: the output must be contiguous");
  for (int i = 0; i < 3; i++) ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "matmul: the output overlaps input %d", i);
  ACCELNN_CHECK(residual.absent() || !overlap(residual, y) || same_memory(residual, y), aliasing,
                "matmul: the output overlaps the residual without being its own memory");
  return {};
}

static size_t matmul_workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  if (call.in[0].dtype == DType::bf16) {
    const Bf16Problem q = bf16_problem(call, (row.isa & isa::amx) != 0);
    return size_t(q.group) * (q.a_bytes + q.b_bytes + size_t(q.row_parts * q.column_parts) * q.part_bytes);
  }
  const MatmulProblem p = matmul_problem(call);
  return size_t(p.slots()) * (p.a_bytes + p.b_bytes);
}

const Op op_matmul = {"matmul", matmul_attrs, matmul_attr::count_, 2, 4, 1, check_matmul, refuse_nothing, matmul_workspace};

static Status check_matmul_pack(const Call& c) {
  const TensorView &b = c.in[0], &p = c.out[0];
  ACCELNN_CHECK((b.dtype == DType::f32 || b.dtype == DType::bf16 || b.dtype == DType::i8) && p.dtype == b.dtype, dtype,
                "matmul_pack: f32, bf16 or i8 to the same expected, not %s -> %s", describe(b).text, describe(p).text);
  ACCELNN_CHECK(b.rank == 2 && p.rank == 3, shape, "matmul_pack: rank 2 -> rank 3 expected, not %s -> %s", describe(b).text, describe(p).text);
  const int64_t rows = b.dtype == DType::i8 ? (b.shape[0] + 3) / 4 + 1 : b.dtype == DType::bf16 ? (b.shape[0] + 1) / 2
                                                                                                : b.shape[0];
  const int64_t width = 64 / int64_t(size_of(b.dtype));
  ACCELNN_CHECK(p.shape[0] == (b.shape[1] + 15) / 16 && p.shape[1] == rows && p.shape[2] == width && p.contiguous(), shape,
                "matmul_pack: contiguous [%lld, %lld, %lld] expected, not %s", static_cast<long long>((b.shape[1] + 15) / 16),
                static_cast<long long>(rows), static_cast<long long>(width), describe(p).text);
  ACCELNN_CHECK(!overlap(b, p), aliasing, "matmul_pack: the output overlaps the input");
  return {};
}

const Op op_matmul_pack = {"matmul_pack", matmul_pack_attrs, 0, 1, 1, 1, check_matmul_pack, refuse_nothing, no_workspace};

}  // namespace accelnn
