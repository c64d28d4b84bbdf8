#include "sparse_conv/conv2d_sparse.h"
#include "matmul/activation.h"

#define ACCELNN_OP conv2d_sparse
#define ACCELNN_TABLE "sparse_conv/conv2d_sparse.inc"
#include "define_op.h"
#define ACCELNN_OP qconv2d_sparse
#define ACCELNN_TABLE "sparse_conv/qconv2d_sparse.inc"
#include "define_op.h"

namespace accelnn {

using conv::at_least;
using conv::at_most;
using conv::divide_up;
using conv::round_up;
namespace attr = conv2d_sparse_attr;    // what both ops have is in the same slots
static_assert(int(attr::groups) == int(conv::groups) && int(attr::y_last) == int(qconv2d_sparse_attr::y_last), "attributes are read by slot");

namespace {

TensorView channels_first(const TensorView& v, bool last) {
  TensorView t = v;
  if (last && v.rank == 4) t.shape[1] = v.shape[3], t.shape[2] = v.shape[1], t.shape[3] = v.shape[2];
  t.set_contiguous();
  return t;
}
TensorView whole_weight(const Call& call, const TensorView& x, int64_t outputs) {
  TensorView t = x;
  t.rank = 4;
  t.shape[0] = outputs;
  t.shape[1] = x.rank == 4 ? x.shape[1] : 0;
  t.shape[2] = call.integer(attr::kernel_h);
  t.shape[3] = call.integer(attr::kernel_w);
  t.set_contiguous();
  t.data = nullptr;
  return t;
}

Status check_blocks(const char* op, const TensorView& first, const TensorView& index, const TensorView& values, DType type, int64_t outputs) {
  const int64_t each = type == DType::i8 ? 64 : 16;
  ACCELNN_CHECK(first.dtype == DType::i32 && index.dtype == DType::i32 && values.dtype == type, dtype, "%s: first and index i32, values %s expected", op,
                name_of(type));
  ACCELNN_CHECK(first.rank == 1 && first.shape[0] == divide_up(outputs, sconv_strip) + 1 && index.rank == 1 && values.rank == 2 &&
                    values.shape[0] == index.shape[0] && values.shape[1] == each && index.shape[0] < (int64_t(1) << 31),
                shape, "%s: first [%lld], index [B] and values [B, %lld] expected for %lld outputs, not %s, %s and %s", op,
                static_cast<long long>(divide_up(outputs, sconv_strip) + 1), static_cast<long long>(each), static_cast<long long>(outputs),
                describe(first).text, describe(index).text, describe(values).text);
  ACCELNN_CHECK(first.contiguous() && index.contiguous() && values.contiguous(), shape, "%s: contiguous operands expected", op);
  return {};
}

// The image, the window and the map: what both ops ask of them. `inputs`: how many of them y must not overlap.
Status check_map(const char* op, const Call& call, int64_t outputs, int inputs) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t x_last = call.integer(attr::x_last), y_last = call.integer(attr::y_last);
  const int64_t r = call.integer(attr::kernel_h), s = call.integer(attr::kernel_w);
  ACCELNN_CHECK((x_last | 1) == 1 && (y_last | 1) == 1, attribute, "%s: x_last and y_last are 0 or 1, not %lld and %lld", op,
                static_cast<long long>(x_last), static_cast<long long>(y_last));
  ACCELNN_CHECK(outputs >= 0 && outputs < (int64_t(1) << 31) && r >= 1 && r < 32768 && s >= 1 && s < 32768, attribute,
                "%s: %lld outputs, a window of %lld x %lld", op, static_cast<long long>(outputs), static_cast<long long>(r), static_cast<long long>(s));
  ACCELNN_CHECK(call.integer(attr::groups) == 1, unsupported, "%s: one group expected, not %lld: blocks of 16 outputs would cross them", op,
                static_cast<long long>(call.integer(attr::groups)));
  ACCELNN_CHECK(x.contiguous() && y.contiguous(), shape, "%s: contiguous operands expected", op);
  Call alone = call;
  alone.n_in = inputs;
  const TensorView x1 = channels_first(x, x_last), y1 = channels_first(y, y_last);
  ACCELNN_TRY(conv::check(op, alone, x1, whole_weight(call, x1, outputs), y1));
  const SconvProblem p = sconv_problem(call);
  ACCELNN_CHECK(double(p.taps) * double(p.words) < 0x1p21 && double(p.taps) * double(p.words) * double(p.pitch) < 0x1p31 &&
                    double(p.image) + double(p.row_words) < 0x1p31,
                unsupported, "%s: %lld x %lld taps of %s are too many", op, static_cast<long long>(r), static_cast<long long>(s), describe(x).text);
  return {};
}

Status check(const Call& call) {
  const TensorView &bias = call.in[4], &residual = call.in[5], &y = call.out[0];
  const int64_t o = call.integer(attr::channels), how = call.integer(attr::activation);
  ACCELNN_CHECK(call.in[0].dtype == DType::f32 && y.dtype == DType::f32 && (residual.absent() || residual.dtype == DType::f32), dtype,
                "conv2d_sparse: f32 image, residual and map expected, not %s -> %s", describe(call.in[0]).text, describe(y).text);
  ACCELNN_CHECK(how >= 0 && how < activation::count_, attribute, "conv2d_sparse: activation %lld is unknown", static_cast<long long>(how));
  ACCELNN_TRY(check_map("conv2d_sparse", call, o, 5));          // y may be the residual's own memory
  ACCELNN_TRY(check_blocks("conv2d_sparse", call.in[1], call.in[2], call.in[3], DType::f32, o));
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("conv2d_sparse", "bias", bias, DType::f32, o));
  ACCELNN_CHECK(residual.absent() || (same_shape(residual, y) && residual.contiguous()), shape, "conv2d_sparse: a residual like the output %s expected, not %s",
                describe(y).text, describe(residual).text);
  ACCELNN_CHECK(residual.absent() || !overlap(residual, y) || same_memory(residual, y), aliasing,
                "conv2d_sparse: the output overlaps the residual without being its own memory");
  return {};
}

Status check_bytes(const Call& call) {
  const TensorView &scale = call.in[5], &bias = call.in[7], &zero = call.in[8], &y = call.out[0];
  const int64_t relu = call.integer(qconv2d_sparse_attr::relu);
  ACCELNN_CHECK(call.in[0].dtype == DType::u8 && (y.dtype == DType::u8 || y.dtype == DType::f32 || y.dtype == DType::i32), dtype,
                "qconv2d_sparse: u8 -> u8, f32 or i32 expected, not %s -> %s", describe(call.in[0]).text, describe(y).text);
  ACCELNN_CHECK((relu | 1) == 1, attribute, "qconv2d_sparse: relu is 0 or 1, not %lld", static_cast<long long>(relu));
  ACCELNN_CHECK(scale.rank == 1, shape, "qconv2d_sparse: scale f32[O] expected, not %s", describe(scale).text);
  const int64_t o = scale.shape[0];
  ACCELNN_TRY(check_map("qconv2d_sparse", call, o, call.n_in));
  ACCELNN_TRY(conv::check_scalar("qconv2d_sparse", "x_zero", call.in[1], DType::u8));
  ACCELNN_TRY(check_blocks("qconv2d_sparse", call.in[2], call.in[3], call.in[4], DType::i8, o));
  ACCELNN_TRY(conv::check_vector("qconv2d_sparse", "scale", scale, DType::f32, o));
  ACCELNN_TRY(conv::check_vector("qconv2d_sparse", "sums", call.in[6], DType::i32, o));
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("qconv2d_sparse", "bias", bias, DType::i32, o));
  if (!zero.absent()) ACCELNN_TRY(conv::check_scalar("qconv2d_sparse", "out_zero", zero, DType::u8));
  else ACCELNN_CHECK(y.dtype != DType::u8, shape, "qconv2d_sparse: a u8 output needs out_zero");
  const SconvProblem p = sconv_problem(call);
  ACCELNN_CHECK(double(p.g.c) * double(p.taps) <= 32768, unsupported, "qconv2d_sparse: more than 32768 products a sum could overflow an int32");
  return {};
}

size_t workspace(const Call& call, const Row& row) { return row.exactness == Exactness::reference ? 0 : sconv_problem(call).work; }

}  // namespace

SconvProblem sconv_problem(const Call& call) {
  SconvProblem p = {};
  p.bytes = call.in[0].dtype == DType::u8;
  p.x_last = call.integer(attr::x_last) != 0;
  p.y_last = call.integer(attr::y_last) != 0;
  const int64_t outputs = p.bytes ? call.in[5].shape[0] : call.integer(attr::channels);
  const TensorView x = channels_first(call.in[0], p.x_last);
  p.g = conv::geometry(call, x, whole_weight(call, x, outputs), channels_first(call.out[0], p.y_last));
  const conv::Geometry& g = p.g;
  p.taps = g.r * g.s;
  p.words = p.bytes ? divide_up(g.c, 4) : g.c;
  p.strips = divide_up(g.o, sconv_strip);
  p.blocks = call.in[p.bytes ? 3 : 2].shape[0];
  p.flat = p.taps == 1 && g.sh == 1 && g.sw == 1 && !g.padded;
  p.direct = p.flat && !p.bytes && !p.x_last;
  if (p.flat) {
    p.lines = divide_up(g.pixels, 56);                  // two tiles of 28
    p.width = divide_up(g.pixels, at_least(p.lines, 1));
    p.lines = divide_up(g.pixels, at_least(p.width, 1));
    p.phases = 1, p.phase = p.width;
    p.pitch = p.direct ? g.pixels : p.width;
    p.line_rows = 1;
    p.rows = p.lines;
  } else {
    p.lines = g.oh, p.width = g.ow;
    p.phases = at_most(g.sw, (g.s - 1) * g.dw + 1);
    p.phase = g.ow + (g.s - 1) * g.dw / g.sw;
    p.pitch = p.phases * p.phase;
    p.line_rows = g.r == 1 ? 1 : g.sh;                  // with one row of taps the rows between are not needed
    p.rows = (g.oh - 1) * p.line_rows + (g.r - 1) * g.dh + 1;
  }
  p.source_rows = g.r == 1 ? g.sh : 1;
  p.row_words = p.direct ? p.width : p.words * p.pitch;
  p.tap_row = g.dh * p.row_words;
  p.image = p.direct ? g.c * g.pixels : at_least(p.rows, 0) * p.row_words;
  p.images = p.direct ? at_least(g.n, 1) : at_least(at_most((int64_t(1) << 18) / at_least(p.image, 1), g.n), 1);       // of 1 MiB: they stay in L2, or in L3
  const int64_t whole = round_up(g.o, sconv_columns);
  p.starts_at = size_t(round_up(p.blocks * 4, 64));
  p.scale_at = p.starts_at + (p.bytes ? size_t(whole) * 4 : 0);
  p.table_at = p.scale_at + (p.bytes ? size_t(whole) * 4 : 0);
  p.image_at = p.table_at + size_t(round_up(p.taps * 4, 64));
  p.work = p.image_at + (p.direct ? 0 : size_t(round_up(p.images * p.image * 4, 64)));
  return p;
}

Status sconv_first(const SconvProblem& p, const int32_t* first) {
  bool ascending = first[0] >= 0 && first[p.strips] <= p.blocks;
  for (int64_t s = 0; s < p.strips; s++) ascending = ascending && first[s] <= first[s + 1];
  ACCELNN_CHECK(ascending, format, "%s: `first` does not ascend within 0..%lld: the weights are corrupt", p.bytes ? "qconv2d_sparse" : "conv2d_sparse",
                static_cast<long long>(p.blocks));
  return {};
}

const Op op_conv2d_sparse = {"conv2d_sparse", conv2d_sparse_attrs, conv2d_sparse_attr::count_, 4, 6, 1, check, refuse_nothing, workspace};
const Op op_qconv2d_sparse = {"qconv2d_sparse", qconv2d_sparse_attrs, qconv2d_sparse_attr::count_, 7, 9, 1, check_bytes, refuse_nothing, workspace};

}  // namespace accelnn
