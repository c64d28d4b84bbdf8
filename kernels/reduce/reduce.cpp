#include "reduce/reduce.h"
#define ACCELNN_OP reduce
#define ACCELNN_TABLE "reduce/reduce.inc"
#include "define_op.h"

namespace accelnn {

static uint32_t axes_mask(const Call& call) {
  uint32_t mask = 0;
  const Attr& axes = call.attrs[reduce_attr::axes];
  for (int64_t i = 0; i < axes.n; i++) mask |= 1u << axes.list[i];
  return mask;
}

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  ACCELNN_CHECK(!x.absent() && x.dtype == DType::f32, dtype, "reduce: the input is %s; f32 is expected", describe(x).text);
  ACCELNN_CHECK(!y.absent() && y.dtype == DType::f32 && y.contiguous(), dtype, "reduce: the output is %s; a contiguous f32 is expected",
                describe(y).text);
  const int64_t kind = call.integer(reduce_attr::kind), keepdim = call.integer(reduce_attr::keepdim);
  ACCELNN_CHECK(kind >= 0 && kind < reduce_kind::count_, attribute, "reduce: kind %lld; 0 to 4 are possible", static_cast<long long>(kind));
  ACCELNN_CHECK(keepdim == 0 || keepdim == 1, attribute, "reduce: keepdim is 0 or 1, got %lld", static_cast<long long>(keepdim));
  const Attr& axes = call.attrs[reduce_attr::axes];
  uint32_t mask = 0;
  for (int64_t i = 0; i < axes.n; i++) {
    const int64_t a = axes.list[i];
    ACCELNN_CHECK(a >= 0 && a < x.rank && !(mask >> a & 1), attribute, "reduce: axis %lld of %s is out of range or given twice",
                  static_cast<long long>(a), describe(x).text);
    mask |= 1u << a;
  }
  int at = 0;
  bool fits = true;
  int64_t terms = 1;
  for (int d = 0; d < x.rank; d++) {
    ACCELNN_CHECK(x.stride[d] >= 0, shape, "reduce: the input has a negative stride");
    const bool reduced = mask >> d & 1;
    if (reduced) terms *= x.shape[d];
    if (reduced && !keepdim) continue;
    fits = fits && at < y.rank && y.shape[at] == (reduced ? 1 : x.shape[d]);
    at++;
  }
  ACCELNN_CHECK(fits && at == y.rank, shape, "reduce: the output %s does not follow from the input %s and the axes",
                describe(y).text, describe(x).text);
  ACCELNN_CHECK(terms > 0 || (kind != reduce_kind::max && kind != reduce_kind::min) || y.count() == 0, shape,
                "reduce: the largest or smallest of no elements (%s)", describe(x).text);
  ACCELNN_CHECK(!overlap(x, y), aliasing, "reduce: the output shares memory with the input");
  return {};
}

ReduceLoops reduce_loops(const Call& call, int64_t lanes) {
  const TensorView& x = call.in[0];
  const uint32_t mask = axes_mask(call);
  int n = 0;
  int64_t size[max_rank];
  bool reduced[max_rank];
  for (int d = 0; d < x.rank; d++) {
    if (x.shape[d] == 1) continue;
    const bool r = mask >> d & 1;
    if (n && reduced[n - 1] == r) size[n - 1] *= x.shape[d];
    else reduced[n] = r, size[n++] = x.shape[d];
  }
  ReduceLoops l = {};
  l.kept.count = l.reduced.count = l.run = 1;
  l.along = n && reduced[n - 1];
  int64_t stride = 1;
  if (n) stride = l.run = size[--n];
  for (int d = 0; d < n; d++) l.kept.count *= reduced[d] ? 1 : size[d], l.reduced.count *= reduced[d] ? size[d] : 1;
  for (int d = n - 1; d >= 0; d--) {            // innermost first
    ReduceLoops::Dims& to = reduced[d] ? l.reduced : l.kept;
    to.size[to.n] = size[d];
    to.stride[to.n++] = stride;
    stride *= size[d];
  }
  l.outputs = l.along ? l.kept.count : l.kept.count * l.run;
  l.terms = l.along ? l.reduced.count * l.run : l.reduced.count;
  l.rows_per_leaf = leaf_depth;
  l.pieces = 1;
  if (l.along) {
    const int64_t steps = (l.run + 4 * lanes - 1) / (4 * lanes);            // what a row adds to one of the four accumulators
    l.rows_per_leaf = steps && steps < leaf_depth ? leaf_depth / steps : 1;
    if (steps > leaf_depth) l.pieces = (steps + leaf_depth - 1) / leaf_depth;
  }
  l.leaves = (l.reduced.count + l.rows_per_leaf - 1) / l.rows_per_leaf * l.pieces;
  l.segments = (l.leaves + leaves_per_segment - 1) / leaves_per_segment;
  return l;
}

// First the partial results of the segments, then a contiguous copy of x.
static size_t workspace(const Call& call, const Row& row) {
  if (row.tile_n == 1) return 0;
  const ReduceLoops l = reduce_loops(call, row.tile_n);
  const size_t partial = l.segments > 1 ? (size_t(l.segments) * size_t(l.outputs) * sizeof(float) + 63) & ~size_t(63) : 0;
  return partial + (call.in[0].contiguous() ? 0 : size_t(call.in[0].count()) * sizeof(float));
}

const Op op_reduce = {"reduce", reduce_attrs, reduce_attr::count_, 1, 1, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
