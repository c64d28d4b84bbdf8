// The checks of concat, pad and flip.
#include "arrange/concat.h"
#include "arrange/flip.h"
#include "arrange/pad.h"
#define ACCELNN_OP concat
#define ACCELNN_TABLE "arrange/concat.inc"
#include "define_op.h"
#define ACCELNN_OP pad
#define ACCELNN_TABLE "arrange/pad.inc"
#include "define_op.h"
#define ACCELNN_OP flip
#define ACCELNN_TABLE "arrange/flip.inc"
#include "define_op.h"

namespace accelnn {

static long long ll(int64_t x) { return static_cast<long long>(x); }

static Status check_pair(const char* op, const TensorView& x, const TensorView& y) {
  ACCELNN_CHECK(!x.absent() && !y.absent(), shape, "%s: an operand is missing", op);
  ACCELNN_CHECK(x.dtype == y.dtype, dtype, "%s: the input is %s, the output %s; both have one dtype", op, name_of(x.dtype), name_of(y.dtype));
  ACCELNN_CHECK(x.contiguous() && y.contiguous(), shape, "%s: %s or %s is not contiguous", op, describe(x).text, describe(y).text);
  ACCELNN_CHECK(!overlap(x, y), aliasing, "%s: the output shares memory with an input", op);
  return {};
}

static Status check_concat(const Call& call) {
  const TensorView &y = call.out[0], &first = call.in[0];
  const int64_t axis = call.integer(concat_attr::axis);
  ACCELNN_CHECK(!y.absent() && !first.absent() && axis >= 0 && axis < y.rank, attribute, "concat: axis %lld of an output of %d dims", ll(axis), y.rank);
  int64_t size = 0;
  bool ended = false;
  for (int k = 0; k < call.n_in; k++) {
    const TensorView& x = call.in[k];
    ended = ended || x.absent();
    ACCELNN_CHECK(!ended || x.absent(), shape, "concat: input %d follows one that is left out", k);
    if (ended) continue;
    ACCELNN_TRY(check_pair("concat", x, y));
    bool fits = x.rank == y.rank;
    for (int d = 0; fits && d < y.rank; d++) fits = d == axis || x.shape[d] == y.shape[d];
    ACCELNN_CHECK(fits, shape, "concat: input %d is %s, the output %s; they may differ along axis %lld only", k, describe(x).text, describe(y).text,
                  ll(axis));
    size += x.shape[axis];
  }
  ACCELNN_CHECK(size == y.shape[axis], shape, "concat: the inputs have %lld along axis %lld together, the output %s", ll(size), ll(axis), describe(y).text);
  return {};
}

static Status check_pad(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  ACCELNN_TRY(check_pair("pad", x, y));
  const Attr &low = call.attrs[pad_attr::low], &step = call.attrs[pad_attr::step];
  const int64_t mode = call.integer(pad_attr::mode);
  constexpr int64_t limit = int64_t(1) << 40;                 // so that no sum below overflows
  ACCELNN_CHECK(mode >= 0 && mode < pad_mode::count_, attribute, "pad: mode %lld; 0 constant, 1 reflect, 2 edge and 3 wrap are possible", ll(mode));
  ACCELNN_CHECK(x.rank == y.rank && x.rank >= 1, shape, "pad: input %s, output %s; one rank of at least 1 is expected", describe(x).text,
                describe(y).text);
  ACCELNN_CHECK(low.n == x.rank && (step.n == 0 || step.n == x.rank), attribute, "pad: %lld numbers in low and %lld in step for %s", ll(low.n),
                ll(step.n), describe(x).text);
  const double value = call.real(pad_attr::value);
  ACCELNN_CHECK(is_real(x.dtype) || (value > -9.0e15 && value < 9.0e15), attribute, "pad: the value %g does not fit %s", value, name_of(x.dtype));
  for (int d = 0; d < x.rank; d++) {
    const int64_t l = low.list[d], s = step.n ? step.list[d] : 1, n = x.shape[d];
    ACCELNN_CHECK(l > -limit && l < limit && s >= 1 && s < limit / (n + 1), attribute, "pad: low %lld, step %lld along dim %d", ll(l), ll(s), d);
    if (mode == pad_mode::constant) continue;
    ACCELNN_CHECK(s == 1, attribute, "pad: a step is for constant padding");
    ACCELNN_CHECK(n >= 1 || y.count() == 0, shape, "pad: dim %d of %s has nothing to repeat", d, describe(x).text);
    const int64_t high = y.shape[d] - l - n;
    ACCELNN_CHECK(mode != pad_mode::reflect || y.shape[d] == 0 || (l < n && high < n), shape,
                  "pad: reflect by %lld and %lld along dim %d of %s; at most %lld is possible", ll(l), ll(high), d, describe(x).text, ll(n - 1));
  }
  return {};
}

static Status check_flip(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  ACCELNN_TRY(check_pair("flip", x, y));
  ACCELNN_CHECK(same_shape(x, y), shape, "flip: the input is %s, the output %s", describe(x).text, describe(y).text);
  const Attr& axes = call.attrs[flip_attr::axes];
  uint32_t seen = 0;
  for (int64_t i = 0; i < axes.n; i++) {
    const int64_t a = axes.list[i];
    ACCELNN_CHECK(a >= 0 && a < x.rank && !(seen >> a & 1), attribute, "flip: axis %lld of %s is out of range or given twice", ll(a), describe(x).text);
    seen |= 1u << a;
  }
  return {};
}

const Op op_concat = {"concat", concat_attrs, concat_attr::count_, 1, 24, 1, check_concat, refuse_nothing, no_workspace};
const Op op_pad = {"pad", pad_attrs, pad_attr::count_, 1, 1, 1, check_pad, refuse_nothing, no_workspace};
const Op op_flip = {"flip", flip_attrs, flip_attr::count_, 1, 1, 1, check_flip, refuse_nothing, no_workspace};

}  // namespace accelnn
