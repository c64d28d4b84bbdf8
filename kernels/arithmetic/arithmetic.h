// arithmetic(a [, b [, c]]) -> y: elementwise, in the operands' own type: integers, bool, f64. Floats of up to 32 bits have `pointwise`.
//
// kind: a number of kinds.inc. Sums, products, powers, negation of integers are modulo 2^bits. Their div rounds towards zero; a divisor of 0 gives 0
// (x / 0 has no answer, and a tensor's other elements have). A power with a negative exponent is the integer part: 0, but 1 and -1 for the bases 1 and
// -1. Shifts by the number of bits or more give 0 (signed right shifts keep the sign); negative ones too.
// mod has the sign of the divisor, fmod that of the dividend. select(a, b, c bool) = c ? a : b. Comparisons give bool.
// f64: as IEEE 754 has it, NaN propagates; round: halves to even. exp and log: 4 ulp, the same bits on every CPU (a device may
// fuse products into sums).
// dtype: all operands alike (but select's condition), of those that kinds.inc names.
// All inputs have y's shape, any strides >= 0 (0: broadcast). y: contiguous, no memory shared with an input. Empty is fine.
#pragma once
#include "op.h"

#define ACCELNN_OP arithmetic
#define ACCELNN_TABLE "arithmetic/arithmetic.inc"
#include "attr_slots.h"

namespace accelnn {

enum class ArithmeticKind : int64_t {
#define KIND(name, operands, boolean, dtypes) name,
#include "arithmetic/kinds.inc"
#undef KIND
  count_
};
namespace arithmetic_of {
constexpr int integers = 1, bools = 2, reals = 4;
template <class T> constexpr int mine = T(0.5) != T(0) && T(2) != T(1) ? reals : T(2) == T(1) ? bools
                                                                                              : integers;
}  // namespace arithmetic_of

ACCELNN_INLINE int operands(const Call& call) { return call.n_in > 2 && !call.in[2].absent() ? 3 : call.n_in > 1 && !call.in[1].absent() ? 2
                                                                                                                                         : 1; }

}  // namespace accelnn
