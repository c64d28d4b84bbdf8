// Slow truth: element by element through the strides, in 64 bits, brought back to the dtype's.
#include "arithmetic/functions.h"

namespace accelnn {

static int64_t at(const TensorView& x, int64_t e, const TensorView& y) {
  int64_t offset = 0;
  for (int d = y.rank - 1; d >= 0; d--) offset += e % y.shape[d] * x.stride[d], e /= y.shape[d];
  return offset;
}

template <class T> static Status run(const Call& call) {
  using namespace arithmetic_of;
  const TensorView& y = call.out[0];
  const ArithmeticKind kind = ArithmeticKind(call.integer(arithmetic_attr::kind));
  for (int64_t e = 0; e < y.count(); e++) {
    const T a = call.in[0].as<T>()[at(call.in[0], e, y)], b = operands(call) > 1 ? call.in[1].as<T>()[at(call.in[1], e, y)] : a;
    switch (kind) {
#define KIND(name, operands, boolean, dtypes)                                   \
  case ArithmeticKind::name: {                                                  \
    if constexpr (ArithmeticKind::name == ArithmeticKind::select)               \
      y.as<T>()[e] = call.in[2].as<uint8_t>()[at(call.in[2], e, y)] ? a : b;    \
    else if constexpr (!((dtypes) & arithmetic_of::mine<T>))                    \
      break;                                                                    \
    else if constexpr (boolean)                                                 \
      y.as<uint8_t>()[e] = arithmetic_function::of<ArithmeticKind::name>(a, b); \
    else                                                                        \
      y.as<T>()[e] = T(arithmetic_function::of<ArithmeticKind::name>(a, b));    \
    break;                                                                      \
  }
#include "arithmetic/kinds.inc"
#undef KIND
      case ArithmeticKind::count_: break;
    }
  }
  return {};
}

#define PUBLISH(dtype, type)                         \
  Status arithmetic_##dtype##_ref(const Call& call); \
  Status arithmetic_##dtype##_ref(const Call& call) { return run<type>(call); }
#define SELDOM(dtype, type, bits) PUBLISH(dtype, type)
PUBLISH(i8, int8_t)
PUBLISH(u8, uint8_t)
PUBLISH(i32, int32_t)
PUBLISH(i64, int64_t)
PUBLISH(bool, bool)
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
