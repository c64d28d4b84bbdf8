#define ACCELNN_OP conv2d_dgrad
#define ACCELNN_TABLE "conv2d_grad/conv2d_dgrad.inc"
#include "define_op.h"
#include "conv2d_grad/conv2d_dgrad.h"
#include "conv2d_grad/layout.h"
#include <cstring>

namespace accelnn {

static_assert(int(conv2d_dgrad_attr::groups) == int(conv::groups), "geometry.h reads the common attributes by slot");

static Status check(const Call& call) {
  const TensorView &dy = call.in[0], &w = call.in[1], &dx = call.out[0];
  ACCELNN_TRY(conv::check_floats("conv2d_dgrad", call));
  ACCELNN_TRY(conv::check("conv2d_dgrad", call, dx, w, dy));
  const int64_t h = call.integer(conv2d_dgrad_attr::in_h), width = call.integer(conv2d_dgrad_attr::in_w);
  ACCELNN_CHECK((h == 0 || dx.shape[2] == h) && (width == 0 || dx.shape[3] == width), shape,
                "conv2d_dgrad: the output is %s, expected in_h, in_w as its last dimensions", describe(dx).text);
  if (!call.in[2].absent()) ACCELNN_TRY(conv::check_vector("conv2d_dgrad", "bias", call.in[2], DType::f32, dx.shape[1]));
  return {};
}

// Rows that go by way of channels last (dgrad_last.h).
static bool by_last(const Row& row) {
  const size_t n = strlen(row.name);
  return n > 5 && !strcmp(row.name + n - 5, "_last");
}

static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  const conv::Geometry g = conv::geometry(call, call.out[0], call.in[1], call.in[0]);
  const bool exact = call.integer(conv2d_dgrad_attr::exact) != 0;
  if (by_last(row)) return conv_grad::last_layout(g, exact).bytes;
  if (conv_grad::by_strided(g, exact)) return conv_grad::strided_dgrad_layout(g).bytes;
  if (conv::windows_apart(g)) return conv_grad::apart_layout(g).bytes;
  return conv_grad::by_winograd(g, g.h, g.w, exact) ? conv_grad::dgrad_winograd_layout(g).bytes : conv_grad::dgrad_layout(g).bytes;
}

static const char* refuse(const Row& row, const Call& call) {
  if (!by_last(row)) return nullptr;
  const conv::Geometry g = conv::geometry(call, call.out[0], call.in[1], call.in[0]);
  return conv_grad::last_layout(g, call.integer(conv2d_dgrad_attr::exact) != 0).fits ? nullptr : "turning the images would not pay";
}

const Op op_conv2d_dgrad = {"conv2d_dgrad", conv2d_dgrad_attrs, conv2d_dgrad_attr::count_, 2, 3, 1, check, refuse, workspace};

}  // namespace accelnn
