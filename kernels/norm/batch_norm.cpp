#include "norm/batch_norm.h"
#include "norm/batch_norm_grad.h"
#include "norm/batch_norm_infer.h"
#include "norm/channels.h"
#include "norm/checks.h"

#define ACCELNN_OP batch_norm
#define ACCELNN_TABLE "norm/batch_norm.inc"
#include "define_op.h"
#define ACCELNN_OP batch_norm_grad
#define ACCELNN_TABLE "norm/batch_norm_grad.inc"
#include "define_op.h"
#define ACCELNN_OP batch_norm_infer
#define ACCELNN_TABLE "norm/batch_norm_infer.inc"
#include "define_op.h"

namespace accelnn {

using namespace norm_checks;
using norm_shapes::Channels;
using norm_shapes::channels_of;

static Status check_x(const char* op, const TensorView& x) {
  ACCELNN_TRY(operand(op, "x", x));
  ACCELNN_CHECK(x.rank >= 2, shape, "%s: x is %s, expected [N, C, ...]", op, describe(x).text);
  return {};
}
// Operands [first, last) are one number a channel, or left out.
static Status check_vectors(const char* op, const Call& c, int first, int last, const TensorView& x, const char* const* names) {
  for (int i = first; i < last; i++)
    if (!c.in[i].absent()) ACCELNN_TRY(shaped(op, names[i], c.in[i], x, 1, 2));
  return {};
}

static Status check_batch_norm(const Call& c) {
  static const char* const names[] = {"x", "weight", "bias"};
  static const char* const results[] = {"y", "rstd", "mean", "var"};
  const char* op = "batch_norm";
  const TensorView& x = c.in[0];
  ACCELNN_TRY(check_x(op, x));
  const Channels d = channels_of(x);
  ACCELNN_CHECK(d.n * d.s >= 2, shape, "%s: x is %s; statistics of a channel need more elements", op, describe(x).text);
  ACCELNN_CHECK(c.real(batch_norm_attr::eps) >= 0, attribute, "%s: eps is %g, expected at least 0", op, c.real(batch_norm_attr::eps));
  ACCELNN_TRY(check_vectors(op, c, 1, 3, x, names));
  ACCELNN_TRY(shaped(op, "y", c.out[0], x, 0, x.rank));
  for (int i = 1; i < 4; i++) ACCELNN_TRY(shaped(op, results[i], c.out[i], x, 1, 2));
  return apart(op, c, 1);
}

static Status check_batch_norm_grad(const Call& c) {
  static const char* const names[] = {"dy", "x", "rstd", "mean", "weight"};
  const char* op = "batch_norm_grad";
  const TensorView& x = c.in[1];
  ACCELNN_TRY(check_x(op, x));
  ACCELNN_CHECK(channels_of(x).n * channels_of(x).s >= 1, shape, "%s: x is %s", op, describe(x).text);
  ACCELNN_TRY(shaped(op, "dy", c.in[0], x, 0, x.rank));
  ACCELNN_CHECK(!c.in[2].absent() && !c.in[3].absent(), shape, "%s: rstd or mean is missing", op);
  ACCELNN_TRY(check_vectors(op, c, 2, 5, x, names));
  ACCELNN_TRY(shaped(op, "dx", c.out[0], x, 0, x.rank));
  ACCELNN_TRY(shaped(op, "dweight", c.out[1], x, 1, 2));
  ACCELNN_TRY(shaped(op, "dbias", c.out[2], x, 1, 2));
  return apart(op, c, 2);
}

static Status check_batch_norm_infer(const Call& c) {
  static const char* const names[] = {"x", "mean", "var", "weight", "bias"};
  const char* op = "batch_norm_infer";
  const TensorView& x = c.in[0];
  ACCELNN_TRY(check_x(op, x));
  ACCELNN_CHECK(!c.in[1].absent() && !c.in[2].absent(), shape, "%s: mean or var is missing", op);
  ACCELNN_TRY(check_vectors(op, c, 1, 5, x, names));
  ACCELNN_TRY(shaped(op, "y", c.out[0], x, 0, x.rank));
  return apart(op, c, 1);
}

// Statistics of each part of each channel and a scale a channel; or of each part of each column, and mean, scale and shift of each column.
static size_t workspace_batch_norm(const Call& c, const Row& row) {
  const Channels d = channels_of(c.in[0]);
  if (row.tile_n == 1) return 0;
  if (d.runs()) return size_t(d.run_parts() * d.c) * 3 * sizeof(double) + size_t(d.c) * sizeof(float);
  return size_t(d.column_parts() * d.width()) * 2 * sizeof(double) + size_t(3 * d.width()) * sizeof(float);
}
static size_t workspace_batch_norm_grad(const Call& c, const Row& row) {
  const Channels d = channels_of(c.in[1]);
  if (row.tile_n == 1) return 0;
  if (d.runs()) return size_t(d.run_parts() * d.c) * 2 * sizeof(double);
  return size_t(d.column_parts() * d.width()) * 2 * sizeof(double) + size_t(5 * d.width()) * sizeof(float);
}
static size_t workspace_batch_norm_infer(const Call& c, const Row& row) {
  const Channels d = channels_of(c.in[0]);
  if (row.tile_n == 1) return 0;
  return size_t(d.runs() ? d.c : 3 * d.width()) * sizeof(float);
}

const Op op_batch_norm = {"batch_norm", batch_norm_attrs, batch_norm_attr::count_, 1, 3, 4, check_batch_norm, refuse_nothing, workspace_batch_norm};
const Op op_batch_norm_grad = {"batch_norm_grad", batch_norm_grad_attrs, batch_norm_grad_attr::count_, 4, 5, 3, check_batch_norm_grad, refuse_nothing,
                               workspace_batch_norm_grad};
const Op op_batch_norm_infer = {"batch_norm_infer", batch_norm_infer_attrs, batch_norm_infer_attr::count_, 3, 5, 1, check_batch_norm_infer, refuse_nothing,
                                workspace_batch_norm_infer};

}  // namespace accelnn
