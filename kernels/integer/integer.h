// integer(a [, b [, c]]) -> y: elementwise arithmetic that is exact. Floats have `pointwise`.
//
// kind: a number of kinds.inc. Sums, products, powers, negation are modulo 2^bits. div rounds towards zero; mod has the sign of the divisor, fmod that
// of the dividend; a divisor of 0 gives 0 (x / 0 has no answer, and a tensor's other elements have). A power with a negative exponent is the integer
// part: 0, but 1 and -1 for the bases 1 and -1. Shifts by the number of bits or more give 0 (signed right shifts keep the sign); negative ones too.
// select(a, b, c bool) = c ? a : b. Comparisons give bool.
// dtype: i8, u8, i32, i64, all operands alike (but select's condition); bool for the kinds that kinds.inc marks.
// All inputs have y's shape, any strides >= 0 (0: broadcast). y: contiguous, no memory shared with an input. Empty is fine.
#pragma once
#include "op.h"

#define ACCELNN_OP integer
#define ACCELNN_TABLE "integer/integer.inc"
#include "attr_slots.h"

namespace accelnn {

enum class IntegerKind : int64_t {
#define KIND(name, operands, boolean, of_bool) name,
#include "integer/kinds.inc"
#undef KIND
  count_
};

ACCELNN_INLINE int operands(const Call& call) { return call.n_in > 2 && !call.in[2].absent() ? 3 : call.n_in > 1 && !call.in[1].absent() ? 2
                                                                                                                                         : 1; }

}  // namespace accelnn
