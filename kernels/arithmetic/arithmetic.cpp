#include "arithmetic/arithmetic.h"
#define ACCELNN_OP arithmetic
#define ACCELNN_TABLE "arithmetic/arithmetic.inc"
#include "define_op.h"

namespace accelnn {

namespace {
struct Kind {
  int operands;
  bool boolean;
  int of;
};
using namespace arithmetic_of;
const Kind kinds[] = {
#define KIND(name, operands, boolean, dtypes) {operands, boolean != 0, dtypes},
#include "arithmetic/kinds.inc"
#undef KIND
};
}  // namespace

static Status check(const Call& call) {
  const int64_t number = call.integer(arithmetic_attr::kind);
  ACCELNN_CHECK(number >= 0 && number < int64_t(ArithmeticKind::count_), attribute, "arithmetic: kind %lld; 0 to %lld are possible",
                static_cast<long long>(number), static_cast<long long>(ArithmeticKind::count_) - 1);
  const Kind& kind = kinds[number];
  const TensorView &a = call.in[0], &y = call.out[0];
  int given = 0;
  while (given < call.n_in && !call.in[given].absent()) given++;
  ACCELNN_CHECK(given == kind.operands, shape, "arithmetic: %d operands expected, %d given", kind.operands, given);
  const DType t = a.dtype;
  const int mine = t == DType::f64 ? reals : t == DType::boolean ? bools
      : is_real(t)                                               ? 0
                                                                 : integers;
  ACCELNN_CHECK(!a.absent() && (kind.of & mine), dtype, "arithmetic: %s has no arithmetic of this kind here", describe(a).text);
  for (int i = 0; i < given; i++) {
    const TensorView& x = call.in[i];
    const DType expected = number == int64_t(ArithmeticKind::select) && i == 2 ? DType::boolean : t;
    ACCELNN_CHECK(!x.absent() && x.dtype == expected, dtype, "arithmetic: operand %d is %s, expected %s", i, describe(x).text, name_of(expected));
    ACCELNN_CHECK(same_shape(x, y), shape, "arithmetic: operand %d is %s for a result %s", i, describe(x).text, describe(y).text);
    for (int d = 0; d < x.rank; d++) ACCELNN_CHECK(x.stride[d] >= 0, shape, "arithmetic: operand %d has a negative stride", i);
    ACCELNN_CHECK(!overlap(x, y), aliasing, "arithmetic: the output shares memory with operand %d", i);
  }
  ACCELNN_CHECK(y.dtype == (kind.boolean ? DType::boolean : t) && y.contiguous(), dtype, "arithmetic: the output is %s", describe(y).text);
  return {};
}

const Op op_arithmetic = {"arithmetic", arithmetic_attrs, arithmetic_attr::count_, 1, 3, 1, check, refuse_nothing, no_workspace};

}  // namespace accelnn
