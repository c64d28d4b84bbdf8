// The checks of the family, and the dims as its rows want them.
#include "gather/gather.h"
#include "gather/gather_nd.h"
#include "gather/index.h"
#include "gather/scatter.h"
#include "gather/scatter_nd.h"
#include "gather/take.h"
#include "gather/take_grad.h"
#define ACCELNN_OP take
#define ACCELNN_TABLE "gather/take.inc"
#include "define_op.h"
#define ACCELNN_OP take_grad
#define ACCELNN_TABLE "gather/take_grad.inc"
#include "define_op.h"
#define ACCELNN_OP gather
#define ACCELNN_TABLE "gather/gather.inc"
#include "define_op.h"
#define ACCELNN_OP scatter
#define ACCELNN_TABLE "gather/scatter.inc"
#include "define_op.h"
#define ACCELNN_OP gather_nd
#define ACCELNN_TABLE "gather/gather_nd.inc"
#include "define_op.h"
#define ACCELNN_OP scatter_nd
#define ACCELNN_TABLE "gather/scatter_nd.inc"
#include "define_op.h"

namespace accelnn {

namespace {
long long ll(int64_t x) { return static_cast<long long>(x); }
}  // namespace

namespace gather_index {

Status index_status(const char* op, const FirstBad& bad, const TensorView& index, const int64_t* sizes, int64_t n_sizes) {
  if (bad.at == INT64_MAX) return {};
  TensorView place;                                            // its place as a shape, for describe(): "f32[1, 2]" from the bracket on
  place.rank = index.rank;
  int64_t rest = bad.at;
  for (int d = index.rank - 1; d >= 0; d--) place.shape[d] = rest % index.shape[d], rest /= index.shape[d];
  const int64_t size = sizes[bad.at % n_sizes];
  return fail(Code::bound, "%s: the index %lld at %s is outside [-%lld, %lld)", op, ll(Index(index)[bad.at]), describe(place).text + 3, ll(size), ll(size));
}

Rows rows_of(const TensorView& whole, int64_t axis, const TensorView& index) {
  Rows r = {1, whole.shape[axis], 1, index.count()};
  for (int d = 0; d < axis; d++) r.outer *= whole.shape[d];
  for (int d = int(axis) + 1; d < whole.rank; d++) r.inner *= whole.shape[d];
  return r;
}

Lines lines_of(const TensorView& x, const TensorView& index, const TensorView& s, int64_t axis) {
  Lines l;
  l.rank = index.rank;
  l.axis = int(axis);
  l.along = axis == l.rank - 1;
  l.size = x.shape[axis];
  l.length = index.shape[l.rank - 1];
  l.lines = 1;
  int64_t x_step = 1, s_step = 1;
  for (int d = l.rank - 1; d >= 0; d--) {
    l.shape[d] = index.shape[d];
    l.x_stride[d] = x_step;
    l.s_stride[d] = s_step;
    x_step *= x.shape[d];
    s_step *= s.shape[d];
    if (d < l.rank - 1) l.lines *= index.shape[d];
  }
  return l;
}

Slices slices_of(const TensorView& x, const TensorView& index, int64_t batch) {
  Slices s = {};
  s.k = int(index.shape[index.rank - 1]);
  s.batches = s.count = s.inner = 1;
  for (int d = 0; d < batch; d++) s.batches *= x.shape[d];
  for (int d = int(batch); d < index.rank - 1; d++) s.count *= index.shape[d];
  for (int d = int(batch) + s.k; d < x.rank; d++) s.inner *= x.shape[d];
  int64_t step = s.inner;
  for (int k = s.k - 1; k >= 0; k--) {
    s.size[k] = x.shape[batch + k];
    s.stride[k] = step;
    step *= s.size[k];
  }
  s.x_batch = step;
  return s;
}

}  // namespace gather_index

namespace {

Status check_operands(const char* op, const Call& call, const TensorView& index) {
  const TensorView& y = call.out[0];
  for (int i = 0; i < call.n_in; i++) {
    const TensorView& x = call.in[i];
    ACCELNN_CHECK(!x.absent() && x.contiguous(), shape, "%s: input %d is missing or not contiguous", op, i);
    ACCELNN_CHECK(!overlap(x, y), aliasing, "%s: the output shares memory with input %d", op, i);
    ACCELNN_CHECK(&x == &index || x.dtype == y.dtype, dtype, "%s: input %d is %s, the output %s; both have one dtype", op, i, name_of(x.dtype),
                  name_of(y.dtype));
  }
  ACCELNN_CHECK(y.contiguous(), shape, "%s: the output is not contiguous", op);
  ACCELNN_CHECK(index.dtype == DType::i64 || index.dtype == DType::i32, dtype, "%s: the index is %s; i64 and i32 are possible", op, name_of(index.dtype));
  return {};
}

// whole [outer.., A, inner..], picked [outer.., index.., inner..]
Status check_rows(const char* op, const Call& call, const TensorView& whole, const TensorView& picked, int64_t axis, int64_t skip) {
  const TensorView& index = call.in[1];
  ACCELNN_TRY(check_operands(op, call, index));
  ACCELNN_CHECK(axis >= 0 && axis < whole.rank, attribute, "%s: axis %lld of %s", op, ll(axis), describe(whole).text);
  bool fits = picked.rank == whole.rank - 1 + index.rank;
  for (int d = 0; fits && d < picked.rank; d++)
    fits = picked.shape[d] == (d < axis ? whole.shape[d] : d < axis + index.rank ? index.shape[d - axis]
                                                                                 : whole.shape[d - index.rank + 1]);
  ACCELNN_CHECK(fits, shape, "%s: rows %s of %s along axis %lld are not %s", op, describe(index).text, describe(whole).text, ll(axis),
                describe(picked).text);
  ACCELNN_CHECK(skip >= -1 && skip < whole.shape[axis], attribute, "%s: skip is %lld; a row in [0, %lld) or -1 is expected", op, ll(skip),
                ll(whole.shape[axis]));
  return {};
}
Status check_take(const Call& c) { return check_rows("take", c, c.in[0], c.out[0], c.integer(take_attr::axis), c.integer(take_attr::skip)); }
Status check_take_grad(const Call& c) {
  ACCELNN_CHECK(c.in[0].dtype == DType::f32, dtype, "take_grad: dy is %s; f32 is expected", name_of(c.in[0].dtype));
  return check_rows("take_grad", c, c.out[0], c.in[0], c.integer(take_grad_attr::axis), c.integer(take_grad_attr::skip));
}

Status check_lines(const char* op, const Call& call, const TensorView& x, int64_t axis) {
  const TensorView& index = call.in[1];
  ACCELNN_TRY(check_operands(op, call, index));
  ACCELNN_CHECK(index.rank == x.rank && axis >= 0 && axis < x.rank, shape, "%s: index %s for %s along axis %lld; one rank is expected", op,
                describe(index).text, describe(x).text, ll(axis));
  for (int d = 0; d < x.rank; d++)
    ACCELNN_CHECK(d == axis || index.shape[d] <= x.shape[d], shape, "%s: index %s is larger than %s along dim %d", op, describe(index).text,
                  describe(x).text, d);
  return {};
}
Status check_gather(const Call& c) {
  ACCELNN_TRY(check_lines("gather", c, c.in[0], c.integer(gather_attr::axis)));
  ACCELNN_CHECK(same_shape(c.in[1], c.out[0]), shape, "gather: index %s, output %s; one shape is expected", describe(c.in[1]).text,
                describe(c.out[0]).text);
  return {};
}
Status check_reduce(const char* op, const Call& c, int64_t reduce) {
  ACCELNN_CHECK(reduce >= 0 && reduce < scatter_reduce::count_, attribute, "%s: reduce %lld; 0 to 4 are possible", op, ll(reduce));
  const DType t = c.in[0].dtype;
  ACCELNN_CHECK(reduce == 0 || t == DType::f32 || t == DType::i32 || t == DType::i64, dtype, "%s: %s is only replaced, not combined", op, name_of(t));
  ACCELNN_CHECK(same_shape(c.in[0], c.out[0]), shape, "%s: input %s, output %s; one shape is expected", op, describe(c.in[0]).text,
                describe(c.out[0]).text);
  return {};
}
Status check_scatter(const Call& c) {
  ACCELNN_TRY(check_lines("scatter", c, c.in[0], c.integer(scatter_attr::axis)));
  const TensorView &index = c.in[1], &s = c.in[2];
  bool fits = s.rank == index.rank;
  for (int d = 0; fits && d < s.rank; d++) fits = s.shape[d] >= index.shape[d];
  ACCELNN_CHECK(fits, shape, "scatter: %s has no element for every index of %s", describe(s).text, describe(index).text);
  return check_reduce("scatter", c, c.integer(scatter_attr::reduce));
}

Status check_slices(const char* op, const Call& c, const TensorView& x, const TensorView& picked, int64_t batch) {
  const TensorView& index = c.in[1];
  ACCELNN_TRY(check_operands(op, c, index));
  ACCELNN_CHECK(index.rank >= 1 && batch >= 0 && batch < index.rank && batch < x.rank, shape, "%s: index %s for %s with %lld batch dims", op,
                describe(index).text, describe(x).text, ll(batch));
  const int64_t k = index.shape[index.rank - 1];
  ACCELNN_CHECK(k >= 1 && batch + k <= x.rank, shape, "%s: %lld components of an index of %s", op, ll(k), describe(x).text);
  bool fits = picked.rank == index.rank - 1 + x.rank - batch - k;
  for (int d = 0; fits && d < batch; d++) fits = index.shape[d] == x.shape[d];
  for (int d = 0; fits && d < picked.rank; d++) fits = picked.shape[d] == (d < index.rank - 1 ? index.shape[d] : x.shape[d - index.rank + 1 + batch + k]);
  ACCELNN_CHECK(fits, shape, "%s: slices %s of %s are not %s", op, describe(index).text, describe(x).text, describe(picked).text);
  return {};
}
Status check_gather_nd(const Call& c) { return check_slices("gather_nd", c, c.in[0], c.out[0], c.integer(gather_nd_attr::batch)); }
Status check_scatter_nd(const Call& c) {
  ACCELNN_TRY(check_slices("scatter_nd", c, c.in[0], c.in[2], 0));
  return check_reduce("scatter_nd", c, c.integer(scatter_nd_attr::reduce));
}

}  // namespace

const Op op_take = {"take", take_attrs, take_attr::count_, 2, 2, 1, check_take, refuse_nothing, no_workspace};
const Op op_take_grad = {"take_grad", take_grad_attrs, take_grad_attr::count_, 2, 2, 1, check_take_grad, refuse_nothing, no_workspace};
const Op op_gather = {"gather", gather_attrs, gather_attr::count_, 2, 2, 1, check_gather, refuse_nothing, no_workspace};
const Op op_scatter = {"scatter", scatter_attrs, scatter_attr::count_, 3, 3, 1, check_scatter, refuse_nothing, no_workspace};
const Op op_gather_nd = {"gather_nd", gather_nd_attrs, gather_nd_attr::count_, 2, 2, 1, check_gather_nd, refuse_nothing, no_workspace};
const Op op_scatter_nd = {"scatter_nd", scatter_nd_attrs, scatter_nd_attr::count_, 3, 3, 1, check_scatter_nd, refuse_nothing, no_workspace};

}  // namespace accelnn
