#include "norm/layer_norm.h"
#include "norm/checks.h"
#include "norm/layer_norm_grad.h"

#define ACCELNN_OP layer_norm
#define ACCELNN_TABLE "norm/layer_norm.inc"
#include "define_op.h"
#define ACCELNN_OP layer_norm_grad
#define ACCELNN_TABLE "norm/layer_norm_grad.inc"
#include "define_op.h"

namespace accelnn {

using namespace norm_checks;

static Status check_dims(const char* op, const TensorView& x, int64_t dims) {
  ACCELNN_TRY(operand(op, "x", x));
  ACCELNN_CHECK(dims >= 1 && dims <= x.rank, attribute, "%s: the last %lld dims of %s", op, static_cast<long long>(dims), describe(x).text);
  int64_t n = 1;
  for (int64_t i = x.rank - dims; i < x.rank; i++) n *= x.shape[i];
  ACCELNN_CHECK(n >= 1, shape, "%s: rows of %s have no elements", op, describe(x).text);
  return {};
}

static Status check_layer_norm(const Call& c) {
  const char* op = "layer_norm";
  const TensorView& x = c.in[0];
  const int64_t dims = c.integer(layer_norm_attr::dims), rms = c.integer(layer_norm_attr::rms);
  ACCELNN_TRY(check_dims(op, x, dims));
  ACCELNN_CHECK(rms == 0 || rms == 1, attribute, "%s: rms is 0 or 1, got %lld", op, static_cast<long long>(rms));
  ACCELNN_CHECK(c.real(layer_norm_attr::eps) >= 0, attribute, "%s: eps is %g, expected at least 0", op, c.real(layer_norm_attr::eps));
  if (!c.in[1].absent()) ACCELNN_TRY(shaped(op, "weight", c.in[1], x, x.rank - dims, x.rank));
  if (!c.in[2].absent()) ACCELNN_TRY(shaped(op, "bias", c.in[2], x, x.rank - dims, x.rank));
  ACCELNN_TRY(shaped(op, "y", c.out[0], x, 0, x.rank));
  ACCELNN_TRY(shaped(op, "rstd", c.out[1], x, 0, x.rank - dims));
  if (rms) ACCELNN_CHECK(c.out[2].absent(), shape, "%s: with rms there is no mean", op);
  else ACCELNN_TRY(shaped(op, "mean", c.out[2], x, 0, x.rank - dims));
  return apart(op, c, 1);
}

static Status check_layer_norm_grad(const Call& c) {
  const char* op = "layer_norm_grad";
  const TensorView& x = c.in[1];
  const int64_t dims = c.integer(layer_norm_grad_attr::dims), rms = c.integer(layer_norm_grad_attr::rms), params = c.integer(layer_norm_grad_attr::params);
  ACCELNN_TRY(check_dims(op, x, dims));
  ACCELNN_CHECK(params >= 0 && params <= 2, attribute, "%s: params is %lld, expected 0, 1 or 2", op, static_cast<long long>(params));
  ACCELNN_TRY(shaped(op, "dy", c.in[0], x, 0, x.rank));
  ACCELNN_TRY(shaped(op, "rstd", c.in[2], x, 0, x.rank - dims));
  if (rms) ACCELNN_CHECK(c.in[3].absent(), shape, "%s: with rms there is no mean", op);
  else ACCELNN_TRY(shaped(op, "mean", c.in[3], x, 0, x.rank - dims));
  if (!c.in[4].absent()) ACCELNN_TRY(shaped(op, "weight", c.in[4], x, x.rank - dims, x.rank));
  ACCELNN_TRY(shaped(op, "dx", c.out[0], x, 0, x.rank));
  for (int64_t k = 1; k <= 2; k++) {
    if (k <= params) ACCELNN_TRY(shaped(op, k == 1 ? "dweight" : "dbias", c.out[k], x, x.rank - dims, x.rank));
    else ACCELNN_CHECK(c.out[k].absent(), shape, "%s: params is %d, and there is an output %d", op, int(params), int(k));
  }
  return apart(op, c, 2);
}

// Sums over rows, a copy for each part.
static size_t workspace_layer_norm_grad(const Call& c, const Row& row) {
  const int64_t dims = c.integer(layer_norm_grad_attr::dims), params = c.integer(layer_norm_grad_attr::params);
  if (row.tile_n == 1 || params == 0) return 0;
  int64_t n = 1;
  for (int64_t i = c.in[1].rank - dims; i < c.in[1].rank; i++) n *= c.in[1].shape[i];
  return size_t(layer_norm_grad_parts(c.in[1].count() / n)) * size_t(params * n) * sizeof(float);
}

const Op op_layer_norm = {"layer_norm", layer_norm_attrs, layer_norm_attr::count_, 1, 3, 3, check_layer_norm, refuse_nothing, no_workspace};
const Op op_layer_norm_grad = {"layer_norm_grad", layer_norm_grad_attrs, layer_norm_grad_attr::count_, 3, 5, 3, check_layer_norm_grad, refuse_nothing,
                               workspace_layer_norm_grad};

}  // namespace accelnn
