#include "order/argmax.h"
#include "order/topk.h"
#define ACCELNN_OP argmax
#define ACCELNN_TABLE "order/argmax.inc"
#include "define_op.h"
#define ACCELNN_OP topk
#define ACCELNN_TABLE "order/topk.inc"
#include "define_op.h"

namespace accelnn {

static long long ll(int64_t x) { return static_cast<long long>(x); }

static Status check_order(const char* op, const TensorView& x, const TensorView& places) {
  ACCELNN_CHECK(!x.absent() && !places.absent() && x.contiguous() && places.contiguous(), shape, "%s: an operand is missing or not contiguous", op);
  ACCELNN_CHECK(places.dtype == DType::i64, dtype, "%s: the places are %s; i64 is expected", op, name_of(places.dtype));
  ACCELNN_CHECK(!overlap(x, places), aliasing, "%s: an output shares memory with the input", op);
  return {};
}

static Status check_argmax(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  ACCELNN_TRY(check_order("argmax", x, y));
  const int64_t axis = call.integer(argmax_attr::axis), keepdim = call.integer(argmax_attr::keepdim);
  ACCELNN_CHECK(axis >= 0 && axis < x.rank && (keepdim == 0 || keepdim == 1), attribute, "argmax: axis %lld of %s, keepdim %lld", ll(axis),
                describe(x).text, ll(keepdim));
  bool fits = y.rank == x.rank - 1 + keepdim;
  for (int d = 0, at = 0; fits && d < x.rank; d++) {
    if (d == axis && !keepdim) continue;
    fits = y.shape[at++] == (d == axis ? 1 : x.shape[d]);
  }
  ACCELNN_CHECK(fits, shape, "argmax: the output %s does not follow from %s and axis %lld", describe(y).text, describe(x).text, ll(axis));
  ACCELNN_CHECK(x.shape[axis] > 0 || y.count() == 0, shape, "argmax: the largest of no elements (%s, axis %lld)", describe(x).text, ll(axis));
  return {};
}

static Status check_topk(const Call& call) {
  const TensorView &x = call.in[0], &v = call.out[0], &p = call.out[1];
  ACCELNN_TRY(check_order("topk", x, p));
  ACCELNN_CHECK(!v.absent() && v.dtype == x.dtype && v.contiguous(), dtype, "topk: the values are %s, the input %s; both have one dtype",
                describe(v).text, describe(x).text);
  ACCELNN_CHECK(!overlap(x, v) && !overlap(v, p), aliasing, "topk: an output shares memory");
  bool fits = x.rank >= 1 && same_shape(v, p) && v.rank == x.rank && v.shape[x.rank - 1] <= x.shape[x.rank - 1];
  for (int d = 0; fits && d < x.rank - 1; d++) fits = v.shape[d] == x.shape[d];
  ACCELNN_CHECK(fits, shape, "topk: outputs %s, %s of the input %s; at most as long along the last dim, the others equal", describe(v).text,
                describe(p).text, describe(x).text);
  ACCELNN_CHECK(x.shape[x.rank - 1] <= INT32_MAX, shape, "topk: rows of %lld elements; fewer than 2^31 are expected", ll(x.shape[x.rank - 1]));
  return {};
}

// For every part two copies of a row of keys: 8 bytes with the place inside, 16 beside an i64.
static size_t topk_workspace(const Call& call, const Row&) {
  const TensorView &x = call.in[0], &v = call.out[0];
  const int64_t n = x.shape[x.rank - 1], k = v.shape[x.rank - 1], rows = n ? x.count() / n : 0;
  const bool wide = x.dtype == DType::i64;
  if (!wide && k <= topk_few) return 0;
  return size_t(topk_parts(rows, n, true) * n * 2 * (wide ? 16 : 8));
}

const Op op_argmax = {"argmax", argmax_attrs, argmax_attr::count_, 1, 1, 1, check_argmax, refuse_nothing, no_workspace};
const Op op_topk = {"topk", topk_attrs, topk_attr::count_, 1, 1, 2, check_topk, refuse_nothing, topk_workspace};

}  // namespace accelnn
