#include "adaptive_pool/adaptive_max_pool2d.h"

#define ACCELNN_OP adaptive_max_pool2d
#define ACCELNN_TABLE "adaptive_pool/adaptive_max_pool2d.inc"
#include "define_op.h"

namespace accelnn {

static Status check(const Call& c) {
  const TensorView &x = c.in[0], &y = c.out[0], &index = c.out[1];
  ACCELNN_CHECK(!x.absent() && !y.absent() && x.rank == 4 && y.rank == 4, shape, "adaptive_max_pool2d: %s to %s; x and y of 4 dims [N, C, H, W] expected",
                describe(x).text, describe(y).text);
  ACCELNN_CHECK(x.dtype == DType::f32 && y.dtype == DType::f32, dtype, "adaptive_max_pool2d: %s to %s; f32 expected", name_of(x.dtype), name_of(y.dtype));
  const int64_t h = x.shape[2], w = x.shape[3], oh = c.integer(adaptive_max_pool2d_attr::out_h), ow = c.integer(adaptive_max_pool2d_attr::out_w);
  ACCELNN_CHECK(oh >= 0 && ow >= 0 && oh <= INT32_MAX && ow <= INT32_MAX, attribute, "adaptive_max_pool2d: out_h %lld, out_w %lld; 0 to 2^31 - 1 expected",
                static_cast<long long>(oh), static_cast<long long>(ow));
  ACCELNN_CHECK(h >= 1 && w >= 1 && h <= INT32_MAX / w, shape, "adaptive_max_pool2d: planes of %lldx%lld; 1 to 2^31 - 1 pixels expected",
                static_cast<long long>(h), static_cast<long long>(w));
  ACCELNN_CHECK(y.shape[0] == x.shape[0] && y.shape[1] == x.shape[1] && y.shape[2] == oh && y.shape[3] == ow, shape,
                "adaptive_max_pool2d: %s to %s with out_h %lld, out_w %lld", describe(x).text, describe(y).text, static_cast<long long>(oh),
                static_cast<long long>(ow));
  ACCELNN_CHECK(x.contiguous() && y.contiguous(), shape, "adaptive_max_pool2d: contiguous operands expected");
  ACCELNN_CHECK(!overlap(x, y), aliasing, "adaptive_max_pool2d: the output overlaps the input");
  if (index.absent()) return {};
  ACCELNN_CHECK(index.dtype == DType::i32 && same_shape(index, y) && index.contiguous(), shape, "adaptive_max_pool2d: index is %s, y %s", describe(index).text,
                describe(y).text);
  ACCELNN_CHECK(!overlap(x, index) && !overlap(y, index), aliasing, "adaptive_max_pool2d: the index overlaps x or y");
  return {};
}

static size_t workspace(const Call& c, const Row& row) {
  const TensorView& x = c.in[0];
  const int64_t planes = x.shape[0] * x.shape[1];
  return row.tile_n == 1 ? 0 : size_t(adaptive_parts(planes) * adaptive_room(x.shape[3], c.out[0].shape[3])) * sizeof(float);
}

const Op op_adaptive_max_pool2d = {"adaptive_max_pool2d", adaptive_max_pool2d_attrs, adaptive_max_pool2d_attr::count_, 1, 1, 2, check, refuse_nothing,
                                   workspace};

}  // namespace accelnn
