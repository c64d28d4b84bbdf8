// The checks of copy and cast: one shape, a contiguous output, no shared memory.
#include "copy/cast.h"
#include "copy/copy.h"
#define ACCELNN_OP copy
#define ACCELNN_TABLE "copy/copy.inc"
#include "define_op.h"
#define ACCELNN_OP cast
#define ACCELNN_TABLE "copy/cast.inc"
#include "define_op.h"

namespace accelnn {

static Status check_views(const char* op, const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  ACCELNN_CHECK(!x.absent() && !y.absent(), shape, "%s: one input and one output are expected", op);
  ACCELNN_CHECK(same_shape(x, y), shape, "%s: the input is %s, the output %s; both have one shape", op, describe(x).text, describe(y).text);
  ACCELNN_CHECK(y.contiguous(), shape, "%s: the output (%s) is not contiguous", op, describe(y).text);
  for (int d = 0; d < x.rank; d++) ACCELNN_CHECK(x.stride[d] >= 0, shape, "%s: the input has a negative stride", op);
  ACCELNN_CHECK(!overlap(x, y), aliasing, "%s: the output shares memory with the input", op);
  return {};
}

static Status check_copy(const Call& call) {
  ACCELNN_TRY(check_views("copy", call));
  ACCELNN_CHECK(call.in[0].dtype == call.out[0].dtype, dtype, "copy: the input is %s, the output %s; use cast for another dtype",
                name_of(call.in[0].dtype), name_of(call.out[0].dtype));
  return {};
}
static Status check_cast(const Call& call) { return check_views("cast", call); }

const Op op_copy = {"copy", copy_attrs, 0, 1, 1, 1, check_copy, refuse_nothing, no_workspace};
const Op op_cast = {"cast", cast_attrs, 0, 1, 1, 1, check_cast, refuse_nothing, no_workspace};

}  // namespace accelnn
