#include "attention/rotary.h"

#define ACCELNN_OP rotary
#define ACCELNN_TABLE "attention/rotary.inc"
#include "define_op.h"

namespace accelnn {

RotaryProblem rotary_problem(const Call& c) {
  const TensorView &x = c.in[0], &cos = c.in[1], &sin = c.in[2];
  return {x.shape[0],
          x.shape[1],
          x.shape[2],
          x.shape[3],
          cos.shape[2],
          cos.shape[1],
          cos.shape[0] == 1 ? 0 : cos.stride[0],
          sin.shape[0] == 1 ? 0 : sin.stride[0],
          c.in[3].absent() ? nullptr : c.in[3].as<int64_t>(),
          c.in[3].stride[0],
          c.in[3].stride[1],
          c.integer(rotary_attr::interleaved) != 0,
          c.integer(rotary_attr::inverse) != 0};
}

Status check_positions(const RotaryProblem& p) {
  for (int64_t b = 0; p.positions && b < p.batch; b++)
    for (int64_t i = 0; i < p.length; i++)
      ACCELNN_CHECK(p.place(b, i) >= 0 && p.place(b, i) < p.places, bound, "rotary: position %lld of a table of %lld",
                    static_cast<long long>(p.place(b, i)), static_cast<long long>(p.places));
  return {};
}

static Status check(const Call& c) {
  const TensorView &x = c.in[0], &cos = c.in[1], &sin = c.in[2], &at = c.in[3], &y = c.out[0];
  ACCELNN_CHECK(x.dtype == DType::f32 && cos.dtype == DType::f32 && sin.dtype == DType::f32 && y.dtype == DType::f32, dtype,
                "rotary: x %s, cos %s, sin %s: f32 expected", describe(x).text, describe(cos).text, describe(sin).text);
  ACCELNN_CHECK(x.rank == 4 && cos.rank == 3 && same_shape(cos, sin) && (cos.shape[0] == 1 || cos.shape[0] == x.shape[0]) &&
                    2 * cos.shape[2] <= x.shape[3] && cos.shape[2] < int64_t(1) << 40,
                shape, "rotary: x %s, cos %s, sin %s: [B, H, L, E] and twice [1 or B, P, R] with 2 R <= E expected", describe(x).text, describe(cos).text,
                describe(sin).text);
  if (at.absent()) {
    ACCELNN_CHECK(cos.shape[1] == x.shape[2], shape, "rotary: tables of %lld places for %lld rows without positions",
                  static_cast<long long>(cos.shape[1]), static_cast<long long>(x.shape[2]));
  } else {
    ACCELNN_CHECK(at.dtype == DType::i64 && at.rank == 2 && at.shape[0] == x.shape[0] && at.shape[1] == x.shape[2], shape,
                  "rotary: positions are %s for x %s; i64[B, L] expected", describe(at).text, describe(x).text);
  }
  ACCELNN_CHECK(same_shape(x, y) && y.contiguous(), shape, "rotary: y is %s for x %s", describe(y).text, describe(x).text);
  for (int i = 0; i < c.n_in; i++) ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "rotary: y overlaps input %d", i);
  return {};
}

const Op op_rotary = {"rotary", rotary_attrs, rotary_attr::count_, 3, 4, 1, check, refuse_nothing, no_workspace};

}  // namespace accelnn
