#define ACCELNN_OP conv2d_wgrad
#define ACCELNN_TABLE "conv2d_grad/conv2d_wgrad.inc"
#include "define_op.h"
#include "conv2d_grad/conv2d_wgrad.h"
#include "conv2d_grad/layout.h"

namespace accelnn {

static_assert(int(conv2d_wgrad_attr::groups) == int(conv::groups), "geometry.h reads the common attributes by slot");

static Status check(const Call& call) {
  const TensorView &dy = call.in[0], &x = call.in[1], &dw = call.out[0];
  ACCELNN_TRY(conv::check_floats("conv2d_wgrad", call));
  ACCELNN_TRY(conv::check("conv2d_wgrad", call, x, dw, dy));
  ACCELNN_CHECK(dw.shape[2] == call.integer(conv2d_wgrad_attr::kernel_h) && dw.shape[3] == call.integer(conv2d_wgrad_attr::kernel_w), shape,
                "conv2d_wgrad: the output is %s, expected kernel_h, kernel_w as its last dimensions", describe(dw).text);
  return {};
}

static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  const conv::Geometry g = conv::geometry(call, call.in[1], call.out[0], call.in[0]);
  switch (conv_grad::wgrad_way(g, call.integer(conv2d_wgrad_attr::exact) != 0)) {
    case conv_grad::WgradWay::winograd: return conv_grad::wgrad_winograd_layout(g).bytes;
    case conv_grad::WgradWay::strided: return conv_grad::strided_wgrad_layout(g).bytes;
    case conv_grad::WgradWay::points: return conv_grad::points_layout(conv_grad::as_points(g)).bytes;
    case conv_grad::WgradWay::outer: return conv_grad::outer_layout(g).bytes;
    case conv_grad::WgradWay::rows: return conv_grad::rows_layout(g).bytes;
    default: return conv_grad::wgrad_layout(g).bytes;
  }
}

const Op op_conv2d_wgrad = {"conv2d_wgrad", conv2d_wgrad_attrs, conv2d_wgrad_attr::count_, 2, 2, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
