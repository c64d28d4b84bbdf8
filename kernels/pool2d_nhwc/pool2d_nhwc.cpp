#define ACCELNN_OP pool2d_nhwc
#define ACCELNN_TABLE "pool2d_nhwc/pool2d_nhwc.inc"
#include "define_op.h"
#include "pool2d_nhwc/pool2d_nhwc.h"

namespace accelnn {

static Status check_side(int64_t size, int64_t kernel, int64_t stride, int64_t before, int64_t after, int64_t pooled) {
  constexpr int64_t limit = int64_t(1) << 31;
  ACCELNN_CHECK(size >= 1 && size < limit && kernel >= 1 && kernel < limit && stride >= 1 && stride < limit && before >= 0 && before < kernel && after >= 0 &&
                    after < kernel,
                attribute, "pool2d_nhwc: size %lld, kernel %lld, stride %lld, pads %lld and %lld: positive sizes, pads below the kernel expected",
                static_cast<long long>(size), static_cast<long long>(kernel), static_cast<long long>(stride), static_cast<long long>(before),
                static_cast<long long>(after));
  const int64_t room = size + before + after - kernel;
  ACCELNN_CHECK(room >= 0 && pooled == room / stride + 1, shape, "pool2d_nhwc: %lld windows expected of %lld pixels, not %lld",
                static_cast<long long>(room < 0 ? 0 : room / stride + 1), static_cast<long long>(size), static_cast<long long>(pooled));
  return {};
}

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  ACCELNN_CHECK((x.dtype == DType::f32 || x.dtype == DType::u8) && y.dtype == x.dtype, dtype, "pool2d_nhwc: f32 or u8 and the same expected, not %s -> %s",
                describe(x).text, describe(y).text);
  ACCELNN_CHECK(x.rank == 4 && y.rank == 4 && x.contiguous() && y.contiguous() && x.shape[0] == y.shape[0] && x.shape[3] == y.shape[3], shape,
                "pool2d_nhwc: %s -> %s: contiguous [N, H, W, C] -> [N, OH, OW, C] expected", describe(x).text, describe(y).text);
  const PoolNhwc p = pool_nhwc(call);
  ACCELNN_TRY(check_side(p.h, p.kernel_h, p.stride_h, p.top, call.integer(pool2d_nhwc_attr::pad_bottom), p.oh));
  ACCELNN_TRY(check_side(p.w, p.kernel_w, p.stride_w, p.left, call.integer(pool2d_nhwc_attr::pad_right), p.ow));
  ACCELNN_CHECK(p.kind >= 0 && p.kind <= 2, attribute, "pool2d_nhwc: kind is 0, 1 or 2, not %lld", static_cast<long long>(p.kind));
  ACCELNN_CHECK(p.kind == 0 || x.dtype == DType::f32, unsupported, "pool2d_nhwc: bytes have a maximum (kind 0), no means");
  ACCELNN_CHECK(!overlap(x, y), aliasing, "pool2d_nhwc: the output overlaps the input");
  return {};
}

const Op op_pool2d_nhwc = {"pool2d_nhwc", pool2d_nhwc_attrs, pool2d_nhwc_attr::count_, 1, 1, 1, check, refuse_nothing, no_workspace};

}  // namespace accelnn
