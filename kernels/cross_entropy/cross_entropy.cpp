#include "cross_entropy/places.h"

#define ACCELNN_OP cross_entropy
#define ACCELNN_TABLE "cross_entropy/cross_entropy.inc"
#include "define_op.h"
#define ACCELNN_OP cross_entropy_grad
#define ACCELNN_TABLE "cross_entropy/cross_entropy_grad.inc"
#include "define_op.h"

namespace accelnn {

namespace {

Status operand(const char* op, const char* name, const TensorView& v, DType dtype) {
  ACCELNN_CHECK(!v.absent(), shape, "%s: %s is missing", op, name);
  ACCELNN_CHECK(v.dtype == dtype, dtype, "%s: %s is %s, expected %s", op, name, name_of(v.dtype), name_of(dtype));
  ACCELNN_CHECK(v.contiguous(), shape, "%s: %s is not contiguous; copy it first", op, name);
  return {};
}
Status scalar(const char* op, const char* name, const TensorView& v) {
  ACCELNN_TRY(operand(op, name, v, DType::f32));
  ACCELNN_CHECK(v.rank == 0, shape, "%s: %s is %s, expected a single number", op, name, describe(v).text);
  return {};
}
// One number a place.
Status per_place(const char* op, const char* name, const TensorView& v, const TensorView& logits, DType dtype) {
  ACCELNN_TRY(operand(op, name, v, dtype));
  bool fits = v.rank == logits.rank - 1 && v.shape[0] == logits.shape[0];
  for (int i = 2; fits && i < logits.rank; i++) fits = v.shape[i - 1] == logits.shape[i];
  ACCELNN_CHECK(fits, shape, "%s: %s is %s, expected one for each place of %s, without the classes", op, name, describe(v).text, describe(logits).text);
  return {};
}
Status common(const char* op, const Call& c, const TensorView& weight) {
  using namespace cross_entropy_attr;       // the gradient has the same
  const TensorView& x = c.in[0];
  ACCELNN_TRY(operand(op, "logits", x, DType::f32));
  ACCELNN_CHECK(x.rank >= 2 && x.shape[1] >= 1, shape, "%s: logits are %s, expected [N, C, ...] with at least one class", op, describe(x).text);
  ACCELNN_TRY(per_place(op, "labels", c.in[1], x, DType::i64));
  ACCELNN_CHECK(c.integer(reduction) >= 0 && c.integer(reduction) <= 2, attribute, "%s: reduction is %lld, expected 0, 1 or 2", op,
                static_cast<long long>(c.integer(reduction)));
  ACCELNN_CHECK(c.real(label_smoothing) >= 0 && c.real(label_smoothing) <= 1, attribute, "%s: label_smoothing is %g, expected 0 to 1", op,
                c.real(label_smoothing));
  if (weight.absent()) return {};
  ACCELNN_TRY(operand(op, "weight", weight, DType::f32));
  ACCELNN_CHECK(weight.rank == 1 && weight.shape[0] == x.shape[1], shape, "%s: weight is %s for %lld classes", op, describe(weight).text,
                static_cast<long long>(x.shape[1]));
  return {};
}
Status apart(const char* op, const Call& c, bool in_place) {
  for (int o = 0; o < c.n_out; o++)
    for (int i = 0; !c.out[o].absent() && i < c.n_in; i++)
      ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], c.out[o]) || (in_place && i + o == 0 && same_memory(c.in[0], c.out[0])), aliasing,
                    "%s: output %d overlaps input %d", op, o, i);
  return {};
}

Status check_cross_entropy(const Call& c) {
  const char* op = "cross_entropy";
  ACCELNN_TRY(common(op, c, c.in[2]));
  if (c.integer(cross_entropy_attr::reduction) == 0) ACCELNN_TRY(per_place(op, "loss", c.out[0], c.in[0], DType::f32));
  else ACCELNN_TRY(scalar(op, "loss", c.out[0]));
  ACCELNN_TRY(scalar(op, "total", c.out[1]));
  for (int i = 2; i < 4; i++) {
    if (c.integer(cross_entropy_attr::log_input)) ACCELNN_CHECK(c.out[i].absent(), shape, "%s: log probabilities have no max and sum", op);
    else ACCELNN_TRY(per_place(op, i == 2 ? "max" : "sum", c.out[i], c.in[0], DType::f32));
  }
  return apart(op, c, false);
}
Status check_cross_entropy_grad(const Call& c) {
  const char* op = "cross_entropy_grad";
  const TensorView &x = c.in[0], &dx = c.out[0];
  ACCELNN_TRY(common(op, c, c.in[6]));
  if (c.integer(cross_entropy_grad_attr::reduction) == 0) ACCELNN_TRY(per_place(op, "dloss", c.in[2], x, DType::f32));
  else ACCELNN_TRY(scalar(op, "dloss", c.in[2]));
  ACCELNN_TRY(scalar(op, "total", c.in[3]));
  for (int i = 4; i < 6 && !c.integer(cross_entropy_grad_attr::log_input); i++) ACCELNN_TRY(per_place(op, i == 4 ? "max" : "sum", c.in[i], x, DType::f32));
  ACCELNN_TRY(operand(op, "dlogits", dx, DType::f32));
  ACCELNN_CHECK(same_shape(x, dx), shape, "%s: dlogits are %s for logits %s", op, describe(dx).text, describe(x).text);
  return apart(op, c, true);
}

size_t workspace_cross_entropy(const Call&, const Row& row) { return row.tile_n == 1 ? 0 : places::most_parts * 2 * sizeof(double); }

}  // namespace

const Op op_cross_entropy = {"cross_entropy", cross_entropy_attrs, cross_entropy_attr::count_, 2, 3, 4, check_cross_entropy, refuse_nothing,
                             workspace_cross_entropy};
const Op op_cross_entropy_grad = {"cross_entropy_grad", cross_entropy_grad_attrs, cross_entropy_grad_attr::count_, 4, 7, 1, check_cross_entropy_grad,
                                  refuse_nothing, no_workspace};

}  // namespace accelnn
