#include "qconv/qconv2d_packed.h"
#include "qconv/tiles.h"

#define ACCELNN_OP qconv2d_packed
#define ACCELNN_TABLE "qconv/qconv2d_packed.inc"
#include "define_op.h"

namespace accelnn {

static_assert(int(qconv2d_packed_attr::groups) == int(conv::groups), "geometry.h reads the common attributes by slot");
using conv::at_least;
using conv::at_most;
using conv::divide_up;
using conv::round_up;

namespace {

// A map as [N, C, H, W], whatever its order in memory: geometry.h asks for the shape alone.
TensorView channels_first(const TensorView& v, bool channels_last) {
  TensorView t = v;
  if (channels_last && v.rank == 4) t.shape[1] = v.shape[3], t.shape[2] = v.shape[1], t.shape[3] = v.shape[2];
  t.set_contiguous();
  return t;
}
TensorView plain_weight(const Call& call, const TensorView& x) {
  TensorView t = call.in[2];
  const int64_t groups = call.integer(conv::groups);
  t.rank = 4;
  t.shape[0] = call.in[3].shape[0];
  t.shape[1] = groups > 0 ? x.shape[1] / groups : 0;
  t.shape[2] = call.integer(qconv2d_packed_attr::kernel_h);
  t.shape[3] = call.integer(qconv2d_packed_attr::kernel_w);
  t.set_contiguous();
  t.data = nullptr;
  return t;
}

// A window as pieces, and the panels of its weights; the contract.
void cut_window(QconvProblem& p) {
  const conv::Geometry& g = p.g;
  p.depthwise = g.groups > 1 && g.groups == g.c && g.groups == g.o;
  const bool rows = p.depthwise || (g.groups == 1 && g.dw == 1);
  p.pieces_h = g.r;
  p.pieces_w = rows ? 1 : g.s;
  p.piece = p.depthwise ? g.s : rows ? g.s * g.c
                                     : g.cg;
  p.quads = p.pieces_h * p.pieces_w * divide_up(p.piece, 4);
  p.panels = divide_up(p.depthwise ? g.c : g.og, 16);
}

Status check(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[2], &scale = call.in[3], &bias = call.in[4], &zero = call.in[5], &y = call.out[0];
  ACCELNN_CHECK(x.dtype == DType::u8 && w.dtype == DType::i8 && (y.dtype == DType::u8 || y.dtype == DType::f32 || y.dtype == DType::i32), dtype,
                "qconv2d_packed: u8 by i8 -> u8, f32 or i32 expected, not %s by %s -> %s", name_of(x.dtype), name_of(w.dtype), name_of(y.dtype));
  const int64_t relu = call.integer(qconv2d_packed_attr::relu), x_last = call.integer(qconv2d_packed_attr::x_last);
  const int64_t y_last = call.integer(qconv2d_packed_attr::y_last);
  const int64_t r = call.integer(qconv2d_packed_attr::kernel_h), s = call.integer(qconv2d_packed_attr::kernel_w);
  ACCELNN_CHECK((relu | 1) == 1 && (x_last | 1) == 1 && (y_last | 1) == 1, attribute,
                "qconv2d_packed: relu, x_last and y_last are 0 or 1, not %lld, %lld and %lld",
                static_cast<long long>(relu), static_cast<long long>(x_last), static_cast<long long>(y_last));
  ACCELNN_CHECK(r >= 1 && s >= 1 && r < 32768 && s < 32768, attribute, "qconv2d_packed: a window of %lld x %lld", static_cast<long long>(r),
                static_cast<long long>(s));
  ACCELNN_CHECK(scale.dtype == DType::f32 && scale.rank == 1, shape, "qconv2d_packed: scale f32[O] expected, not %s", describe(scale).text);
  ACCELNN_CHECK(x.contiguous() && y.contiguous() && w.contiguous(), shape, "qconv2d_packed: contiguous operands expected");
  const TensorView x1 = channels_first(x, x_last), y1 = channels_first(y, y_last);
  ACCELNN_TRY(conv::check("qconv2d_packed", call, x1, plain_weight(call, x1), y1));
  ACCELNN_TRY(conv::check_scalar("qconv2d_packed", "x_zero", call.in[1], DType::u8));
  ACCELNN_TRY(conv::check_vector("qconv2d_packed", "scale", scale, DType::f32, y1.shape[1]));
  if (!bias.absent()) ACCELNN_TRY(conv::check_vector("qconv2d_packed", "bias", bias, DType::i32, y1.shape[1]));
  if (!zero.absent()) ACCELNN_TRY(conv::check_scalar("qconv2d_packed", "out_zero", zero, DType::u8));
  else ACCELNN_CHECK(y.dtype != DType::u8, shape, "qconv2d_packed: a u8 output needs out_zero");
  QconvProblem p = {};
  p.g = conv::geometry(call, x1, plain_weight(call, x1), y1);
  ACCELNN_CHECK(double(p.g.cg) * double(r) * double(s) <= 32768, unsupported, "qconv2d_packed: more than 32768 products a sum could overflow an int32");
  cut_window(p);
  const int64_t panels = p.depthwise ? p.panels : p.panels * p.g.groups;
  ACCELNN_CHECK(w.rank == 3 && w.shape[0] == panels && w.shape[1] == p.quads + 1 && w.shape[2] == 64, shape,
                "qconv2d_packed: packed weights [%lld, %lld, 64] expected, not %s", static_cast<long long>(panels), static_cast<long long>(p.quads + 1),
                describe(w).text);
  const double real = double(x.count()) + double(y.count());
  const double bordered = double(p.g.c) * double(p.g.w + p.g.left + p.g.right) * double(p.g.h + p.g.top + p.g.bottom);
  ACCELNN_CHECK(bordered <= 0x1p26 + 16 * real && real < 0x1p50, unsupported, "qconv2d_packed: the padding is out of proportion to the image %s",
                describe(x).text);
  return {};
}

size_t workspace(const Call& call, const Row& row) { return row.exactness == Exactness::reference ? 0 : qconv_problem(call).bytes; }

// Against onnxruntime's QLinearConv, channels last, one thread: 1.45 and 1.43 by F(4,3) (64x56x56, 128x28x28), 2.3 the 7x7 first layer, 2.8 depthwise,
// but 1.02 to 1.11 where both are direct sums at 83 to 98 % of what VNNI can do (256x14x14, 512x7x7, 1x1). What could be less work there: F(4,3) covers
// 14 x 14 with 16 tiles, 27 against 25 cycles a channel and output by the estimate below (192x14x14 measured: 333 against 283 us); F(2,3) in 16 bits is 32
// instructions against 36 before its transforms; above 227 channels F(4,3) would need its sums in two halves.
// 64 -> 256 by 1x1 stays at 83 % (383 GOP/s), the same at 14x14, 28x28 and 56x56: it is not memory but 13 cycles for every 64 outputs that are finished, which
// do not overlap with the next tile's products. Tried: tiles of 6, 5, 4, 3 pixels 273, 281, 277, 286 us for 268; each row finished by itself 268. Alone, tiles
// of 4 pixels run at 472 GOP/s without a finish and 408 with it; vpmovusdb for the packs, or no prefetch, gained at most 6 % in a loop that gcc spilled.
// F(4,3) with 16-bit products: half as many instructions as the direct sum, plus transforms (a third of the products) and the filters' (3.5 cycles each).
// In cycles for a channel and an output: 1.46 a tile against 9 / 64 a pixel.
bool plan_winograd(QconvProblem& p) {
  const conv::Geometry& g = p.g;
  const bool fits = !p.depthwise && g.groups == 1 && g.r == 3 && g.s == 3 && g.sh == 1 && g.sw == 1 && g.dh == 1 && g.dw == 1;
  if (!fits || g.c % 4 || g.c < 32 || g.c > 227 || g.o < 32) return false;
  p.tiles_w = divide_up(g.ow, 4);
  p.tiles = p.tiles_w * divide_up(g.oh, 4);
  // One part on one thread: 64 x 16 x 16 took 44.5 us, the direct sum 46.4, which two threads share.
  if (g.n * p.tiles <= 28 && g.o <= qconv_columns) return false;
  return double(g.n) * double(p.tiles) * 1.46 + 3.5 < 0.9 * double(g.n) * double(g.pixels) * 9 / 64;
}

}  // namespace

QconvProblem qconv_problem(const Call& call) {
  QconvProblem p = {};
  p.x_last = call.integer(qconv2d_packed_attr::x_last) != 0;
  p.y_last = call.integer(qconv2d_packed_attr::y_last) != 0;
  const TensorView x = channels_first(call.in[0], p.x_last);
  p.g = conv::geometry(call, x, plain_weight(call, x), channels_first(call.out[0], p.y_last));
  cut_window(p);
  const conv::Geometry& g = p.g;
  p.columns = round_up(p.panels * 16, qconv_columns);
  p.flat = g.r == 1 && g.s == 1 && g.sh == 1 && g.sw == 1 && !g.padded;
  p.strips = p.depthwise && g.r == 3 && g.s == 3 && g.dh == 1 && g.dw == 1 && g.sh <= 2 && g.sw <= 2 && call.out[0].dtype == DType::u8;
  p.winograd = plan_winograd(p);
  p.copy = g.padded || !p.x_last || p.depthwise || p.piece % 4 != 0 || p.winograd;
  const int64_t width = g.left + g.w + g.right, tiled = p.winograd ? 4 * p.tiles_w + 2 : 0;      // whole tiles are read
  p.rows = g.top + g.h + g.bottom;
  if (p.winograd) p.rows = at_least(p.rows, 4 * (p.tiles / p.tiles_w) + 2);
  p.row = at_least(width, tiled) * g.c;
  p.image = p.rows * p.row;
  p.images = at_least(at_most((int64_t(1) << 20) / at_least(p.image, 1), g.n), 1);       // beside the weights in L2, or at least in L3
  p.lines = p.flat ? divide_up(g.pixels, 56) : g.oh;
  p.line = p.flat ? divide_up(g.pixels, at_least(p.lines, 1)) : g.ow;
  // Bands of about 512 pixels, whose bytes wait in L1 for their order; columns are cut too where a map is small.
  const int64_t groups = p.depthwise ? 1 : g.groups, tiles = p.columns / qconv_columns;
  p.bands = divide_up(g.pixels, 512);
  p.bands = at_least(at_most(p.bands > 1 ? round_up(p.bands, 4) : 1, p.lines), 1);
  if (p.images * groups * p.bands * tiles == 1 && g.pixels >= 64) p.bands = at_least(at_most(4, p.lines), 1);      // else one thread would do all
  p.column_parts = at_least(at_most(divide_up(8, at_least(p.images * groups * p.bands, 1)), tiles), 1);
  p.scale_at = size_t(groups * p.columns * 4);
  p.weights_at = 2 * p.scale_at;
  p.image_at = p.weights_at + (p.depthwise ? size_t(p.columns * divide_up(g.r, 4) * g.s * 4) : 0);
  p.slice_at = p.image_at + (p.copy ? size_t(round_up(p.images * p.image, 64)) + 128 : 0);      // whole vectors are read
  if (p.winograd) {
    p.blocks = divide_up(p.tiles, 28);       // 28 tiles: their points, their sums and a point's weights stay in L2
    p.blocks = p.blocks > 1 ? round_up(p.blocks, 2) : 1;
    p.block = divide_up(p.tiles, p.blocks);
    p.column_parts = p.images * p.blocks > 1 ? 1 : at_most(4, tiles);
    p.parts = at_most(p.images * p.blocks * p.column_parts, conv::most_parts);
    p.tile_row = round_up(g.c, 32) * 2 + 64;             // no two tiles of a register tile in one set of L1
    p.slice = size_t(36 * p.block * (p.tile_row + qconv_columns * 4));
    p.bytes = p.slice_at + size_t(p.parts) * p.slice + size_t(p.panels * 36 * (g.c / 2) * 64);
  } else {
    p.bytes = p.slice_at;
  }
  p.turn_back = (p.winograd || p.strips) && !p.y_last && call.out[0].dtype == DType::u8;
  p.map_at = p.bytes;
  if (p.turn_back) p.bytes += size_t(round_up(p.images * g.o * g.pixels, 64));
  return p;
}

const Op op_qconv2d_packed = {"qconv2d_packed", qconv2d_packed_attrs, qconv2d_packed_attr::count_, 4, 6, 1, check, refuse_nothing, workspace};

}  // namespace accelnn
