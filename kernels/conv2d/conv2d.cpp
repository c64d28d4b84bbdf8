#define ACCELNN_OP conv2d
#define ACCELNN_TABLE "conv2d/conv2d.inc"
#include "define_op.h"
#include "conv2d/conv2d.h"
#include "conv2d/geometry.h"
#include "conv2d_nhwc/conv2d_nhwc.h"
#include <cstring>
#include "matmul/activation.h"

namespace accelnn {

static_assert(int(conv2d_attr::groups) == int(conv::groups), "geometry.h reads the common attributes by slot");

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  ACCELNN_TRY(conv::check_floats("conv2d", call));
  const TensorView& residual = call.in[3];
  Call others = call;
  others.n_in = 3;                      // y may be the residual's own memory
  ACCELNN_TRY(conv::check("conv2d", others, x, w, y));
  ACCELNN_CHECK(residual.absent() || (same_shape(residual, y) && residual.contiguous()), shape, "conv2d: a residual like the output %s expected, not %s",
                describe(y).text, describe(residual).text);
  ACCELNN_CHECK(residual.absent() || !overlap(residual, y) || same_memory(residual, y), aliasing,
                "conv2d: the output overlaps the residual without being its own memory");
  const int64_t exact = call.integer(conv2d_attr::exact);
  ACCELNN_CHECK(exact == 0 || exact == 1, attribute, "conv2d: exact is 0 or 1, not %lld", static_cast<long long>(exact));
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("conv2d", "bias", bias, DType::f32, w.shape[0]));
  const int64_t how = call.integer(conv2d_attr::activation);
  ACCELNN_CHECK(how >= 0 && how < activation::count_, attribute, "conv2d: activation %lld is unknown", static_cast<long long>(how));
  return {};
}

// Rows that go by way of channels last (conv2d_nhwc/detour.h), those on planes (planes.h) and those with outputs as lanes (pixels.h).
enum class Way { columns,
                 last,
                 planes,
                 pixels };
static Way way_of(const Row& row) {
  const char* const end = strrchr(row.name, '_');
  return !strcmp(end, "_last") ? Way::last : !strcmp(end, "_planes") ? Way::planes
      : !strcmp(end, "_pixels")                                      ? Way::pixels
                                                                     : Way::columns;
}

static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  const conv::Geometry g = conv::geometry(call, call.in[0], call.in[1], call.out[0]);
  switch (way_of(row)) {
    case Way::last: return conv::detour(g, call.integer(conv2d_attr::exact) != 0).bytes;
    case Way::planes: return conv::planes_plan(g).bytes;
    case Way::pixels: return conv::pixels_plan(g).bytes;
    default: return conv::forward_layout(g).bytes;
  }
}

static const char* refuse(const Row& row, const Call& call) {
  const Way way = way_of(row);
  if (way == Way::columns) return nullptr;
  const conv::Geometry g = conv::geometry(call, call.in[0], call.in[1], call.out[0]);
  if (way == Way::planes) return conv::planes_pay(g) ? nullptr : "for groups of few channels";
  if (way == Way::pixels) return conv::pixels_pay(g) && call.in[3].absent() ? nullptr : "for 13 to 16 outputs, without a residual";
  return conv::detour(g, call.integer(conv2d_attr::exact) != 0).pays ? nullptr : "turning the images would not pay";
}

const Op op_conv2d = {"conv2d", conv2d_attrs, conv2d_attr::count_, 2, 4, 1, check, refuse, workspace};

}  // namespace accelnn
