// Slow truth: element by element through the strides, in 64 bits, brought back to the dtype's.
#include "integer/functions.h"

namespace accelnn {

static int64_t at(const TensorView& x, int64_t e, const TensorView& y) {
  int64_t offset = 0;
  for (int d = y.rank - 1; d >= 0; d--) offset += e % y.shape[d] * x.stride[d], e /= y.shape[d];
  return offset;
}

template <class T> static Status run(const Call& call) {
  const TensorView& y = call.out[0];
  const IntegerKind kind = IntegerKind(call.integer(integer_attr::kind));
  for (int64_t e = 0; e < y.count(); e++) {
    const T a = call.in[0].as<T>()[at(call.in[0], e, y)], b = operands(call) > 1 ? call.in[1].as<T>()[at(call.in[1], e, y)] : a;
    switch (kind) {
#define KIND(name, operands, boolean, of_bool)                               \
  case IntegerKind::name: {                                                  \
    if constexpr (IntegerKind::name == IntegerKind::select)                  \
      y.as<T>()[e] = call.in[2].as<uint8_t>()[at(call.in[2], e, y)] ? a : b; \
    else if constexpr (!of_bool && T(2) == T(1))                             \
      break;                                                                 \
    else if constexpr (boolean)                                              \
      y.as<uint8_t>()[e] = integer_function::of<IntegerKind::name, T>(a, b); \
    else                                                                     \
      y.as<T>()[e] = T(integer_function::of<IntegerKind::name, T>(a, b));    \
    break;                                                                   \
  }
#include "integer/kinds.inc"
#undef KIND
      case IntegerKind::count_: break;
    }
  }
  return {};
}

Status integer_i8_ref(const Call& call);
Status integer_i8_ref(const Call& call) { return run<int8_t>(call); }
Status integer_u8_ref(const Call& call);
Status integer_u8_ref(const Call& call) { return run<uint8_t>(call); }
Status integer_i32_ref(const Call& call);
Status integer_i32_ref(const Call& call) { return run<int32_t>(call); }
Status integer_i64_ref(const Call& call);
Status integer_i64_ref(const Call& call) { return run<int64_t>(call); }
Status integer_bool_ref(const Call& call);
Status integer_bool_ref(const Call& call) { return run<bool>(call); }

}  // namespace accelnn
