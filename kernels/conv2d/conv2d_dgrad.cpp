#define ACCELNN_OP conv2d_dgrad
#define ACCELNN_TABLE "conv2d/conv2d_dgrad.inc"
#include "define_op.h"
#include "conv2d/conv2d_dgrad.h"
#include "conv2d/geometry.h"

namespace accelnn {

static_assert(int(conv2d_dgrad_attr::groups) == int(conv::groups), "geometry.h reads the common attributes by slot");

static Status check(const Call& call) {
  const TensorView &dy = call.in[0], &w = call.in[1], &dx = call.out[0];
  ACCELNN_TRY(conv::check_floats("conv2d_dgrad", call));
  ACCELNN_TRY(conv::check("conv2d_dgrad", call, dx, w, dy));
  ACCELNN_CHECK(dx.shape[2] == call.integer(conv2d_dgrad_attr::in_h) && dx.shape[3] == call.integer(conv2d_dgrad_attr::in_w), shape,
                "conv2d_dgrad: the output is %s, expected in_h, in_w as its last dimensions", describe(dx).text);
  return {};
}

static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  return conv::dgrad_layout(conv::geometry(call, call.out[0], call.in[1], call.in[0])).bytes;
}

const Op op_conv2d_dgrad = {"conv2d_dgrad", conv2d_dgrad_attrs, conv2d_dgrad_attr::count_, 2, 2, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
