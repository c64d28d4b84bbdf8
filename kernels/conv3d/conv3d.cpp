#include "conv3d/conv3d.h"
#define ACCELNN_OP conv3d
#define ACCELNN_TABLE "conv3d/conv3d.inc"
#include "define_op.h"
#include "conv2d/sizes.h"

namespace accelnn {
namespace conv3d {

namespace {

using conv::Cut;
using conv::huge;
using conv::plus;
using conv::times;

Side side(const Call& call, int i) {
  const auto attribute = [&](int first) { return call.integer(first + i); };
  return {call.in[0].shape[2 + i], call.out[0].shape[2 + i], call.in[1].shape[2 + i], attribute(conv3d_attr::stride_d),
          attribute(conv3d_attr::pad_front), attribute(conv3d_attr::pad_back), attribute(conv3d_attr::dilation_d)};
}

}  // namespace

Shape shape(const Call& call) {
  Shape s = {call.in[0].shape[0], call.in[0].shape[1], call.in[1].shape[0], side(call, 0), side(call, 1), side(call, 2), 0};
  s.k = s.c * s.d.kernel * s.h.kernel * s.w.kernel;
  return s;
}

Layout layout(const Shape& s) {
  Layout l = {};
  const bool joined = s.w.dilation == 1 || s.w.kernel == 1;
  l.runs = times(times(s.d.kernel, s.h.kernel), joined ? 1 : s.w.kernel);
  l.run = joined ? s.w.kernel * s.c : s.c;
  l.depth = plus(plus(s.d.before, s.d.in), s.d.after);
  l.row = times(plus(plus(s.w.before, s.w.in), s.w.after), s.c);
  l.plane = times(plus(plus(s.h.before, s.h.in), s.h.after), l.row);
  l.volume = times(l.depth, l.plane);
  l.images = conv::at_least(conv::at_most((int64_t(1) << 18) / conv::at_least(l.volume, 1), s.n), 1);
  // The outputs of a unit are turned while they are in L2, beside the weights that all of its tiles read.
  const int64_t fit = (int64_t(128) << 10) / conv::at_least(times(s.w.out, s.o) * 4, 1);
  l.bands = conv::divide_up(s.h.out, conv::at_least(fit, 1));
  const int64_t planes = times(l.images, s.d.out);
  if (planes > 0 && times(planes, l.bands) < conv::most_parts) l.bands = conv::at_most(conv::divide_up(conv::most_parts, planes), s.h.out);
  l.band = conv::divide_up(s.h.out, conv::at_least(l.bands, 1));
  l.bands = conv::divide_up(s.h.out, conv::at_least(l.band, 1));
  l.units = times(planes, l.bands);
  l.parts = conv::at_most(l.units, conv::most_parts);
  Cut shared;
  l.offsets = shared.take(times(l.runs, 8));
  l.packed = shared.take(times(times(conv::divide_up(s.o, 16), s.k), 64));
  l.image = shared.take(times(times(l.images, l.volume), 4));
  l.part = shared.at;
  l.slice = times(times(l.band, s.w.out), s.o) >= huge / 8 ? huge : conv::round_up(l.band * s.w.out * s.o * 4, 64);
  l.bytes = size_t(plus(shared.at, times(l.parts, l.slice)));
  return l;
}

}  // namespace conv3d

static Status check_side(const char* name, const conv3d::Side& s) {
  constexpr int64_t limit = int64_t(1) << 30;
  ACCELNN_CHECK(s.stride >= 1 && s.stride < limit && s.dilation >= 1 && s.dilation < limit && s.before >= 0 && s.before < limit && s.after >= 0 &&
                    s.after < limit && s.kernel >= 1 && s.kernel < limit && s.in < limit,
                attribute, "conv3d: %s: a kernel, stride and dilation of at least 1 and padding of at least 0 expected", name);
  const int64_t room = s.in + s.before + s.after - (s.kernel - 1) * s.dilation - 1;
  ACCELNN_CHECK(room >= 0 && s.out == room / s.stride + 1, shape, "conv3d: %s: a kernel of %lld does not go %lld times into %lld", name,
                static_cast<long long>(s.kernel), static_cast<long long>(s.out), static_cast<long long>(s.in));
  return {};
}

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  ACCELNN_TRY(conv::check_floats("conv3d", call));
  ACCELNN_CHECK(x.rank == 5 && w.rank == 5 && y.rank == 5 && x.contiguous() && w.contiguous() && y.contiguous(), shape,
                "conv3d: %s, %s -> %s: contiguous [N, C, D, H, W], [O, C, T, R, S] and [N, O, OD, OH, OW] expected", describe(x).text, describe(w).text,
                describe(y).text);
  ACCELNN_CHECK(x.shape[1] == w.shape[1] && y.shape[0] == x.shape[0] && y.shape[1] == w.shape[0], shape,
                "conv3d: %s, %s -> %s: images and channels do not fit each other", describe(x).text, describe(w).text, describe(y).text);
  const conv3d::Shape s = conv3d::shape(call);
  ACCELNN_TRY(check_side("depth", s.d));
  ACCELNN_TRY(check_side("height", s.h));
  ACCELNN_TRY(check_side("width", s.w));
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("conv3d", "bias", bias, DType::f32, s.o));
  for (int i = 0; i < call.n_in; i++)
    ACCELNN_CHECK(call.in[i].absent() || !overlap(call.in[i], y), aliasing, "conv3d: the output overlaps an input");
  return {};
}

static size_t workspace(const Call& call, const Row& row) {
  return row.exactness == Exactness::reference ? 0 : conv3d::layout(conv3d::shape(call)).bytes;
}

const Op op_conv3d = {"conv3d", conv3d_attrs, conv3d_attr::count_, 2, 3, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
