#define ACCELNN_OP conv2d_nhwc
#define ACCELNN_TABLE "conv2d_nhwc/conv2d_nhwc.inc"
#include "define_op.h"
#define ACCELNN_OP conv2d_pack
#define ACCELNN_TABLE "conv2d_nhwc/conv2d_pack.inc"
#include "define_op.h"
#include "conv2d_nhwc/conv2d_nhwc.h"
#include "matmul/activation.h"

namespace accelnn {
namespace conv {

static_assert(int(conv2d_nhwc_attr::groups) == int(groups), "geometry.h reads the common attributes by slot");

PackedShape packed_shape(int algorithm, int64_t o, int64_t per_group, int64_t r, int64_t s, int64_t groups) {
  if (algorithm == panels) return {groups * divide_up(o / groups, 16), r * s * per_group};
  const int64_t taps = algorithm == winograd2 ? 16 : algorithm == winograd4 || algorithm == winograd5 ? 36
      : algorithm == folded                                                                           ? 144
      : algorithm == strided                                                                          ? 81
                                                                                                      : r * s;
  return {divide_up(o, 16), taps * per_group};
}

Status check_algorithm(const char* op, int algorithm, int64_t o, int64_t per_group, int64_t r, int64_t s, int64_t groups) {
  const bool products = groups == 1 || (o / groups) % 16 == 0, few = per_group == o / groups && (per_group == 4 || per_group == 8);
  const bool fits = algorithm == panels                  ? true
      : algorithm == winograd2 || algorithm == winograd4 ? r == 3 && s == 3 && (products || (few && algorithm == winograd4))
      : algorithm == winograd5                           ? r == 5 && s == 5 && products
      : algorithm == strided                             ? r == 3 && s == 3 && groups == 1 && per_group % 16 == 0
      : algorithm == folded                              ? r == 7 && s == 7 && groups == 1 && per_group <= 4
      : algorithm == lanes_of                            ? per_group == o / groups && (per_group == 1 || per_group == 2 || per_group == 4 || per_group == 8)
                                                         : false;
  ACCELNN_CHECK(fits, attribute, "%s: algorithm %d is not for weights [%lld, %lld, %lld, %lld] in %lld groups", op, algorithm, static_cast<long long>(o),
                static_cast<long long>(per_group), static_cast<long long>(r), static_cast<long long>(s), static_cast<long long>(groups));
  return {};
}

static TensorView shaped(const TensorView& like, int64_t a, int64_t b, int64_t c, int64_t d) {
  TensorView v = like;
  v.rank = 4;
  v.shape[0] = a, v.shape[1] = b, v.shape[2] = c, v.shape[3] = d;
  v.set_contiguous();
  return v;
}

Turned turned(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t g = call.integer(conv2d_nhwc_attr::groups);
  return {shaped(x, x.shape[0], x.shape[3], x.shape[1], x.shape[2]),
          shaped(call.in[1], call.integer(conv2d_nhwc_attr::channels), g > 0 ? x.shape[3] / g : 0, call.integer(conv2d_nhwc_attr::kernel_h),
                 call.integer(conv2d_nhwc_attr::kernel_w)),
          shaped(y, y.shape[0], y.shape[3], y.shape[1], y.shape[2])};
}

Geometry geometry_nhwc(const Call& call) {
  const Turned t = turned(call);
  return geometry(call, t.x, t.w, t.y);
}

}  // namespace conv

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &residual = call.in[3], &y = call.out[0];
  ACCELNN_TRY(conv::check_floats("conv2d_nhwc", call));
  ACCELNN_CHECK(x.rank == 4 && y.rank == 4 && w.rank == 3 && x.contiguous() && y.contiguous() && w.contiguous(), shape,
                "conv2d_nhwc: %s, %s -> %s: contiguous [N, H, W, C], packed weights and [N, OH, OW, O] expected", describe(x).text, describe(w).text,
                describe(y).text);
  const int64_t o = call.integer(conv2d_nhwc_attr::channels), r = call.integer(conv2d_nhwc_attr::kernel_h), s = call.integer(conv2d_nhwc_attr::kernel_w);
  constexpr int64_t limit = int64_t(1) << 31;
  ACCELNN_CHECK(o >= 0 && o < limit && r >= 1 && r < limit && s >= 1 && s < limit, attribute, "conv2d_nhwc: channels %lld, kernel %lld x %lld",
                static_cast<long long>(o), static_cast<long long>(r), static_cast<long long>(s));
  // Overlaps are judged here: y may be the residual's own memory.
  Call alone = call;
  alone.n_in = 3;
  const conv::Turned t = conv::turned(call);
  ACCELNN_TRY(conv::check("conv2d_nhwc", alone, t.x, t.w, t.y));
  const int64_t g = call.integer(conv2d_nhwc_attr::groups), per_group = t.w.shape[1], algorithm = call.integer(conv2d_nhwc_attr::algorithm);
  ACCELNN_CHECK(algorithm >= 0 && algorithm < conv::n_algorithms, attribute, "conv2d_nhwc: algorithm %lld is unknown", static_cast<long long>(algorithm));
  ACCELNN_TRY(conv::check_algorithm("conv2d_nhwc", int(algorithm), o, per_group, r, s, g));
  const bool winograd = conv::by_tiles(int(algorithm)), dilated = call.integer(conv::dilation_h) > 1 || call.integer(conv::dilation_w) > 1;
  const int64_t step = algorithm == conv::folded || algorithm == conv::strided ? 2 : 1;
  const bool strides_fit = call.integer(conv::stride_h) == step && call.integer(conv::stride_w) == step;
  ACCELNN_CHECK(!winograd || (strides_fit && !(dilated && step == 2)), attribute,
                "conv2d_nhwc: algorithm %lld wants stride %lld, at 2 no dilation", static_cast<long long>(algorithm), static_cast<long long>(step));
  const conv::PackedShape p = conv::packed_shape(int(algorithm), o, per_group, r, s, g);
  ACCELNN_CHECK(w.shape[0] == p.panels && w.shape[1] == p.taps && w.shape[2] == 16, shape, "conv2d_nhwc: packed weights [%lld, %lld, 16] expected, not %s",
                static_cast<long long>(p.panels), static_cast<long long>(p.taps), describe(w).text);
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("conv2d_nhwc", "bias", bias, DType::f32, o));
  ACCELNN_CHECK(residual.absent() || (same_shape(residual, y) && residual.contiguous()), shape, "conv2d_nhwc: a residual like the output %s expected, not %s",
                describe(y).text, describe(residual).text);
  ACCELNN_CHECK(residual.absent() || !overlap(residual, y) || same_memory(residual, y), aliasing,
                "conv2d_nhwc: the output overlaps the residual without being its own memory");
  const int64_t how = call.integer(conv2d_nhwc_attr::activation);
  ACCELNN_CHECK(how >= 0 && how < activation::count_, attribute, "conv2d_nhwc: activation %lld is unknown", static_cast<long long>(how));
  return {};
}

static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  const conv::Geometry g = conv::geometry_nhwc(call);
  const int algorithm = int(call.integer(conv2d_nhwc_attr::algorithm));
  if (algorithm == conv::panels) return conv::direct_plan(g).bytes;
  if (algorithm == conv::lanes_of) return 0;
  return conv::winograd_plan(g, algorithm).bytes;
}

const Op op_conv2d_nhwc = {"conv2d_nhwc", conv2d_nhwc_attrs, conv2d_nhwc_attr::count_, 2, 4, 1, check, refuse_nothing, workspace};

static Status check_pack(const Call& call) {
  const TensorView &w = call.in[0], &p = call.out[0];
  ACCELNN_CHECK(w.dtype == DType::f32 && p.dtype == DType::f32, dtype, "conv2d_pack: f32 expected, not %s -> %s", describe(w).text, describe(p).text);
  const int64_t g = call.integer(conv2d_pack_attr::groups), algorithm = call.integer(conv2d_pack_attr::algorithm);
  ACCELNN_CHECK(w.rank == 4 && p.rank == 3 && w.contiguous() && p.contiguous() && g >= 1 && w.shape[0] % g == 0, shape,
                "conv2d_pack: %s -> %s in %lld groups: contiguous [O, C/groups, R, S] -> [P, T, 16] expected", describe(w).text, describe(p).text,
                static_cast<long long>(g));
  ACCELNN_CHECK(algorithm >= 0 && algorithm < conv::n_algorithms, attribute, "conv2d_pack: algorithm %lld is unknown", static_cast<long long>(algorithm));
  ACCELNN_TRY(conv::check_algorithm("conv2d_pack", int(algorithm), w.shape[0], w.shape[1], w.shape[2], w.shape[3], g));
  const conv::PackedShape expect = conv::packed_shape(int(algorithm), w.shape[0], w.shape[1], w.shape[2], w.shape[3], g);
  ACCELNN_CHECK(p.shape[0] == expect.panels && p.shape[1] == expect.taps && p.shape[2] == 16, shape, "conv2d_pack: [%lld, %lld, 16] expected, not %s",
                static_cast<long long>(expect.panels), static_cast<long long>(expect.taps), describe(p).text);
  ACCELNN_CHECK(!overlap(w, p), aliasing, "conv2d_pack: the output overlaps the input");
  return {};
}

const Op op_conv2d_pack = {"conv2d_pack", conv2d_pack_attrs, conv2d_pack_attr::count_, 1, 1, 1, check_pack, refuse_nothing, no_workspace};

}  // namespace accelnn
