#include "byte_table.h"
#include "dynamic_quantize.h"
#include "quantize_linear.h"
#include "dequantize_linear.h"
#include "runs.h"

#define ACCELNN_OP quantize_linear
#define ACCELNN_TABLE "quantize/quantize_linear.inc"
#include "define_op.h"
#define ACCELNN_OP dequantize_linear
#define ACCELNN_TABLE "quantize/dequantize_linear.inc"
#include "define_op.h"
#define ACCELNN_OP byte_table
#define ACCELNN_TABLE "quantize/byte_table.inc"
#include "define_op.h"
#define ACCELNN_OP dynamic_quantize
#define ACCELNN_TABLE "quantize/dynamic_quantize.inc"
#include "define_op.h"

namespace accelnn {

namespace {

Status check_whole(const char* op, const char* name, const TensorView& v) {
  ACCELNN_CHECK(!v.absent(), shape, "%s: %s is missing", op, name);
  ACCELNN_CHECK(v.contiguous(), shape, "%s: %s is not contiguous; copy it first", op, name);
  return {};
}

// x, scale, zero, out: everything but the dtypes of x, zero and out.
Status check_both(const char* op, const Call& c, int64_t axis) {
  const TensorView &x = c.in[0], &scale = c.in[1], &zero = c.in[2], &out = c.out[0];
  ACCELNN_TRY(check_whole(op, "the input", x));
  ACCELNN_TRY(check_whole(op, "scale", scale));
  ACCELNN_TRY(check_whole(op, "the output", out));
  ACCELNN_CHECK(scale.dtype == DType::f32, dtype, "%s: scale is %s, expected f32", op, describe(scale).text);
  ACCELNN_CHECK(scale.rank <= 1, shape, "%s: scale is %s, expected one number or one dim", op, describe(scale).text);
  if (scale.rank == 1) {
    ACCELNN_CHECK(axis >= -x.rank && axis < x.rank, attribute, "%s: axis %lld of input %s with scale %s", op, static_cast<long long>(axis),
                  describe(x).text, describe(scale).text);
    ACCELNN_CHECK(x.dim(int(axis)) == scale.shape[0], shape, "%s: scale is %s, expected %lld numbers for axis %lld of %s", op, describe(scale).text,
                  static_cast<long long>(x.dim(int(axis))), static_cast<long long>(axis), describe(x).text);
  }
  ACCELNN_CHECK(same_shape(x, out), shape, "%s: output is %s, input %s; expected the same shape", op, describe(out).text, describe(x).text);
  if (!zero.absent()) {
    ACCELNN_TRY(check_whole(op, "zero", zero));
    ACCELNN_CHECK(same_shape(zero, scale), shape, "%s: zero is %s, scale %s; expected the same shape", op, describe(zero).text, describe(scale).text);
  }
  for (int i = 0; i < 3; i++)
    ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], out), aliasing, "%s: the output overlaps input %d", op, i);
  return {};
}

Status check_quantize(const Call& c) {
  const char* op = "quantize_linear";
  ACCELNN_TRY(check_both(op, c, c.integer(quantize_linear_attr::axis)));
  const TensorView &x = c.in[0], &zero = c.in[2], &q = c.out[0];
  ACCELNN_CHECK(x.dtype == DType::f32, dtype, "%s: x is %s, expected f32", op, describe(x).text);
  ACCELNN_CHECK(!zero.absent(), shape, "%s: zero is missing; its dtype, u8 or i8, is that of the output", op);
  ACCELNN_CHECK(zero.dtype == DType::u8 || zero.dtype == DType::i8, dtype, "%s: zero is %s, expected u8 or i8", op, describe(zero).text);
  ACCELNN_CHECK(q.dtype == zero.dtype, dtype, "%s: output is %s, expected zero's dtype %s", op, describe(q).text, name_of(zero.dtype));
  return {};
}

Status check_dequantize(const Call& c) {
  const char* op = "dequantize_linear";
  ACCELNN_TRY(check_both(op, c, c.integer(dequantize_linear_attr::axis)));
  const TensorView &q = c.in[0], &zero = c.in[2], &x = c.out[0];
  ACCELNN_CHECK(q.dtype == DType::u8 || q.dtype == DType::i8 || q.dtype == DType::i32, dtype, "%s: q is %s, expected u8, i8 or i32", op,
                describe(q).text);
  ACCELNN_CHECK(zero.absent() || zero.dtype == q.dtype, dtype, "%s: zero is %s, expected q's dtype %s", op, describe(zero).text, name_of(q.dtype));
  ACCELNN_CHECK(x.dtype == DType::f32, dtype, "%s: output is %s, expected f32", op, describe(x).text);
  return {};
}

Status check_dynamic(const Call& c) {
  const char* op = "dynamic_quantize";
  const TensorView &x = c.in[0], &q = c.out[0], &scale = c.out[1], &zero = c.out[2];
  ACCELNN_TRY(check_whole(op, "the input", x));
  ACCELNN_TRY(check_whole(op, "the output", q));
  ACCELNN_CHECK(x.dtype == DType::f32 && q.dtype == DType::u8 && scale.dtype == DType::f32 && zero.dtype == DType::u8, dtype,
                "%s: f32 -> u8, f32, u8 expected, not %s -> %s, %s, %s", op, describe(x).text, describe(q).text, describe(scale).text, describe(zero).text);
  ACCELNN_CHECK(same_shape(x, q) && scale.rank == 0 && zero.rank == 0, shape, "%s: %s -> %s, %s, %s; expected x's shape and two single numbers", op,
                describe(x).text, describe(q).text, describe(scale).text, describe(zero).text);
  for (int i = 0; i < 3; i++) {
    ACCELNN_CHECK(!overlap(x, c.out[i]), aliasing, "%s: output %d overlaps the input", op, i);
    for (int j = 0; j < i; j++) ACCELNN_CHECK(!overlap(c.out[j], c.out[i]), aliasing, "%s: outputs %d and %d overlap", op, j, i);
  }
  return {};
}
Status check_table(const Call& c) {
  const TensorView &x = c.in[0], &table = c.in[1], &y = c.out[0];
  ACCELNN_TRY(check_whole("byte_table", "the input", x));
  ACCELNN_TRY(check_whole("byte_table", "the table", table));
  ACCELNN_TRY(check_whole("byte_table", "the output", y));
  ACCELNN_CHECK(x.dtype == DType::u8 && table.dtype == DType::u8 && y.dtype == DType::u8, dtype, "byte_table: %s, %s -> %s: u8 expected", describe(x).text,
                describe(table).text, describe(y).text);
  ACCELNN_CHECK(same_shape(x, y) && table.rank == 1 && table.shape[0] == 256, shape, "byte_table: %s, %s -> %s: a table of 256 and x's shape expected",
                describe(x).text, describe(table).text, describe(y).text);
  ACCELNN_CHECK((!overlap(x, y) || same_memory(x, y)) && !overlap(table, y), aliasing, "byte_table: the output overlaps an input");
  return {};
}
size_t dynamic_workspace(const Call& c, const Row& row) {
  return row.exactness == Exactness::reference ? 0 : size_t((c.in[0].count() + quantize_chunk - 1) / quantize_chunk) * sizeof(Extremes);
}

}  // namespace

const Op op_byte_table = {"byte_table", byte_table_attrs, byte_table_attr::count_, 2, 2, 1, check_table, refuse_nothing, no_workspace};
const Op op_dynamic_quantize = {"dynamic_quantize", dynamic_quantize_attrs, dynamic_quantize_attr::count_, 1, 1, 3, check_dynamic, refuse_nothing,
                                dynamic_workspace};
const Op op_quantize_linear = {"quantize_linear", quantize_linear_attrs, quantize_linear_attr::count_, 3, 3, 1, check_quantize, refuse_nothing,
                               no_workspace};
const Op op_dequantize_linear = {"dequantize_linear", dequantize_linear_attrs, dequantize_linear_attr::count_, 2, 3, 1, check_dequantize,
                                 refuse_nothing, no_workspace};

}  // namespace accelnn
