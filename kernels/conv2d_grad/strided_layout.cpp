// Gradients of 3x3 at a stride of 2 by the F(4,2) of its phases: what pays, and how it is cut.
#include "conv2d_grad/cut.h"

namespace accelnn {
namespace conv_grad {

using conv::group_pixels;
using conv::most_parts;

namespace {

constexpr int64_t outputs = 4, strided_points = 25, planes = 81;

// Rows an odd number of cache lines apart: of each, a product of wgrad reads two lines, which would fall on few of L1's sets (1 to 3 %).
int64_t apart(int64_t n) { return round_up(n, group_pixels) / group_pixels % 2 ? round_up(n, group_pixels) : round_up(n, group_pixels) + group_pixels; }

WinogradLayout strips_of(const Geometry& g, int64_t th, int64_t tw, int64_t numbers) {
  WinogradLayout l = {};
  l.g = g;
  l.x_image = times(g.c, g.h * g.w), l.y_image = times(g.o, g.pixels);
  l.th = th, l.tw = tw, l.strips = times(g.n, th);
  // `numbers` of a tile's transforms, near L2; enough tiles to pay for the sums or weights that every chunk goes through once more.
  const int64_t fit = (int64_t(2) << 20) / at_least(times(times(tw, numbers), 4), 1);
  l.chunk = at_least(at_most(at_least(fit, divide_up(128, tw)), l.strips), 1);
  l.y_row = apart(g.o);
  l.y_plane = spread(times(l.chunk * tw, l.y_row));
  return l;
}

void finish(WinogradLayout& l, const Cut& shared, const Cut& slice) {
  l.part = shared.at;
  l.slice = slice.at;
  l.bytes = size_t(plus(shared.at, times(l.parts, slice.at)));
}

}  // namespace

// As by_winograd counts: 81 products a tile for a pair of channels, the pair's weights, and 50 cycles for a channel's tile.
bool by_strided(const Geometry& g, bool exact) {
  const bool fits = g.r == 3 && g.s == 3 && g.sh == 2 && g.sw == 2 && g.dh == 1 && g.dw == 1 && g.top == 1 && g.left == 1 && g.groups == 1;
  if (exact || !fits || g.c < 16 || g.o < 16) return false;
  const int64_t tiles = times(g.n, times(divide_up(g.oh, outputs), divide_up(g.ow, outputs)));
  const int64_t pair = plus(times(tiles, planes), 1000), rest = times(tiles, 800) / g.c + times(tiles, 800) / g.o;
  return plus(pair, rest) < times(times(g.n, g.pixels), 9);
}

WinogradLayout strided_dgrad_layout(const Geometry& g) {
  WinogradLayout l = strips_of(g, divide_up(g.h, 2 * outputs), divide_up(g.w, 2 * outputs), times(strided_points, g.o));
  const int64_t panels = divide_up(g.c, panel_width);
  l.width = l.tw * outputs + 1;
  l.block = at_most(at_least(28 / at_least(l.tw, 1), 1), l.chunk);
  l.blocks = at_least(at_most(divide_up(most_parts, at_least(panels, 1)), l.chunk * l.tw / 96), 1);
  l.parts = at_most(at_least(times(panels, l.blocks), l.chunk), most_parts);
  Cut shared, slice;
  l.v_y = shared.take_floats(times(l.y_plane, strided_points));
  // The rows of dy on the way in, or those of a block on the way out.
  slice.take_floats(at_least(times((outputs + 1) * l.width, l.y_row), times(times(l.block * 2 * outputs, l.tw * 2 * outputs), panel_width)));
  l.panel = slice.take_floats(times(times(planes, g.o), panel_width));
  l.p_plane = spread(l.block * l.tw * panel_width);
  l.products = slice.take_floats(times(l.p_plane, planes));
  finish(l, shared, slice);
  return l;
}

WinogradLayout strided_wgrad_layout(const Geometry& g) {
  const int64_t channels = round_up(g.c, group_pixels);
  WinogradLayout l = strips_of(g, divide_up(g.oh, outputs), divide_up(g.ow, outputs), plus(times(strided_points, g.o), times(planes, g.c)));
  l.width = l.tw * 2 * outputs + 1;
  l.x_row = apart(times(4, channels));
  l.x_plane = spread(times(l.chunk * l.tw, l.x_row));
  l.o_blocks = out_blocks(g.o, strided_points);
  l.parts = at_most(most_parts, at_least(times(l.o_blocks, strided_points), l.chunk));
  Cut shared, slice;
  l.v_x = shared.take_floats(times(l.x_plane, strided_points));
  l.v_y = shared.take_floats(times(l.y_plane, strided_points));
  l.products = shared.take_floats(times(times(planes, g.o), channels));
  slice.take_floats(at_least(times(9 * l.width, channels), times(outputs * outputs * l.tw, l.y_row)));
  finish(l, shared, slice);
  return l;
}

}  // namespace conv_grad
}  // namespace accelnn
