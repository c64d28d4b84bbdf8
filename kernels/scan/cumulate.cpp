#include "scan/cumulate.h"
#define ACCELNN_OP cumulate
#define ACCELNN_TABLE "scan/cumulate.inc"
#include "define_op.h"

namespace accelnn {

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t axis = call.integer(cumulate_attr::axis), kind = call.integer(cumulate_attr::kind);
  ACCELNN_CHECK(!x.absent() && !y.absent() && x.contiguous() && y.contiguous(), shape, "cumulate: an operand is missing or not contiguous");
  ACCELNN_CHECK((x.dtype == DType::f32 || x.dtype == DType::i32 || x.dtype == DType::i64 || x.dtype == DType::f64) && x.dtype == y.dtype, dtype,
                "cumulate: %s to %s; f32, f64, i32 and i64 are possible, in and out alike", name_of(x.dtype), name_of(y.dtype));
  ACCELNN_CHECK(same_shape(x, y), shape, "cumulate: the input is %s, the output %s", describe(x).text, describe(y).text);
  ACCELNN_CHECK(axis >= 0 && axis < x.rank && (kind == 0 || kind == 1), attribute, "cumulate: axis %lld of %s, kind %lld (0 sum, 1 product)",
                static_cast<long long>(axis), describe(x).text, static_cast<long long>(kind));
  ACCELNN_CHECK(!overlap(x, y), aliasing, "cumulate: the output shares memory with the input");
  return {};
}

const Op op_cumulate = {"cumulate", cumulate_attrs, cumulate_attr::count_, 1, 1, 1, check, refuse_nothing, no_workspace};

}  // namespace accelnn
