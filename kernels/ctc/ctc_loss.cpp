#include "ctc/sequences.h"

#define ACCELNN_OP ctc_loss
#define ACCELNN_TABLE "ctc/ctc_loss.inc"
#include "define_op.h"
#define ACCELNN_OP ctc_loss_grad
#define ACCELNN_TABLE "ctc/ctc_loss_grad.inc"
#include "define_op.h"

namespace accelnn {

namespace {

Status operand(const char* op, const char* name, const TensorView& v, DType dtype, int rank) {
  ACCELNN_CHECK(!v.absent(), shape, "%s: %s is missing", op, name);
  ACCELNN_CHECK(v.dtype == dtype, dtype, "%s: %s is %s, expected %s", op, name, name_of(v.dtype), name_of(dtype));
  ACCELNN_CHECK(v.rank == rank && v.contiguous(), shape, "%s: %s is %s, expected %d dims, contiguous", op, name, describe(v).text, rank);
  return {};
}
Status common(const char* op, const Call& c, int64_t blank) {
  const TensorView& x = c.in[0];
  ACCELNN_TRY(operand(op, "log_probs", x, DType::f32, 3));
  ACCELNN_TRY(operand(op, "targets", c.in[1], DType::i64, 2));
  ACCELNN_CHECK(blank >= 0 && blank < x.shape[2], attribute, "%s: blank is %lld of %lld symbols", op, static_cast<long long>(blank),
                static_cast<long long>(x.shape[2]));
  for (int i = 2; i < c.n_in; i++) ACCELNN_TRY(operand(op, i == 2 ? "input_lengths" : i == 3 ? "target_lengths"
                                                                                             : "dloss",
                                                       c.in[i], i == 4 ? DType::f32 : DType::i64, 1));
  for (int i = 1; i < c.n_in; i++)
    ACCELNN_CHECK(c.in[i].shape[0] == x.shape[1], shape, "%s: operand %d is %s for %lld sequences", op, i, describe(c.in[i]).text,
                  static_cast<long long>(x.shape[1]));
  for (int i = 0; i < c.n_in; i++) ACCELNN_CHECK(!overlap(c.in[i], c.out[0]), aliasing, "%s: the output overlaps operand %d", op, i);
  return {};
}
Status check_ctc_loss(const Call& c) {
  ACCELNN_TRY(operand("ctc_loss", "loss", c.out[0], DType::f32, 1));
  ACCELNN_TRY(common("ctc_loss", c, c.integer(ctc_loss_attr::blank)));
  ACCELNN_CHECK(c.out[0].shape[0] == c.in[0].shape[1], shape, "ctc_loss: the loss is %s", describe(c.out[0]).text);
  return {};
}
Status check_ctc_loss_grad(const Call& c) {
  ACCELNN_TRY(operand("ctc_loss_grad", "dlog_probs", c.out[0], DType::f32, 3));
  ACCELNN_TRY(common("ctc_loss_grad", c, c.integer(ctc_loss_grad_attr::blank)));
  ACCELNN_CHECK(same_shape(c.in[0], c.out[0]), shape, "ctc_loss_grad: dlog_probs are %s for %s", describe(c.out[0]).text, describe(c.in[0]).text);
  return {};
}
size_t room(const Call& c, const Row& row, int64_t rows) {
  if (row.tile_n == 1) return 0;
  return size_t(ctc_shapes::parts_of(c.in[0].shape[1]) * rows * ctc_shapes::pitch(c.in[1].shape[1])) * sizeof(float);
}
size_t workspace_ctc_loss(const Call& c, const Row& row) { return room(c, row, 4); }
size_t workspace_ctc_loss_grad(const Call& c, const Row& row) { return room(c, row, 4 + c.in[0].shape[0]); }

}  // namespace

const Op op_ctc_loss = {"ctc_loss", ctc_loss_attrs, ctc_loss_attr::count_, 4, 4, 1, check_ctc_loss, refuse_nothing, workspace_ctc_loss};
const Op op_ctc_loss_grad = {"ctc_loss_grad", ctc_loss_grad_attrs, ctc_loss_grad_attr::count_, 5, 5, 1, check_ctc_loss_grad, refuse_nothing,
                             workspace_ctc_loss_grad};

}  // namespace accelnn
