#include "window.h"
#include "max_pool2d_gather.h"
#include "max_pool2d_grad.h"
#include "avg_pool2d.h"
#include "avg_pool2d_grad.h"

#define ACCELNN_OP max_pool2d
#define ACCELNN_TABLE "pool2d/max_pool2d.inc"
#include "define_op.h"
#define ACCELNN_OP max_pool2d_grad
#define ACCELNN_TABLE "pool2d/max_pool2d_grad.inc"
#include "define_op.h"
#define ACCELNN_OP max_pool2d_gather
#define ACCELNN_TABLE "pool2d/max_pool2d_gather.inc"
#include "define_op.h"
#define ACCELNN_OP avg_pool2d
#define ACCELNN_TABLE "pool2d/avg_pool2d.inc"
#include "define_op.h"
#define ACCELNN_OP avg_pool2d_grad
#define ACCELNN_TABLE "pool2d/avg_pool2d_grad.inc"
#include "define_op.h"

namespace accelnn {

// window.h addresses every op's attributes through max_pool2d's slots.
constexpr int last_slot = max_pool2d_attr::pad_right;
static_assert(int(max_pool2d_grad_attr::pad_right) == last_slot && int(max_pool2d_gather_attr::pad_right) == last_slot);
static_assert(int(avg_pool2d_attr::pad_right) == last_slot && int(avg_pool2d_grad_attr::pad_right) == last_slot);

namespace {

Status check_operand(const char* op, const char* name, const TensorView& v, DType dtype) {
  ACCELNN_CHECK(!v.absent(), shape, "%s: %s is missing", op, name);
  ACCELNN_CHECK(v.dtype == dtype, dtype, "%s: %s is %s, expected %s", op, name, describe(v).text, name_of(dtype));
  ACCELNN_CHECK(v.rank == 4, shape, "%s: %s is %s, expected 4 dims [N, C, H, W]", op, name, describe(v).text);
  ACCELNN_CHECK(v.contiguous(), shape, "%s: %s is not contiguous; copy it first", op, name);
  return {};
}

Status check_apart(const char* op, const Call& c) {
  for (int o = 0; o < c.n_out; o++) {
    for (int i = 0; i < c.n_in; i++)
      ACCELNN_CHECK(c.out[o].absent() || c.in[i].absent() || !overlap(c.out[o], c.in[i]), aliasing, "%s: output %d overlaps input %d", op, o, i);
    for (int i = 0; i < o; i++)
      ACCELNN_CHECK(c.out[o].absent() || !overlap(c.out[o], c.out[i]), aliasing, "%s: outputs %d and %d overlap", op, i, o);
  }
  return {};
}

Status check_side(const char* op, const char* side, int64_t size, int64_t pooled, int64_t kernel, int64_t stride, int64_t before, int64_t after) {
  constexpr int64_t limit = INT32_MAX;             // so that no sum or product of two of them overflows
  ACCELNN_CHECK(kernel >= 1 && kernel <= limit && stride >= 1 && stride <= limit, attribute,
                "%s: kernel_%s is %lld and stride_%s %lld, expected 1 to 2^31 - 1", op, side, static_cast<long long>(kernel), side,
                static_cast<long long>(stride));
  ACCELNN_CHECK(before >= 0 && after >= 0 && before < kernel && after < kernel, attribute,
                "%s: pads %lld and %lld along %s, expected at least 0 and less than the kernel (%lld): a window must meet the image", op,
                static_cast<long long>(before), static_cast<long long>(after), side, static_cast<long long>(kernel));
  ACCELNN_CHECK(size >= 1 && size <= limit, shape, "%s: the image has %s %lld, expected 1 to 2^31 - 1", op, side, static_cast<long long>(size));
  const int64_t room = size + before + after - kernel;
  ACCELNN_CHECK(room >= 0, shape, "%s: kernel_%s %lld is larger than the padded image (%lld)", op, side, static_cast<long long>(kernel),
                static_cast<long long>(size + before + after));
  ACCELNN_CHECK(pooled == room / stride + 1, shape, "%s: pooled %s is %lld, expected %lld", op, side, static_cast<long long>(pooled),
                static_cast<long long>(room / stride + 1));
  return {};
}

Status check_window(const char* op, const Call& c, const TensorView& image, const TensorView& pooled) {
  ACCELNN_CHECK(image.shape[0] == pooled.shape[0] && image.shape[1] == pooled.shape[1], shape, "%s: image %s and pooled %s differ in N or C", op,
                describe(image).text, describe(pooled).text);
  const auto at = [&](int slot) { return c.integer(slot); };
  ACCELNN_TRY(check_side(op, "h", image.shape[2], pooled.shape[2], at(max_pool2d_attr::kernel_h), at(max_pool2d_attr::stride_h),
                         at(max_pool2d_attr::pad_top), at(max_pool2d_attr::pad_bottom)));
  ACCELNN_TRY(check_side(op, "w", image.shape[3], pooled.shape[3], at(max_pool2d_attr::kernel_w), at(max_pool2d_attr::stride_w),
                         at(max_pool2d_attr::pad_left), at(max_pool2d_attr::pad_right)));
  ACCELNN_CHECK(image.shape[2] <= INT32_MAX / image.shape[3], shape, "%s: a plane of %lldx%lld has more than 2^31 - 1 pixels", op,
                static_cast<long long>(image.shape[2]), static_cast<long long>(image.shape[3]));
  return check_apart(op, c);
}

Status check_index(const char* op, const TensorView& index, const TensorView& pooled) {
  ACCELNN_TRY(check_operand(op, "index", index, DType::i32));
  ACCELNN_CHECK(same_shape(index, pooled), shape, "%s: index is %s, pooled %s; expected the same shape", op, describe(index).text,
                describe(pooled).text);
  return {};
}

Status check_size(const char* op, const TensorView& dx, int64_t in_h, int64_t in_w) {
  ACCELNN_CHECK(dx.shape[2] == in_h && dx.shape[3] == in_w, shape, "%s: dx is %s, in_h and in_w say %lldx%lld", op, describe(dx).text,
                static_cast<long long>(in_h), static_cast<long long>(in_w));
  return {};
}

Status check_max(const Call& c) {
  const char* op = "max_pool2d";
  const DType type = c.in[0].dtype == DType::u8 ? DType::u8 : DType::f32;
  ACCELNN_TRY(check_operand(op, "x", c.in[0], type));
  ACCELNN_TRY(check_operand(op, "y", c.out[0], type));
  if (!c.out[1].absent()) ACCELNN_TRY(check_index(op, c.out[1], c.out[0]));
  return check_window(op, c, c.in[0], c.out[0]);
}
Status check_max_grad(const Call& c) {
  const char* op = "max_pool2d_grad";
  ACCELNN_TRY(check_operand(op, "dy", c.in[0], DType::f32));
  ACCELNN_TRY(check_operand(op, "dx", c.out[0], DType::f32));
  ACCELNN_TRY(check_index(op, c.in[1], c.in[0]));
  ACCELNN_TRY(check_size(op, c.out[0], c.integer(max_pool2d_grad_attr::in_h), c.integer(max_pool2d_grad_attr::in_w)));
  return check_window(op, c, c.out[0], c.in[0]);
}
Status check_gather(const Call& c) {
  const char* op = "max_pool2d_gather";
  ACCELNN_TRY(check_operand(op, "g", c.in[0], DType::f32));
  ACCELNN_TRY(check_operand(op, "out", c.out[0], DType::f32));
  ACCELNN_TRY(check_index(op, c.in[1], c.out[0]));
  return check_window(op, c, c.in[0], c.out[0]);
}
Status check_avg(const Call& c) {
  const char* op = "avg_pool2d";
  ACCELNN_TRY(check_operand(op, "x", c.in[0], DType::f32));
  ACCELNN_TRY(check_operand(op, "y", c.out[0], DType::f32));
  return check_window(op, c, c.in[0], c.out[0]);
}
Status check_avg_grad(const Call& c) {
  const char* op = "avg_pool2d_grad";
  ACCELNN_TRY(check_operand(op, "dy", c.in[0], DType::f32));
  ACCELNN_TRY(check_operand(op, "dx", c.out[0], DType::f32));
  ACCELNN_TRY(check_size(op, c.out[0], c.integer(avg_pool2d_grad_attr::in_h), c.integer(avg_pool2d_grad_attr::in_w)));
  return check_window(op, c, c.out[0], c.in[0]);
}

}  // namespace

const Op op_max_pool2d = {"max_pool2d", max_pool2d_attrs, max_pool2d_attr::count_, 1, 1, 2, check_max, refuse_nothing, no_workspace};
const Op op_max_pool2d_grad = {"max_pool2d_grad", max_pool2d_grad_attrs, max_pool2d_grad_attr::count_, 2, 2, 1, check_max_grad, refuse_nothing,
                               no_workspace};
const Op op_max_pool2d_gather = {"max_pool2d_gather", max_pool2d_gather_attrs, max_pool2d_gather_attr::count_, 2, 2, 1, check_gather, refuse_nothing,
                                 no_workspace};
const Op op_avg_pool2d = {"avg_pool2d", avg_pool2d_attrs, avg_pool2d_attr::count_, 1, 1, 1, check_avg, refuse_nothing, no_workspace};
const Op op_avg_pool2d_grad = {"avg_pool2d_grad", avg_pool2d_grad_attrs, avg_pool2d_grad_attr::count_, 1, 1, 1, check_avg_grad, refuse_nothing,
                               no_workspace};

}  // namespace accelnn
