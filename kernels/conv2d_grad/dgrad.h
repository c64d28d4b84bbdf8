// dx by phases (layout.h): a convolution with stride 1 of dy between zeros, pixels in the lanes.
#pragma once
#include "conv2d/columns.h"
#include "conv2d_grad/dgrad_rows.h"
#include "conv2d_grad/winograd_dgrad.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace dgrad {

// The pixels of a phase in a band: u rows of uw, from pixel (h0, w0) on, `stride` apart. Rows of the walk are `pitch` wide, of which uw are real.
struct Phase {
  int64_t h0, w0, u, uw, pitch, taps;
};

// Elements [f, f + n) of the walk from the tile into dx, at the channels that begin at dx.
inline void put(const conv::Geometry& g, const Phase& p, const float* tile, int64_t tile_row, int64_t rows, int64_t f, int64_t n, float* dx) {
  for (int64_t at = 0; at < n;) {
    const int64_t k = (f + at) / p.pitch, j = (f + at) % p.pitch, run = conv::at_most(p.pitch - j, n - at), real = conv::at_most(run, p.uw - j);
    float* to = dx + (p.h0 + g.sh * k) * g.w + p.w0 + g.sw * j;
    if (real > 0)
      for (int64_t i = 0; i < rows; i++, to += g.h * g.w) {
        const float* from = tile + i * tile_row + at;
        if (g.sw == 1)
          copy_run(from, to, real);
        else
          for (int64_t q = 0; q < real; q++) to[q * g.sw] = from[q];
      }
    at += run;
  }
}

inline void run_phase(const conv::Geometry& g, const DgradLayout& l, const Phase& p, const Operands& x) {
  const int64_t length = (p.u - 1) * p.pitch + p.uw;
  // 1x1 on a small image: all of its pixels at once, so that weights are read once.
  const bool small = g.r * g.s == 1 && !l.packed && x.channels >= 8 && length > 2 * lanes && length <= 4 * lanes && vectors_for(6) > vectors_for(most_rows);
  const int vectors = vectors_for(small ? 6 : x.channels), most = small ? 6 : most_rows, wide = vectors * lanes;
  const int64_t tiles = tiles_of(x.channels, most);
  for (int64_t k = 0; k < p.taps; k++) x.packed_tap[k] = k * wide;
  // With one tap the weights of a tile are 56 bytes here and there, each in a line (or two) and often a page of its own: copied, unless read only once.
  const bool copied = g.r * g.s == 1 && length > wide;
  if (copied)
    for (int64_t tile = 0; tile < tiles; tile++) {
      const int64_t c = tile_start(x.channels, tiles, tile), rows = tile_start(x.channels, tiles, tile + 1) - c;
      for (int64_t o = 0; o < g.og; o++) copy_run(x.w + o * g.k + c, x.weights + c * g.og + o * rows, rows);
    }
  // Tiles go straight into dx where the walk is dx's own order.
  const bool straight = g.sh == 1 && g.sw == 1 && p.pitch == g.w && p.uw == g.w;
  for (int64_t f = 0; f < length; f += wide) {
    const int64_t n = conv::at_most(wide, length - f);
    Tile t = {g.og, p.taps, x.planes + f, l.plane, 0, x.b_tap, x.w, g.k, x.a_tap, g.r * g.s, nullptr, x.sums, wide};
    if (l.packed || (!l.copy && (n < wide || tiles > 1))) {
      for (int j = 0; j < wide; j += lanes) {
        if (l.packed) {
          conv::Lanes group = {};
          const int64_t first = conv::at_most(f + j, length - 1);
          group.start = first / p.uw * l.pitch + first % p.uw;
          const int count = int(conv::at_least(conv::at_most(lanes, length - f - j), 1));
          for (int i = 0; i < count; i++) group.distance[i] = int32_t((first + i) / p.uw * l.pitch + (first + i) % p.uw - group.start);
          const Gather gather(group, 0, count);
          for (int64_t o = 0; o < g.og; o++) {
            const float* from = x.planes + o * l.plane + group.start;
            float* to = x.panel + o * p.taps * wide + j;
            if (gather.kind == Gather::whole) gather_taps<Gather::whole>(from, x.b_tap, p.taps, gather, to, wide);
            else if (gather.kind == Gather::run) gather_taps<Gather::run>(from, x.b_tap, p.taps, gather, to, wide);
            else if (gather.kind == Gather::shuffle) gather_taps<Gather::shuffle>(from, x.b_tap, p.taps, gather, to, wide);
            else gather_taps<Gather::each>(from, x.b_tap, p.taps, gather, to, wide);
          }
        } else {              // dy in place: nothing behind its last pixel may be read
          const int count = int(conv::at_least(conv::at_most(lanes, n - j), 0));
          for (int64_t o = 0; o < g.og; o++)
            for (int64_t k = 0; k < p.taps; k++) {
              const float* from = x.planes + o * l.plane + x.b_tap[k] + (count ? f + j : 0);
              store(x.panel + (o * p.taps + k) * wide + j, count == lanes ? load(from) : load(from, count));
              __builtin_prefetch(from + wide, 0, 2);      // the next tile's, hundreds of pages at once: into L2 while this one's are used
            }
        }
      }
      t.b = x.panel;
      t.b_out = p.taps * wide;
      t.b_tap = x.packed_tap;
    }
    for (int64_t tile = 0; tile < tiles; tile++) {
      const int64_t c = tile_start(x.channels, tiles, tile), rows = tile_start(x.channels, tiles, tile + 1) - c;
      t.a = copied ? x.weights + c * g.og : x.w + c * g.r * g.s;
      if (copied) t.a_out = rows;
      t.bias = x.bias ? x.bias + c : nullptr;
      float* const to = x.dx + c * g.h * g.w;
      if (straight && n == wide) {
        t.c = to + p.h0 * g.w + f;
        t.c_row = g.h * g.w;
        body_for(int(rows), vectors)(t);
      } else {
        body_for(int(rows), vectors)(t);
        put(g, p, x.sums, wide, rows, f, n, to);
      }
    }
  }
}

// What no output looks at: all rows of the band, before the phases that have taps.
inline void fill(const conv::Geometry& g, int64_t first, int64_t last, const Operands& x) {
  const int64_t from = first * g.sh * g.w, to = conv::at_most(last * g.sh, g.h) * g.w;
  for (int64_t c = 0; c < x.channels; c++) {
    const vf v = splat(x.bias ? x.bias[c] : 0.0f);
    float* const row = x.dx + c * g.h * g.w;
    int64_t i = from;
    for (; i + lanes <= to; i += lanes) store(row + i, v);
    if (i < to) store(row + i, v, int(to - i));
  }
}

}  // namespace dgrad

inline Status conv2d_dgrad_f32(const Call& call) {
  const TensorView &dy = call.in[0], &w = call.in[1], &bias = call.in[2], &dx = call.out[0];
  const conv::Geometry g = conv::geometry(call, dx, w, dy);
  const conv_grad::DgradLayout l = conv_grad::dgrad_layout(g);
  const int64_t units = g.n * g.groups * l.bands * l.blocks;
  if (units == 0 || g.h == 0 || g.w == 0) return {};
  if (conv_grad::by_winograd(g, g.h, g.w, call.integer(conv2d_dgrad_attr::exact) != 0)) return winograd_grad::dgrad(call, g);
  char* const work = static_cast<char*>(call.work);

  parallel(call, l.parts, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    char* const slice = work + part * l.slice;
    float* const planes = reinterpret_cast<float*>(slice);
    int64_t *const b_tap = slice_at<int64_t>(slice, l.taps), *const a_tap = b_tap + g.r * g.s;
    dgrad::Operands x = {};
    x.panel = slice_at<float>(slice, l.panel);
    x.sums = slice_at<float>(slice, l.sums), x.weights = slice_at<float>(slice, l.weights);
    x.b_tap = b_tap, x.a_tap = a_tap, x.packed_tap = a_tap + g.r * g.s;
    int64_t copied = -1;
    for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
      const dgrad::Unit u(g, l, unit);
      const int64_t c = u.block * l.block, first = u.band * l.band, last = conv::at_most(first + l.band, conv::divide_up(g.h, g.sh));
      x.channels = conv::at_most(l.block, g.cg - c);
      x.planes = dy.as<float>() + (u.image * g.o + u.group * g.og) * g.pixels;
      const int64_t top = l.copy ? first - l.v.before : 0;           // row of dy that is row 0 of x.planes
      if (l.copy) {
        if (copied < 0) std::memset(planes + g.og * l.plane, 0, size_t(l.margin) * sizeof(float));      // read, never used: let it be no denormals
        if (copied != unit / l.blocks) dgrad::copy_planes(g, l, x.planes, top, last - top + l.v.reach, planes);
        copied = unit / l.blocks;
        x.planes = planes;
      }
      x.w = w.as<float>() + u.group * g.og * g.k + c * g.r * g.s;
      x.bias = bias.absent() ? nullptr : bias.as<float>() + u.group * g.cg + c;
      x.dx = dx.as<float>() + (u.image * g.c + u.group * g.cg + c) * g.h * g.w;
      if (l.few) {
        dgrad::run_rows(g, l, first, last, top, x);
        continue;
      }
      if (l.v.phases * l.h.phases > 1 || g.og == 0) dgrad::fill(g, first, last, x);      // phases without a tap
      for (int64_t i = 0; i < l.v.phases; i++)
        for (int64_t j = 0; j < l.h.phases; j++) {
          dgrad::Phase p = {first * g.sh + i, j, 0, conv::divide_up(g.w - j, g.sw), 0, 0};
          p.u = conv::at_most(last - first, conv::divide_up(g.h - p.h0, g.sh));
          p.pitch = l.packed ? p.uw : l.pitch;
          if (p.u <= 0) continue;
          p.taps = dgrad::collect_taps(g, l, p.h0, top, j, b_tap, a_tap);
          if (p.taps && g.og) dgrad::run_phase(g, l, p, x);
        }
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
