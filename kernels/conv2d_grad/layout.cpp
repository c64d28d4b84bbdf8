#include "conv2d_grad/cut.h"
#include "conv2d_grad/layout.h"

namespace accelnn {
namespace conv_grad {

namespace {

using conv::group_pixels;
using conv::most_parts;

constexpr int64_t widest_columns = 32;

}  // namespace

// Tap r gives pixel h the output (h + pad - r dilation) / stride, where that is whole.
Border border(int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation) {
  Border b;
  b.before = at_least(((kernel - 1) * dilation - pad) / stride, 0);
  b.after = at_least((size - 1 + pad) / stride - (out - 1), 0);
  b.phases = at_most(stride, size);
  b.reach = (stride - 1 + pad) / stride;
  return b;
}

bool strided_depthwise(const Geometry& g) {
  return g.cg == 1 && g.og == 1 && g.r == 3 && g.s == 3 && g.sh == 2 && g.sw == 2 && g.dh == 1 && g.dw == 1 && g.top == 1 && g.left == 1;
}

DgradLayout dgrad_layout(const Geometry& g) {
  DgradLayout l = {};
  l.v = border(g.h, g.oh, g.r, g.sh, g.top, g.dh);
  l.h = border(g.w, g.ow, g.s, g.sw, g.left, g.dw);
  l.few = g.cg <= few && g.sw <= 2;
  l.copy = !strided_depthwise(g) && (l.few || l.v.before || l.v.after || l.h.before || l.h.after || (g.sw == 2 && g.w % 2));
  l.pitch = plus(plus(l.h.before, g.ow), l.h.after);
  if (l.few) l.pitch = round_up(l.pitch, widest_lanes);      // a third of a depthwise kernel's loads keep to one line
  // Columns of zeros that are computed and thrown away, against 4 cycles to pack 16 pixels of a tap that then meet cg weights.
  const int64_t wide = divide_up(g.w, g.sw);
  l.packed = g.cg >= 32 && times(l.pitch - wide, g.cg) > times(wide, 5);
  // A band of dy stays in L2 while the tiles run over it; two output rows are the least that makes sense.
  const int64_t all = divide_up(g.h, g.sh), overlap = plus(l.v.before, l.v.reach);
  const int64_t fit = (int64_t(384) << 10) / at_least(times(times(g.og, l.pitch), 4), 1) - overlap;
  l.bands = at_least(divide_up(all, at_least(fit, 4)), 1);
  // Where nothing is copied, bands are for threads alone: each would copy the weights again (a fifth of the time at 512 outputs).
  if (!l.copy && !l.few) l.bands = at_least(at_most(divide_up(most_parts, at_least(times(g.n * g.groups, at_least(g.cg / 56, 1)), 1)), all), 1);
  l.band = at_least(divide_up(all, l.bands), 1);
  l.bands = divide_up(all, l.band);
  l.rows = l.copy ? plus(l.band, overlap) : g.oh;
  l.plane = l.copy ? times(l.rows, l.pitch) : g.pixels;
  const int64_t units = times(g.n * g.groups, l.bands), most = at_least(g.cg / 56, 1);
  l.blocks = units >= most_parts ? 1 : at_most(divide_up(most_parts, at_least(units, 1)), most);
  l.block = divide_up(g.cg, at_least(l.blocks, 1));
  l.blocks = divide_up(g.cg, at_least(l.block, 1));
  l.margin = plus(widest_pixels, l.few ? times(l.pitch, most_rows_of_pixels) : 0);
  Cut slice;
  slice.take(l.copy ? times(plus(times(g.og, l.plane), l.margin), 4) : 0);
  l.taps = slice.take(g.r * g.s * 3 * int64_t(sizeof(int64_t)));
  const int64_t panel = l.packed ? widest_columns : l.copy ? 0
                                                           : widest_pixels;
  l.panel = slice.take(times(times(g.og, g.r * g.s), panel * 4));
  l.sums = slice.take((tile_floats * 2 + widest_lanes) * 4);      // a vector that begins inside is read whole
  l.weights = slice.take(!l.few && g.r * g.s == 1 ? times(times(l.block, g.og), 4) : 0);
  l.slice = slice.at;
  l.parts = at_most(times(units, l.blocks), most_parts);
  l.bytes = size_t(times(l.parts, l.slice));
  return l;
}

LastLayout last_layout(const Geometry& g, bool exact) {
  LastLayout l = {};
  Geometry& t = l.g;
  t = g;
  t.c = g.o, t.h = g.oh, t.w = g.ow, t.o = g.c, t.oh = g.h, t.ow = g.w, t.pixels = g.h * g.w;
  t.top = (g.r - 1) * g.dh - g.top, t.bottom = (g.r - 1) * g.dh - g.bottom;
  t.left = (g.s - 1) * g.dw - g.left, t.right = (g.s - 1) * g.dw - g.right;
  t.cg = g.og, t.og = g.cg, t.k = times(g.og, g.r * g.s);
  t.padded = t.top || t.bottom || t.left || t.right;
  const int64_t seen = times(g.n, t.pixels);
  const bool can = g.sh == 1 && g.sw == 1 && t.top >= 0 && t.bottom >= 0 && t.left >= 0 && t.right >= 0 && g.cg >= 16 && g.og >= 16 &&
      (g.groups == 1 || g.cg % group_pixels == 0);
  // Large kernels gain (7x7: 111 instead of 94, 5x3: 109 instead of 104), small ones nothing or less (three taps in a row: 97 instead of 105).
  const bool large = g.r > 1 && g.s > 1 && g.r * g.s >= 15 && seen >= 400;
  l.fits = can && large && !by_winograd(g, g.h, g.w, exact);
  if (!l.fits) return l;
  const conv::PackedShape p = conv::packed_shape(conv::panels, t.o, t.cg, t.r, t.s, t.groups);
  Cut cut;
  l.weights = cut.take(times(times(g.o, g.k), 4));
  l.image = cut.take(times(times(g.n, g.o), g.pixels * 4));
  l.packed = cut.take(times(times(p.panels, p.taps), 64));
  l.result = cut.take(times(seen, g.c * 4));
  l.inner = cut.at;
  l.bytes = size_t(plus(cut.at, int64_t(conv::direct_plan(t).bytes)));
  return l;
}

namespace {
// Shares of the peak. The product transposes dy (a cycle an element, for K / 16 of arithmetic) and gathers columns (4 cycles for 16 pixels, for as many as
// there are outputs); walking rows wastes the lanes behind a row's end. Measured: product 46 GFLOP/s at K = 9, O = 32; 92 at K = 147, O = 64.
bool by_rows(const Geometry& g) {
  const int64_t product = 100 * g.k / (g.k + 16) * g.og / (round_up(g.og, widest_lanes) + 4);
  const int64_t rows = (g.og >= 4 ? 85 : 25 + 15 * g.og) * g.ow / round_up(g.ow, widest_lanes);
  return rows > product;
}

}  // namespace

Geometry as_points(const Geometry& g) {
  if (!conv::windows_apart(g)) return g;
  Geometry t = g;
  t.c = t.cg = g.k, t.h = g.oh, t.w = g.ow, t.r = t.s = t.sh = t.sw = 1;
  return t;
}

ApartLayout apart_layout(const Geometry& g) {
  ApartLayout l = {};
  const int64_t blocks = times(divide_up(g.k, panel_width), g.n);
  l.bands = blocks < most_parts ? most_parts : 1;
  l.parts = at_most(times(blocks, l.bands), most_parts);
  Cut slice;
  slice.take(times(g.o, panel_width * 4));
  l.sums = slice.take(tile_floats * 4);
  l.slice = slice.at;
  l.bytes = size_t(times(l.parts, l.slice));
  return l;
}

WgradWay wgrad_way(const Geometry& g, bool exact) {
  if (by_winograd(g, g.oh, g.ow, exact)) return WgradWay::winograd;
  if (by_strided(g, exact)) return WgradWay::strided;
  if (conv::windows_apart(g)) return WgradWay::points;
  const bool many = g.cg >= group_pixels && g.og >= 4;        // channels for the lanes, outputs to share them
  if (many && g.r * g.s == 1 && !g.padded) return WgradWay::points;
  // For 1x1 turning both operands costs too much (63 against 78 GFLOP/s at 56x56, 64 to 256 channels).
  if (many && g.r * g.s > 1) return WgradWay::outer;
  return by_rows(g) ? WgradWay::rows : WgradWay::product;
}

RowsLayout rows_layout(const Geometry& g) {
  RowsLayout l = {};
  l.copy = g.padded || g.sw > 1;
  l.pitch = l.copy ? round_up(divide_up(plus(plus(g.left, g.w), g.right), g.sw), widest_lanes) : g.w;
  l.row = times(l.pitch, g.sw);
  // A few thousand multiply-adds between loading the sums and storing them; the copied rows stay in L2.
  l.band = at_most(g.oh, at_least(divide_up(192, divide_up(g.ow, widest_lanes)), 1));
  const int64_t window = (g.r - 1) * g.dh + 1;
  const int64_t fit = ((int64_t(256) << 10) / at_least(times(times(g.cg, l.row), 4), 1) - window) / g.sh;
  l.band = at_least(at_most(l.band, fit), at_most(g.oh, 4));
  l.bands = divide_up(g.oh, l.band);
  l.plane = l.copy ? times(plus(times(l.band - 1, g.sh), window), l.row) : g.h * g.w;
  l.blocks = at_least(at_most(divide_up(most_parts, g.groups), g.og / 4), 1);
  l.block = round_up(divide_up(g.og, l.blocks), 4);
  l.blocks = divide_up(g.og, l.block);
  l.images = at_least(at_most(g.n, most_parts / at_least(times(g.groups, l.blocks), 1)), 1);
  l.units = times(times(g.groups, l.blocks), l.images);
  l.parts = at_most(l.units, most_parts);
  Cut shared, slice;
  l.taps = shared.take(times(g.k, 8));
  l.partial = shared.take(l.images > 1 ? times(times(l.images, g.o), times(g.k, 4)) : 0);
  l.part = shared.at;
  slice.take(l.copy ? times(times(g.cg, l.plane), 4) : 0);
  l.sums = slice.take(times(times(l.block, g.k), widest_lanes * 4));
  l.slice = slice.at;
  l.bytes = size_t(plus(shared.at, times(l.parts, slice.at)));
  return l;
}

OuterLayout outer_layout(const Geometry& g) {
  OuterLayout l = {};
  l.width = plus(times(g.ow - 1, g.sw), (g.s - 1) * g.dw + 1);
  l.x_pixel = spread(round_up(g.c, group_pixels)), l.y_pixel = spread(round_up(g.o, group_pixels));
  const auto seen = [&](int64_t rows) { return plus(times(rows - 1, g.sh), (g.r - 1) * g.dh + 1); };
  const auto bytes = [&](int64_t rows) { return plus(times(times(seen(rows), l.width), l.x_pixel * 4), times(rows * g.ow, l.y_pixel * 4)); };
  // Images that are turned together. Each time all sums are gone through again: small ones leave the images in L2. (Writing dw each time instead: 61, not 88
  // GFLOP/s, of 48 to 32 channels, 16x16 at a stride of 2.)
  const bool small = times(g.o, g.k) < 65536;
  const int64_t near = small ? int64_t(1) << 20 : int64_t(4) << 20, image = at_least(bytes(g.oh), 1);
  l.images = at_least(at_most(g.n, near / image), 1);
  // Of larger images as many rows as leave L2 room for the sums.
  l.strips = small && image > near ? at_most(divide_up(image, near / 2), g.oh) : 1;
  l.strip = divide_up(g.oh, l.strips);
  l.strips = divide_up(g.oh, l.strip);
  l.height = seen(l.strip);
  const int64_t x = times(times(l.height, l.width), l.x_pixel * 4), y = times(l.strip * g.ow, l.y_pixel * 4);
  // Pixels of a block, up to eight lines each, that stay in L2 over all taps.
  l.band = at_most(at_least(512 / g.ow, 1), l.strip);
  l.c_block = channel_block(g);
  const int64_t others = times(g.groups, divide_up(g.cg, l.c_block));
  l.o_blocks = out_blocks(g.og, others);
  const int64_t units = times(l.o_blocks, others), taps = g.r * g.s;
  l.parts = at_most(units, most_parts);
  l.unit = round_up(times(times(taps, divide_up(g.og, l.o_blocks)), l.c_block * 4), 64);
  Cut shared, slice;
  l.x = shared.take(times(l.images, x));
  l.y = shared.take(times(l.images, y));
  shared.take(panel_width * 4);                     // what the last panel reads beyond the last pixel
  l.kept = l.images < g.n || l.strips > 1;
  slice.take(times(taps, l.c_block * 4));           // dw of one output, turned
  l.sums = l.kept ? shared.take(times(units, l.unit)) : slice.take(l.unit);
  l.part = shared.at;
  l.slice = slice.at;
  l.bytes = size_t(plus(shared.at, times(l.parts, l.slice)));
  return l;
}

PointsLayout points_layout(const Geometry& g) {
  PointsLayout l = {};
  l.panels = divide_up(g.cg, group_pixels);
  const int64_t image = times(times(g.groups, l.panels), times(g.pixels, group_pixels * 4));
  // Turned once for all of a small dw's tiles, they stay in L2.
  const int64_t near = times(g.o, g.cg) <= 65536 ? int64_t(512) << 10 : int64_t(4) << 20;
  l.images = at_least(at_most(g.n, near / at_least(image, 1)), 1);
  l.block = divide_up(g.pixels, divide_up(g.pixels, 512));
  l.row = round_up(l.block, group_pixels) + group_pixels;
  l.parts = at_most(times(g.groups, divide_up(g.og, 4)), most_parts);
  Cut shared;
  l.x = shared.take(times(l.images, image));
  l.part = shared.at;
  l.slice = most_outs * l.row * 4;
  l.bytes = size_t(plus(shared.at, times(l.parts, l.slice)));
  return l;
}

WgradLayout wgrad_layout(const Geometry& g) {
  WgradLayout l = {};
  l.channels = at_least(at_most(256 / (g.r * g.s), g.cg), 1);
  const int64_t rows = l.channels * g.r * g.s, blocks = g.groups * divide_up(g.cg, l.channels);
  l.band = conv::band(g, at_most(at_least(65536 / rows, 64), 1024), false);
  l.columns = round_up(l.band.rows * g.ow, group_pixels);
  if (l.columns % 1024 == 0) l.columns += group_pixels;      // rows 4096 bytes apart would share L1 sets
  l.images = at_least(at_most(g.n, most_parts / at_least(blocks, 1)), 1);
  const int64_t o16 = round_up(g.og, group_pixels);
  Cut shared, slice;
  l.taps = shared.take(rows * 8);
  l.lanes = shared.take(times(l.band.groups16, sizeof(conv::Lanes)));
  l.turned = shared.take(times(times(l.images * g.groups, g.k), o16 * 4));
  l.plane = slice.take(l.band.copy ? times(times(l.channels, l.band.plane), 4) : 0);
  l.panel = slice.take(times(l.columns, o16 * 4));
  l.sums = slice.take(times(l.columns, rows * 4));
  l.parts = at_most(times(blocks, l.images), most_parts);
  l.part = shared.at;
  l.slice = slice.at;
  l.bytes = size_t(plus(shared.at, times(l.parts, slice.at)));
  return l;
}

}  // namespace conv_grad
}  // namespace accelnn
