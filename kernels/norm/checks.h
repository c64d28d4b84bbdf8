// What every op of the family refuses.
#pragma once
#include "op.h"

namespace accelnn {
namespace norm_checks {

inline Status operand(const char* op, const char* name, const TensorView& v) {
  ACCELNN_CHECK(!v.absent(), shape, "%s: %s is missing", op, name);
  ACCELNN_CHECK(v.dtype == DType::f32, dtype, "%s: %s is %s %s, expected f32", op, name, name_of(v.dtype), describe(v).text);
  ACCELNN_CHECK(v.contiguous(), shape, "%s: %s is not contiguous; copy it first", op, name);
  return {};
}
// `v` has dims [from, to) of x, and no others.
inline Status shaped(const char* op, const char* name, const TensorView& v, const TensorView& x, int64_t from, int64_t to) {
  ACCELNN_TRY(operand(op, name, v));
  bool fits = v.rank == to - from;
  for (int64_t i = from; fits && i < to; i++) fits = v.shape[i - from] == x.shape[i];
  ACCELNN_CHECK(fits, shape, "%s: %s is %s, expected dims %d to %d of %s", op, name, describe(v).text, int(from), int(to) - 1, describe(x).text);
  return {};
}
inline Status apart(const char* op, const Call& c, int in_place) {
  for (int o = 0; o < c.n_out; o++)
    for (int i = 0; !c.out[o].absent() && i < c.n_in; i++)
      ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], c.out[o]) || (o == 0 && i < in_place && same_memory(c.in[i], c.out[0])), aliasing,
                    "%s: output %d overlaps input %d", op, o, i);
  return {};
}

}  // namespace norm_checks
}  // namespace accelnn
