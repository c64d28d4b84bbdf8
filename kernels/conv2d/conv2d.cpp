#define ACCELNN_OP conv2d
#define ACCELNN_TABLE "conv2d/conv2d.inc"
#include "define_op.h"
#include "conv2d/conv2d.h"
#include "conv2d/geometry.h"
#include "matmul/activation.h"

namespace accelnn {

static_assert(int(conv2d_attr::groups) == int(conv::groups), "geometry.h reads the common attributes by slot");

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  ACCELNN_TRY(conv::check_floats("conv2d", call));
  ACCELNN_TRY(conv::check("conv2d", call, x, w, y));
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("conv2d", "bias", bias, DType::f32, w.shape[0]));
  const int64_t how = call.integer(conv2d_attr::activation);
  ACCELNN_CHECK(how >= 0 && how < activation::count_, attribute, "conv2d: activation %lld is unknown", static_cast<long long>(how));
  return {};
}

static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  return conv::forward_layout(conv::geometry(call, call.in[0], call.in[1], call.out[0])).bytes;
}

const Op op_conv2d = {"conv2d", conv2d_attrs, conv2d_attr::count_, 2, 3, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
