#include "integer/integer.h"
#define ACCELNN_OP integer
#define ACCELNN_TABLE "integer/integer.inc"
#include "define_op.h"

namespace accelnn {

namespace {
struct Kind {
  int operands;
  bool boolean, of_bool;
};
const Kind kinds[] = {
#define KIND(name, operands, boolean, of_bool) {operands, boolean != 0, of_bool != 0},
#include "integer/kinds.inc"
#undef KIND
};
}  // namespace

static Status check(const Call& call) {
  const int64_t number = call.integer(integer_attr::kind);
  ACCELNN_CHECK(number >= 0 && number < int64_t(IntegerKind::count_), attribute, "integer: kind %lld; 0 to %lld are possible",
                static_cast<long long>(number), static_cast<long long>(IntegerKind::count_) - 1);
  const Kind& kind = kinds[number];
  const TensorView &a = call.in[0], &y = call.out[0];
  int given = 0;
  while (given < call.n_in && !call.in[given].absent()) given++;
  ACCELNN_CHECK(given == kind.operands, shape, "integer: %d operands expected, %d given", kind.operands, given);
  const DType t = a.dtype;
  ACCELNN_CHECK(!a.absent() && (t == DType::i8 || t == DType::u8 || t == DType::i32 || t == DType::i64 || (t == DType::boolean && kind.of_bool)), dtype,
                "integer: %s has no arithmetic of integers of this kind", describe(a).text);
  for (int i = 0; i < given; i++) {
    const TensorView& x = call.in[i];
    const DType expected = number == int64_t(IntegerKind::select) && i == 2 ? DType::boolean : t;
    ACCELNN_CHECK(!x.absent() && x.dtype == expected, dtype, "integer: operand %d is %s, expected %s", i, describe(x).text, name_of(expected));
    ACCELNN_CHECK(same_shape(x, y), shape, "integer: operand %d is %s for a result %s", i, describe(x).text, describe(y).text);
    for (int d = 0; d < x.rank; d++) ACCELNN_CHECK(x.stride[d] >= 0, shape, "integer: operand %d has a negative stride", i);
    ACCELNN_CHECK(!overlap(x, y), aliasing, "integer: the output shares memory with operand %d", i);
  }
  ACCELNN_CHECK(y.dtype == (kind.boolean ? DType::boolean : t) && y.contiguous(), dtype, "integer: the output is %s", describe(y).text);
  return {};
}

const Op op_integer = {"integer", integer_attrs, integer_attr::count_, 1, 3, 1, check, refuse_nothing, no_workspace};

}  // namespace accelnn
