#include "norm/group_norm.h"
#include "norm/channels.h"
#include "norm/checks.h"
#include "norm/group_norm_grad.h"
#include "norm/layer_norm_grad.h"

#define ACCELNN_OP group_norm
#define ACCELNN_TABLE "norm/group_norm.inc"
#include "define_op.h"
#define ACCELNN_OP group_norm_grad
#define ACCELNN_TABLE "norm/group_norm_grad.inc"
#include "define_op.h"

namespace accelnn {

using namespace norm_checks;
using norm_shapes::Channels;
using norm_shapes::channels_of;

static Status check_statistics(const char* op, const char* name, const TensorView& v, const TensorView& x, int64_t groups) {
  ACCELNN_TRY(operand(op, name, v));
  ACCELNN_CHECK(v.rank == 2 && v.shape[0] == x.shape[0] && v.shape[1] == groups, shape, "%s: %s is %s, expected [%lld, %lld]", op, name, describe(v).text,
                static_cast<long long>(x.shape[0]), static_cast<long long>(groups));
  return {};
}
static Status check_groups(const char* op, const TensorView& x, int64_t groups) {
  ACCELNN_TRY(operand(op, "x", x));
  ACCELNN_CHECK(x.rank >= 2, shape, "%s: x is %s, expected [N, C, ...]", op, describe(x).text);
  ACCELNN_CHECK(groups >= 1 && x.shape[1] % groups == 0, attribute, "%s: %lld groups of the channels of %s", op, static_cast<long long>(groups),
                describe(x).text);
  ACCELNN_CHECK(channels_of(x).width() >= 1, shape, "%s: groups of %s have no elements", op, describe(x).text);
  return {};
}

static Status check_group_norm(const Call& c) {
  const char* op = "group_norm";
  const TensorView& x = c.in[0];
  const int64_t groups = c.integer(group_norm_attr::groups);
  ACCELNN_TRY(check_groups(op, x, groups));
  ACCELNN_CHECK(c.real(group_norm_attr::eps) >= 0, attribute, "%s: eps is %g, expected at least 0", op, c.real(group_norm_attr::eps));
  if (!c.in[1].absent()) ACCELNN_TRY(shaped(op, "weight", c.in[1], x, 1, 2));
  if (!c.in[2].absent()) ACCELNN_TRY(shaped(op, "bias", c.in[2], x, 1, 2));
  ACCELNN_TRY(shaped(op, "y", c.out[0], x, 0, x.rank));
  ACCELNN_TRY(check_statistics(op, "rstd", c.out[1], x, groups));
  ACCELNN_TRY(check_statistics(op, "mean", c.out[2], x, groups));
  return apart(op, c, 1);
}

static Status check_group_norm_grad(const Call& c) {
  const char* op = "group_norm_grad";
  const TensorView& x = c.in[1];
  const int64_t groups = c.integer(group_norm_grad_attr::groups), params = c.integer(group_norm_grad_attr::params);
  ACCELNN_TRY(check_groups(op, x, groups));
  ACCELNN_CHECK(params >= 0 && params <= 2, attribute, "%s: params is %lld, expected 0, 1 or 2", op, static_cast<long long>(params));
  ACCELNN_TRY(shaped(op, "dy", c.in[0], x, 0, x.rank));
  ACCELNN_TRY(check_statistics(op, "rstd", c.in[2], x, groups));
  ACCELNN_TRY(check_statistics(op, "mean", c.in[3], x, groups));
  if (!c.in[4].absent()) ACCELNN_TRY(shaped(op, "weight", c.in[4], x, 1, 2));
  ACCELNN_TRY(shaped(op, "dx", c.out[0], x, 0, x.rank));
  for (int64_t k = 1; k <= 2; k++) {
    if (k <= params) ACCELNN_TRY(shaped(op, k == 1 ? "dweight" : "dbias", c.out[k], x, 1, 2));
    else ACCELNN_CHECK(c.out[k].absent(), shape, "%s: params is %d, and there is an output %d", op, int(params), int(k));
  }
  return apart(op, c, 2);
}

// Weight and bias for every place, where channels have few.
static size_t workspace_group_norm(const Call& c, const Row& row) {
  const Channels d = channels_of(c.in[0]);
  return row.tile_n == 1 || d.runs() || d.s == 1 ? 0 : size_t(2 * d.width()) * sizeof(float);
}
// Two sums a channel of each sample; or the weights of all places, their sums and the parts of them.
static size_t workspace_group_norm_grad(const Call& c, const Row& row) {
  const Channels d = channels_of(c.in[1]);
  if (row.tile_n == 1) return 0;
  if (d.runs()) return size_t(d.n * d.c) * 2 * sizeof(double);
  return size_t(2 + layer_norm_grad_parts(d.n) * c.integer(group_norm_grad_attr::params)) * size_t(d.width()) * sizeof(float);
}

const Op op_group_norm = {"group_norm", group_norm_attrs, group_norm_attr::count_, 1, 3, 3, check_group_norm, refuse_nothing, workspace_group_norm};
const Op op_group_norm_grad = {"group_norm_grad", group_norm_grad_attrs, group_norm_grad_attr::count_, 4, 5, 3, check_group_norm_grad, refuse_nothing,
                               workspace_group_norm_grad};

}  // namespace accelnn
