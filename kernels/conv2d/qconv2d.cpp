#define ACCELNN_OP qconv2d
#define ACCELNN_TABLE "conv2d/qconv2d.inc"
#include "define_op.h"
#include "conv2d/geometry.h"
#include "conv2d/qconv2d.h"

namespace accelnn {

static_assert(int(qconv2d_attr::groups) == int(conv::groups), "geometry.h reads the common attributes by slot");

static Status check(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[2], &bias = call.in[4], &zero = call.in[5], &y = call.out[0];
  ACCELNN_CHECK(x.dtype == DType::u8, dtype, "qconv2d: x is %s, expected u8", name_of(x.dtype));
  ACCELNN_CHECK(w.dtype == DType::i8, dtype, "qconv2d: w is %s, expected i8", name_of(w.dtype));
  ACCELNN_CHECK(y.dtype == DType::u8 || y.dtype == DType::f32 || y.dtype == DType::i32, dtype, "qconv2d: y is %s, expected u8, f32 or i32",
                name_of(y.dtype));
  ACCELNN_TRY(conv::check("qconv2d", call, x, w, y));
  ACCELNN_TRY(conv::check_scalar("qconv2d", "x_zero", call.in[1], DType::u8));
  ACCELNN_TRY(conv::check_vector("qconv2d", "scale", call.in[3], DType::f32, w.shape[0]));
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("qconv2d", "bias", bias, DType::i32, w.shape[0]));
  if (!zero.absent()) ACCELNN_TRY(conv::check_scalar("qconv2d", "out_zero", zero, DType::u8));
  else ACCELNN_CHECK(y.dtype != DType::u8, shape, "qconv2d: a u8 output needs out_zero");
  const int64_t relu = call.integer(qconv2d_attr::relu);
  ACCELNN_CHECK(relu == 0 || relu == 1, attribute, "qconv2d: relu = %lld, expected 0 or 1", static_cast<long long>(relu));
  int64_t taps = 1;
  for (int d = 1; d < 4; d++) taps = taps > 32768 ? taps : taps * w.shape[d];
  ACCELNN_CHECK(taps <= 32768, unsupported, "qconv2d: the weight is %s; more than 32768 products a sum could overflow an int32", describe(w).text);
  return {};
}

static size_t workspace(const Call& call, const Row& row) {
  if (row.exactness == Exactness::reference) return 0;
  return conv::quantized_layout(conv::geometry(call, call.in[0], call.in[2], call.out[0])).bytes;
}

const Op op_qconv2d = {"qconv2d", qconv2d_attrs, qconv2d_attr::count_, 4, 6, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
