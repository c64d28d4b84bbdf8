// How much of a convolution is done at a time: from shapes alone, the same for every row, so that a Plan bound for one needs no more memory for another.
#include "conv2d/sizes.h"
#include "conv2d_nhwc/conv2d_nhwc.h"

namespace accelnn {
namespace conv {

namespace {

size_t total(int64_t shared, int64_t parts, int64_t slice) { return size_t(at_most(shared + times(parts, slice), huge)); }

constexpr int64_t wanted_units = 8;     // enough for the cores of a workstation
constexpr int64_t near = 256 << 10;     // bytes of a band, and of the weights that stay while it is walked over: a quarter of L2 each

}  // namespace

Direct direct_plan(const Geometry& g) {
  Direct d = {};
  d.flat = g.r == 1 && g.s == 1 && g.sh == 1 && g.sw == 1 && !g.padded;
  // A group's channels are brought together: runs of S C/g instead of C/g (16 channels a group, with all channels copied for each: 45, so: 96 GFLOP/s).
  d.copy = g.padded || (g.groups > 1 && !d.flat);
  const bool joined = (g.groups == 1 || d.copy) && (g.dw == 1 || g.s == 1);
  d.runs = joined ? g.r : g.r * g.s;
  d.run = joined ? g.s * g.cg : g.cg;
  d.images = d.flat ? 1 : g.n;
  d.rows = d.flat ? 1 : g.oh;
  d.columns = d.flat ? g.n * g.pixels : g.ow;
  d.channels = d.copy ? g.cg : g.c;
  d.row = times(d.copy ? g.left + g.w + g.right : g.w, d.channels);
  d.pixel = g.sw * d.channels;
  const int64_t reach = (g.r - 1) * g.dh + 1, fit = near / 4 / at_least(d.row, 1);
  d.band_rows = at_most(at_least((fit - reach) / g.sh + 1, 1), at_least(d.rows, 1));
  d.bands = divide_up(d.rows, d.band_rows);
  const auto even = [](int64_t n) { return n > 1 ? round_up(n, 4) : n; };          // for 2 or 4 threads
  d.chunks = d.flat ? at_least(even(divide_up(d.columns, 448)), 1) : 1;           // 56 rows of a product at a time are slower (10 %)
  const int64_t panels = divide_up(g.og, 16), wide = divide_up(panels, 4);
  int64_t base = times(times(d.images, g.groups), d.bands * d.chunks);
  d.block = at_least(panels, 1);
  if (base < wanted_units && base > 0 && wide > 1) d.block = divide_up(wide, at_most(divide_up(wanted_units, base), wide)) * 4;
  d.blocks = divide_up(panels, d.block);
  // Bands of fewer rows where columns alone do not give everybody work; four rows still use what they read of the weights.
  if (!d.flat && base > 0 && base * d.blocks < wanted_units) {
    d.bands = at_most(at_least(d.bands, divide_up(wanted_units, d.images * g.groups * d.blocks)), at_least(d.rows / 4, d.bands));
    d.band_rows = divide_up(d.rows, at_least(d.bands, 1));
    d.bands = divide_up(d.rows, d.band_rows);
    base = d.images * g.groups * d.bands;
  }
  d.in_rows = (d.band_rows - 1) * g.sh + reach;
  d.units = times(base, d.blocks);
  d.parts = at_most(d.units, most_parts);
  d.shared = d.copy && d.blocks > 1 && g.groups == 1;
  Cut shared;
  d.offsets = shared.take_floats(2 * d.runs);
  d.image = shared.take_floats(d.shared ? times(times(g.n, d.row), g.top + g.h + g.bottom) : 0);
  d.part = shared.at;
  Cut slice;
  slice.take_floats(d.copy && !d.shared ? times(d.in_rows, d.row) : 0);
  d.slice = slice.at;
  d.bytes = total(d.part, d.parts, d.slice);
  return d;
}

Winograd winograd_plan(const Geometry& g, int algorithm) {
  Winograd p = {};
  p.m = algorithm == winograd4 || algorithm == strided ? 4 : algorithm == folded ? 3
                                                                                 : 2;
  p.size = algorithm == winograd2 ? 4 : algorithm == strided ? 5
                                                             : 6;
  p.points = p.size * p.size;
  p.fold = algorithm == folded ? 2 : 1;
  p.channels = algorithm == folded ? 4 * g.c : g.cg;
  // 128 channels: their transforms stay in L2 beside the products.
  p.chunk = at_most(at_least(128 / at_least(p.channels, 1), 1), g.groups);
  p.chunks = divide_up(g.groups, p.chunk);
  // With dilation d, every d-th pixel of a row is a convolution without: tiles i, i + 1, ... i + d - 1 belong to so many.
  p.th = g.dh * divide_up(divide_up(g.oh, g.dh), p.m);
  p.tw = g.dw * divide_up(divide_up(g.ow, g.dw), p.m);
  p.tiles = times(g.n, p.th * p.tw);
  // 28 tiles: their transform, one panel of products and (64 channels) the weights stay in L2. 14 to 56 differ by 3 %, 196 lose 30 %.
  // Four blocks at least, for as many threads; where that would leave less than 12 rows to a product, columns are divided instead.
  constexpr int64_t least = 12;
  // Of strided, whose transforms are 81 numbers a channel, 14: 32 to 64 channels of 64 x 32x32 4.36 ms, with 28 tiles 5.97; 128 of 8 x 56x56 12.0 and 12.9.
  // Of 32, 128, 256 columns at a time, so that transforms are read less often, 32 to 64 channels take 4.49, 4.43, 4.10 ms and 64 to 128 3.94, 4.17, 4.15: no
  // gain to speak of; nor is asking for the next tiles' pixels beforehand (4.36 and 4.42, 3.92 and 3.76), or their outputs as well (4.37).
  const int64_t phases = algorithm == strided ? 4 : 1, most = algorithm == strided ? 14 : 28;
  p.shared = p.fold == 1 && g.groups == 1 && p.tiles < 4 * least;
  p.blocks = p.shared ? 1 : p.tiles < 4 * least ? divide_up(p.tiles, most)
                                                : round_up(divide_up(p.tiles, most), 4);
  p.block = divide_up(p.tiles, p.blocks);
  if (p.fold == 2) {                    // of one image, whose folded rows are in the slice
    const int64_t each = at_least(divide_up(p.th * p.tw, 3 * most), 1);
    p.blocks = times(g.n, each);
    p.block = divide_up(p.th * p.tw, each);
  }
  const auto spread = [](int64_t n) { return n % 512 == 0 ? n + 16 : n; };           // a multiple of 2 KiB apart, they would share L1 sets: 3 to 10 %
  p.row = spread(round_up(at_least(p.chunk * phases * p.channels, 1), 16));
  p.plane = spread(p.block * p.row);
  p.out_plane = spread(p.block * 32);
  p.units = p.shared ? divide_up(g.o, 32) : times(p.blocks, p.chunks);
  p.parts = at_most(p.units, most_parts);
  if (in_lanes(g)) return p;            // a vector at a time: no workspace
  Cut shared, slice;
  p.zeros = shared.take_floats(p.row);
  const int64_t v = times(p.points, p.plane);
  p.v = p.shared ? shared.take_floats(v) : slice.take_floats(v);
  // Folded rows of a block: its tile rows, and one more where it begins and ends inside a row.
  p.fold_columns = p.tw * p.m + 3;
  p.fold_rows = (at_most(divide_up(p.block, at_least(p.tw, 1)) + 1, p.th)) * p.m + 3;
  p.image = p.fold == 2 ? slice.take_floats(times(p.fold_rows + 1, p.fold_columns * 16)) : 0;      // and a line with borders
  p.products = slice.take_floats(times(p.points, p.out_plane));
  p.part = shared.at;
  p.slice = slice.at;
  p.bytes = total(shared.at, p.parts, p.slice);
  return p;
}

Detour detour(const Geometry& g, bool exact) {
  Detour d = {};
  if (windows_apart(g)) {
    // Panels of half of L2. Work for four, unless every piece would read large weights from L3 again (apart.h divides outputs instead).
    const int64_t tiles = divide_up(g.pixels, 32), fit = at_least((int64_t(512) << 10) / at_least(times(g.k, 4 * 32), 1), 1);
    d.pays = true;
    d.chunks = at_least(divide_up(tiles, at_most(fit, 16)), 1);
    if (times(g.o, g.k) <= 131072) d.chunks = at_least(at_most(round_up(d.chunks, 4), tiles), 1);
    d.slice = times(divide_up(tiles, d.chunks) * 32, times(g.k, 4));
    d.bytes = size_t(times(most_parts, d.slice));
    return d;
  }
  const int64_t seen = times(g.n, g.pixels);
  // The packing, 1 to 5 ns a weight. F(2,5) from 4 channels on: 64 images of 6x14x14 to 16 by 5x5 took 403 us for the 384 of columns, on two threads 272
  // for 204.
  const bool many = g.c >= 16 && g.o >= 16 && seen >= 400 && g.groups == 1 && g.sh == 1 && g.sw == 1;
  const int64_t across4 = g.dh * g.dw * divide_up(divide_up(g.oh, g.dh), 4) * divide_up(divide_up(g.ow, g.dw), 4) * 36;
  const int64_t across2 = g.dh * g.dw * divide_up(divide_up(g.oh, g.dh), 2) * divide_up(divide_up(g.ow, g.dw), 2);
  // The packing is 240 cycles for a pair of channels, of which a tile of 16 outputs saves 3.5.
  const int64_t across_strided = times(g.n, divide_up(g.oh, 4) * divide_up(g.ow, 4)) * 90;
  const bool halves = g.r == 3 && g.s == 3 && g.sh == 2 && g.sw == 2 && g.dh == 1 && g.dw == 1 && g.groups == 1 && g.c >= 16 && g.c % 16 == 0 && g.o >= 16;
  const bool first = g.r == 7 && g.s == 7 && g.sh == 2 && g.sw == 2 && g.dh == 1 && g.dw == 1;
  if (g.groups > 1 && g.cg == g.og && (g.cg == 1 || g.cg == 2 || g.cg == 4 || g.cg == 8)) d.algorithm = lanes_of;
  else if (exact) d.algorithm = panels;
  else if (many && g.r == 3 && g.s == 3 && across4 < 5 * g.pixels) d.algorithm = seen < 1000 && across2 * 16 < 5 * g.pixels ? winograd2 : winograd4;
  else if (many && g.r == 5 && g.s == 5 && across2 * 36 < 14 * g.pixels) d.algorithm = winograd5;
  else if (halves && across_strided + 6000 < 9 * seen && times(g.o, g.c) <= most_strided) d.algorithm = strided;
  else if (first && g.c <= 4 && g.o >= 16 && g.pixels >= 256 && g.groups == 1) d.algorithm = folded;
  // Panels: windows that overlap are gathered so many times for the columns of conv2d, turned once. 96 to 64 channels of 16 x 16x16, 3x3 at a stride of 2 (35
  // products an element that is turned): 1171 instead of 1458 us, 64 to 32, 8 x 30x30, 4x4 (114): 1046 and 1702; 48 to 32 (17) gains nothing. Nor does
  // 2x2 at a stride of 2 before 512 outputs: 2.3 instead of 2.1 ms for 64 to 128 channels of 112x112 (85).
  const int64_t sums = times(times(seen, g.o), g.k), turned = plus(times(times(g.n, g.c), g.h * g.w), times(seen, g.o));
  const bool overlaps = g.r > g.sh && g.s > g.sw;
  d.pays = d.algorithm != panels || (g.groups == 1 && g.c >= 16 && g.o >= 16 && seen >= 400 && overlaps && sums / 32 >= turned);
  if (!d.pays) return d;
  const PackedShape p = packed_shape(d.algorithm, g.o, g.cg, g.r, g.s, g.groups);
  Cut cut;
  d.x = cut.take_floats(times(times(g.n, g.c), g.h * g.w));
  d.packed = cut.take_floats(times(times(p.panels, p.taps), 16));
  d.y = cut.take_floats(times(seen, g.o));
  d.inner = cut.at;
  const int64_t inner = d.algorithm == lanes_of ? 0 : int64_t(d.algorithm == panels ? direct_plan(g).bytes : winograd_plan(g, d.algorithm).bytes);
  d.bytes = total(cut.at, 1, inner);
  return d;
}

}  // namespace conv
}  // namespace accelnn
