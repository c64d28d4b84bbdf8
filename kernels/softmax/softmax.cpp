#include "softmax.h"
#include "log_softmax.h"
#include "log_softmax_grad.h"
#include "one_hot.h"
#include "softmax_axis.h"
#include "softmax_axis_grad.h"
#include "softmax_grad.h"

#define ACCELNN_OP softmax
#define ACCELNN_TABLE "softmax/softmax.inc"
#include "define_op.h"
#define ACCELNN_OP log_softmax
#define ACCELNN_TABLE "softmax/log_softmax.inc"
#include "define_op.h"
#define ACCELNN_OP softmax_grad
#define ACCELNN_TABLE "softmax/softmax_grad.inc"
#include "define_op.h"
#define ACCELNN_OP log_softmax_grad
#define ACCELNN_TABLE "softmax/log_softmax_grad.inc"
#include "define_op.h"
#define ACCELNN_OP softmax_axis
#define ACCELNN_TABLE "softmax/softmax_axis.inc"
#include "define_op.h"
#define ACCELNN_OP softmax_axis_grad
#define ACCELNN_TABLE "softmax/softmax_axis_grad.inc"
#include "define_op.h"
#define ACCELNN_OP one_hot
#define ACCELNN_TABLE "softmax/one_hot.inc"
#include "define_op.h"

namespace accelnn {

namespace {

Status check_operand(const char* op, const char* name, const TensorView& v, DType dtype) {
  ACCELNN_CHECK(!v.absent(), shape, "%s: %s is missing", op, name);
  ACCELNN_CHECK(v.dtype == dtype, dtype, "%s: %s is %s, expected %s", op, name, describe(v).text, name_of(dtype));
  ACCELNN_CHECK(v.contiguous(), shape, "%s: %s is not contiguous; copy it first", op, name);
  return {};
}
Status check_classes(const char* op, const TensorView& x) {
  ACCELNN_CHECK(x.rank >= 1 && x.shape[x.rank - 1] >= 1, shape, "%s: input is %s, expected at least one element along the last axis", op,
                describe(x).text);
  return {};
}
Status check_same(const char* op, const char* a_name, const TensorView& a, const char* b_name, const TensorView& b) {
  ACCELNN_CHECK(same_shape(a, b), shape, "%s: %s is %s, %s is %s; expected the same shape", op, a_name, describe(a).text, b_name, describe(b).text);
  return {};
}
Status check_apart(const char* op, const char* name, const TensorView& in, const TensorView& out, bool in_place) {
  ACCELNN_CHECK(!overlap(in, out) || (in_place && same_memory(in, out)), aliasing, "%s: the output overlaps %s%s", op, name,
                in_place ? " without being the same memory" : "");
  return {};
}

Status check_unary(const char* op, const Call& c) {
  ACCELNN_TRY(check_operand(op, "x", c.in[0], DType::f32));
  ACCELNN_TRY(check_operand(op, "y", c.out[0], DType::f32));
  ACCELNN_TRY(check_classes(op, c.in[0]));
  ACCELNN_TRY(check_same(op, "x", c.in[0], "y", c.out[0]));
  return check_apart(op, "x", c.in[0], c.out[0], true);
}
Status check_softmax(const Call& c) { return check_unary("softmax", c); }
Status check_log_softmax(const Call& c) { return check_unary("log_softmax", c); }

Status check_grad(const char* op, const Call& c) {
  ACCELNN_TRY(check_operand(op, "dy", c.in[0], DType::f32));
  ACCELNN_TRY(check_operand(op, "y", c.in[1], DType::f32));
  ACCELNN_TRY(check_operand(op, "dx", c.out[0], DType::f32));
  ACCELNN_TRY(check_same(op, "dy", c.in[0], "y", c.in[1]));
  ACCELNN_TRY(check_same(op, "dy", c.in[0], "dx", c.out[0]));
  ACCELNN_TRY(check_apart(op, "dy", c.in[0], c.out[0], true));
  return check_apart(op, "y", c.in[1], c.out[0], true);
}

Status check_softmax_grad(const Call& c) {
  ACCELNN_TRY(check_grad("softmax_grad", c));
  return check_classes("softmax_grad", c.in[0]);
}
Status check_log_softmax_grad(const Call& c) {
  ACCELNN_TRY(check_grad("log_softmax_grad", c));
  return check_classes("log_softmax_grad", c.in[0]);
}

Status check_axis(const char* op, const Call& c, int64_t axis, int64_t log) {
  const TensorView& x = c.in[0];
  ACCELNN_CHECK(axis >= 0 && axis < x.rank, attribute, "%s: axis %lld of %s", op, static_cast<long long>(axis), describe(x).text);
  ACCELNN_CHECK(log == 0 || log == 1, attribute, "%s: log is 0 or 1, got %lld", op, static_cast<long long>(log));
  ACCELNN_CHECK(x.shape[axis] >= 1, shape, "%s: %s has no elements along axis %lld", op, describe(x).text, static_cast<long long>(axis));
  return {};
}
Status check_softmax_axis(const Call& c) {
  const char* op = "softmax_axis";
  ACCELNN_TRY(check_operand(op, "x", c.in[0], DType::f32));
  ACCELNN_TRY(check_operand(op, "y", c.out[0], DType::f32));
  ACCELNN_TRY(check_axis(op, c, c.integer(softmax_axis_attr::axis), c.integer(softmax_axis_attr::log)));
  ACCELNN_TRY(check_same(op, "x", c.in[0], "y", c.out[0]));
  return check_apart(op, "x", c.in[0], c.out[0], true);
}
Status check_softmax_axis_grad(const Call& c) {
  ACCELNN_TRY(check_grad("softmax_axis_grad", c));
  return check_axis("softmax_axis_grad", c, c.integer(softmax_axis_grad_attr::axis), c.integer(softmax_axis_grad_attr::log));
}

Status check_one_hot(const Call& c) {
  const char* op = "one_hot";
  const TensorView &labels = c.in[0], &y = c.out[0];
  const int64_t classes = c.integer(one_hot_attr::classes);
  ACCELNN_TRY(check_operand(op, "labels", labels, DType::i64));
  ACCELNN_TRY(check_operand(op, "y", y, DType::f32));
  ACCELNN_CHECK(classes >= 1, attribute, "%s: classes is %lld, expected at least 1", op, static_cast<long long>(classes));
  bool fits = y.rank == labels.rank + 1 && y.shape[labels.rank] == classes;
  for (int i = 0; fits && i < labels.rank; i++) fits = y.shape[i] == labels.shape[i];
  ACCELNN_CHECK(fits, shape, "%s: y is %s, expected the shape of labels %s and then %lld", op, describe(y).text, describe(labels).text,
                static_cast<long long>(classes));
  return check_apart(op, "labels", labels, y, false);
}

const char* refuse_short(const Row& row, const Call& c) {
  return row.tile_m == 2 && c.in[0].shape[c.in[0].rank - 1] <= softmax_short ? "made for longer rows" : nullptr;
}
size_t workspace_softmax(const Call& c, const Row& row) {
  const int64_t classes = c.in[0].shape[c.in[0].rank - 1];
  return row.tile_m == 2 && c.in[0].count() >= softmax_large_floats ? size_t(softmax_large_parts * softmax_room(classes)) * sizeof(float) : 0;
}

}  // namespace

const Op op_softmax = {"softmax", softmax_attrs, softmax_attr::count_, 1, 1, 1, check_softmax, refuse_short, workspace_softmax};
const Op op_log_softmax_grad = {"log_softmax_grad", log_softmax_grad_attrs, log_softmax_grad_attr::count_, 2, 2, 1, check_log_softmax_grad, refuse_nothing,
                                no_workspace};
const Op op_softmax_axis = {"softmax_axis", softmax_axis_attrs, softmax_axis_attr::count_, 1, 1, 1, check_softmax_axis, refuse_nothing, no_workspace};
const Op op_softmax_axis_grad = {"softmax_axis_grad", softmax_axis_grad_attrs, softmax_axis_grad_attr::count_, 2, 2, 1, check_softmax_axis_grad,
                                 refuse_nothing, no_workspace};
const Op op_log_softmax = {"log_softmax", log_softmax_attrs, log_softmax_attr::count_, 1, 1, 1, check_log_softmax, refuse_nothing, no_workspace};
const Op op_softmax_grad = {"softmax_grad", softmax_grad_attrs, softmax_grad_attr::count_, 2, 2, 1, check_softmax_grad, refuse_nothing, no_workspace};
const Op op_one_hot = {"one_hot", one_hot_attrs, one_hot_attr::count_, 1, 1, 1, check_one_hot, refuse_nothing, no_workspace};

}  // namespace accelnn
