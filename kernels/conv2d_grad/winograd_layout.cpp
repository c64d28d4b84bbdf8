// Both gradients by Winograd: what pays, and how it is cut.
#include "conv2d_grad/cut.h"

namespace accelnn {
namespace conv_grad {

namespace {

using conv::group_pixels;
using conv::most_parts;

// Tiles along a side: every d-th pixel is a row of its own.
int64_t tiles_along(int64_t size, int64_t dilation, int64_t m) { return times(dilation, divide_up(divide_up(size, dilation), m)); }

}  // namespace

// Cycles of 16 multiply-adds for a pair of channels: 36 products a tile, the pair's weights, and what transforming a channel's tiles costs (20 cycles, or 25
// for a 5x5's, which are turned more often), shared by all that it meets; against a product a tap and pixel. Few tiles would be spent on the weights: 4
// (7x7) are slower, 16 (14x14) 1.5 times faster.
bool by_winograd(const Geometry& g, int64_t h, int64_t w, bool exact) {
  if (exact || g.r != g.s || (g.r != 3 && g.r != 5) || g.sh != 1 || g.sw != 1 || g.cg < 16 || g.og < 16) return false;
  const int64_t m = seen + 1 - g.r, tiles = times(g.n, times(tiles_along(h, g.dh, m), tiles_along(w, g.dw, m)));
  const int64_t pair = plus(times(tiles, points), g.r == 3 ? 320 : 640), rest = times(tiles, 320) / g.cg + times(tiles, 320) / g.og;
  return plus(pair, rest) < times(times(g.n, g.pixels), g.r * g.s);
}

namespace {
WinogradLayout strips_of(const Geometry& g, int64_t h, int64_t w, bool both) {
  WinogradLayout l = {};
  l.g = g;
  l.g.groups = 1, l.g.c = g.cg, l.g.o = g.og;
  l.x_image = times(g.c, g.h * g.w), l.y_image = times(g.o, g.pixels);
  const int64_t m = seen + 1 - g.r, channels = g.og + (both ? g.cg : 0);
  l.th = tiles_along(h, g.dh, m), l.tw = tiles_along(w, g.dw, m);
  l.strips = times(g.n, l.th);
  // Transforms near L2 (8 MiB of them: 139 instead of 257 GFLOP/s), and long enough to pay for the weights, which are transformed once a chunk.
  const int64_t near = int64_t(g.groups == 1 ? 2 : 1) << 20, least = divide_up(128, l.tw);
  const int64_t fit = near / at_least(times(times(l.tw, channels), points * 4), 1);
  l.chunk = at_least(at_most(at_least(fit, least), l.strips), 1);
  l.width = plus(times(l.tw, m), times(seen - m, g.dw));
  l.x_row = spread(round_up(g.cg, group_pixels)), l.y_row = spread(round_up(g.og, group_pixels));
  l.x_plane = spread(times(l.chunk * l.tw, l.x_row)), l.y_plane = spread(times(l.chunk * l.tw, l.y_row));
  l.shares = at_most(g.groups, most_parts);
  return l;
}

void finish(WinogradLayout& l, const Cut& shared, const Cut& slice) {
  l.part = shared.at;
  l.slice = slice.at;
  l.share = plus(shared.at, times(l.parts, slice.at));
  l.bytes = size_t(times(l.shares, l.share));
}
}  // namespace

WinogradLayout dgrad_winograd_layout(const Geometry& g) {
  WinogradLayout l = strips_of(g, g.h, g.w, false);
  const int64_t m = seen + 1 - g.r, panels = divide_up(g.cg, panel_width);
  l.block = at_most(at_least(28 / l.tw, 1), l.chunk);
  l.blocks = g.groups > 1 ? 1 : at_least(at_most(divide_up(most_parts, panels), l.chunk * l.tw / 96), 1);
  l.parts = g.groups > 1 ? 1 : at_most(at_least(times(panels, l.blocks), l.chunk), most_parts);
  // Weights that meet all of a unit's tiles at once need not stay: 64 outputs of them leave L2 to themselves, 256 would not fit.
  l.depth = divide_up(l.chunk, l.blocks) <= l.block ? at_most(g.og, 64) : g.og;
  Cut shared, slice;
  l.v_y = shared.take(times(l.y_plane, points * 4));
  // The row of pixels on the way in, or those of a block on the way out: never both.
  slice.take(at_least(times(times(seen * l.width, l.y_row), 4), times(times(l.block * m, l.tw * m), panel_width * 4)));
  l.panel = slice.take(times(points * l.depth, panel_width * 4));
  l.p_plane = spread(l.block * l.tw * panel_width);
  l.products = slice.take(times(l.p_plane, points * 4));
  finish(l, shared, slice);
  return l;
}

WinogradLayout wgrad_winograd_layout(const Geometry& g) {
  WinogradLayout l = strips_of(g, g.oh, g.ow, true);
  l.c_block = channel_block(g);
  const int64_t c_blocks = divide_up(g.cg, l.c_block);
  l.o_blocks = g.groups > 1 ? divide_up(g.og, 3 * most_outs) : out_blocks(g.og, c_blocks);
  const int64_t units = times(l.o_blocks, c_blocks);
  l.parts = g.groups > 1 ? 1 : at_most(most_parts, at_least(units, l.chunk));
  l.p_plane = spread(divide_up(g.og, l.o_blocks) * l.c_block);
  l.unit = times(l.p_plane, points * 4);
  l.kept = times(units, l.unit) <= int64_t(2) << 20;
  Cut shared, slice;
  l.v_x = shared.take(times(l.x_plane, points * 4));
  l.v_y = shared.take(times(l.y_plane, points * 4));
  slice.take(times(times(seen * l.width, at_least(l.x_row, l.y_row)), 4));
  l.products = l.kept ? shared.take(times(units, l.unit)) : slice.take(l.unit);
  finish(l, shared, slice);
  return l;
}

}  // namespace conv_grad
}  // namespace accelnn
