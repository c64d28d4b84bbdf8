// dx by phases (layout.h): a convolution with stride 1 of dy between zeros, pixels in the lanes.
#pragma once
#include "conv2d/columns.h"
#include "conv2d_grad/apart.h"
#include "conv2d_grad/dgrad_rows.h"
#include "conv2d_grad/strided_dgrad.h"
#include "conv2d_grad/winograd_dgrad.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace dgrad {

// The pixels of a phase in a band: u rows of uw, from pixel (h0, w0) on, `stride` apart. Rows of the walk are `pitch` wide, of which uw are real.
// With a stride of 2 both phases of a row go together, so that whole rows are written: taps[0] of the even columns, taps[1] of the odd ones.
struct Phase {
  int64_t h0, w0, u, uw, pitch;
  int count;
  int64_t taps[2];
  bool below;                 // the rows between see nothing, and are filled together with those above them, while their lines are there
};

inline void fill_run(float* to, float value, int64_t n) {
  const vf v = splat(value);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(to + i, v);
  if (i < n) store(to + i, v, int(n - i));
}

// Elements [f, f + n) of the walk from the tile into dx, at the channels that begin at dx.
inline void put(const conv::Geometry& g, const Phase& p, const float* tile, int64_t tile_row, int64_t rows, int64_t f, int64_t n, const float* bias,
                float* dx) {
  for (int64_t at = 0; at < n;) {
    const int64_t k = (f + at) / p.pitch, j = (f + at) % p.pitch, run = conv::at_most(p.pitch - j, n - at), real = conv::at_most(run, p.uw - j);
    float* to = dx + (p.h0 + g.sh * k) * g.w + p.w0 + g.sw * j;
    if (real > 0)
      for (int64_t i = 0; i < rows; i++, to += g.h * g.w) {
        const float* const from = tile + i * tile_row + at;
        if (p.count == 2) {
          const int64_t length = conv::at_most(2 * real, g.w - 2 * j);
          weave(from, from + conv_grad::tile_floats, to, length);
          if (p.below && p.h0 + g.sh * k + 1 < g.h) fill_run(to + g.w, bias ? bias[i] : 0.0f, length);
        } else if (g.sw == 1) copy_run(from, to, real);
        else
          for (int64_t q = 0; q < real; q++) to[q * g.sw] = from[q];
      }
    at += run;
  }
}

// Pixels f.. of the walk, `wide` of them (n real), for every output and tap: to[(o * taps + k) * wide + j].
inline void pack(const conv::Geometry& g, const DgradLayout& l, const Phase& p, const float* planes, const int64_t* tap, int64_t taps, int64_t f, int64_t n,
                 int64_t wide, float* to) {
  for (int64_t j = 0; j < wide; j += lanes) {
    if (!l.packed) {          // dy in place: nothing behind its last pixel may be read
      const int count = int(conv::at_least(conv::at_most(lanes, n - j), 0));
      for (int64_t o = 0; o < g.og; o++)
        for (int64_t k = 0; k < taps; k++) {
          const float* from = planes + o * l.plane + tap[k] + (count ? f + j : 0);
          store(to + (o * taps + k) * wide + j, count == lanes ? load(from) : load(from, count));
          __builtin_prefetch(from + wide, 0, 2);      // the next tile's, hundreds of pages at once: into L2 while this one's are used
        }
      continue;
    }
    conv::Lanes group = {};
    const int64_t first = conv::at_most(f + j, f + n - 1);
    group.start = first / p.uw * l.pitch + first % p.uw;
    const int count = int(conv::at_least(conv::at_most(lanes, n - j), 1));
    for (int i = 0; i < count; i++) group.distance[i] = int32_t((first + i) / p.uw * l.pitch + (first + i) % p.uw - group.start);
    const Gather gather(group, 0, count);
    for (int64_t o = 0; o < g.og; o++) {
      const float* const from = planes + o * l.plane + group.start;
      float* const at = to + o * taps * wide + j;
      if (gather.kind == Gather::whole) gather_taps<Gather::whole>(from, tap, taps, gather, at, wide);
      else if (gather.kind == Gather::run) gather_taps<Gather::run>(from, tap, taps, gather, at, wide);
      else if (gather.kind == Gather::shuffle) gather_taps<Gather::shuffle>(from, tap, taps, gather, at, wide);
      else gather_taps<Gather::each>(from, tap, taps, gather, at, wide);
    }
  }
}

inline void run_phase(const conv::Geometry& g, const DgradLayout& l, const Phase& p, const Operands& x) {
  const int64_t length = (p.u - 1) * p.pitch + p.uw;
  // 1x1 on a small image: all of its pixels at once, so that weights are read once.
  const bool small = g.r * g.s == 1 && !l.packed && x.channels >= 8 && length > 2 * lanes && length <= 4 * lanes && vectors_for(6) > vectors_for(most_rows);
  const int most_vectors = vectors_for(small ? 6 : x.channels), most = small ? 6 : most_rows, widest = most_vectors * lanes;
  const int64_t tiles = tiles_of(x.channels, most);
  // With one tap the weights of a tile are 56 bytes here and there, each in a line (or two) and often a page of its own: copied, unless read only once.
  const bool copied = g.r * g.s == 1 && length > widest;
  if (copied)
    for (int64_t tile = 0; tile < tiles; tile++) {
      const int64_t c = tile_start(x.channels, tiles, tile), rows = tile_start(x.channels, tiles, tile + 1) - c;
      for (int64_t o = 0; o < g.og; o++) copy_run(x.w + o * g.k + c, x.weights + c * g.og + o * rows, rows);
    }
  // Tiles go straight into dx where the walk is dx's own order.
  const bool straight = g.sh == 1 && g.sw == 1 && p.pitch == g.w && p.uw == g.w;
  for (int64_t f = 0; f < length; f += widest) {
    const int64_t n = conv::at_most(widest, length - f);
    const int vectors = most_vectors == 2 && n <= lanes ? 1 : most_vectors, wide = vectors * lanes;
    for (int phase = 0; phase < p.count; phase++)
      for (int64_t k = 0; k < p.taps[phase]; k++) x.packed_tap[phase * p.taps[0] + k] = k * wide;
    Tile t[2];
    for (int phase = 0; phase < p.count; phase++) {
      const int64_t first = phase * p.taps[0], taps = p.taps[phase];
      float* const sums = x.sums + phase * conv_grad::tile_floats;
      t[phase] = {taps ? g.og : 0, taps, x.planes + f, l.plane, 0, x.b_tap + first, x.w, g.k, x.a_tap + first, g.r * g.s, nullptr, sums, wide};
      if (!l.packed && (l.copy || (n == wide && tiles == 1))) continue;
      float* const panel = x.panel + g.og * first * wide;
      pack(g, l, p, x.planes, x.b_tap + first, taps, f, n, wide, panel);
      t[phase].b = panel;
      t[phase].b_out = taps * wide;
      t[phase].b_tap = x.packed_tap + first;
    }
    for (int64_t tile = 0; tile < tiles; tile++) {
      const int64_t c = tile_start(x.channels, tiles, tile), rows = tile_start(x.channels, tiles, tile + 1) - c;
      float* const to = x.dx + c * g.h * g.w;
      if (p.count == 2) {     // what is woven lies in other lines than the tile: fetched while the sums are made
        const float* const first = to + (p.h0 + g.sh * (f / p.pitch)) * g.w + 2 * (f % p.pitch);
        for (int64_t i = 0; i < rows; i++)
          for (int64_t j = 0; j < 2 * wide + (p.below ? g.w : 0); j += 16) __builtin_prefetch(first + i * g.h * g.w + j, 1, 2);
      }
      for (int phase = 0; phase < p.count; phase++) {
        t[phase].a = copied ? x.weights + c * g.og : x.w + c * g.r * g.s;
        if (copied) t[phase].a_out = rows;
        t[phase].bias = x.bias ? x.bias + c : nullptr;
        if (straight) t[phase].c = n == wide ? to + p.h0 * g.w + f : x.sums, t[phase].c_row = n == wide ? g.h * g.w : wide;
        (vectors == 1 ? narrow_body_for(int(rows)) : body_for(int(rows), vectors))(t[phase]);
      }
      if (!straight || n < wide) put(g, p, x.sums, wide, rows, f, n, t[0].bias, to);
    }
  }
}

// What no output looks at: rows h0, h0 + step ... of dx.
inline void fill(const conv::Geometry& g, int64_t h0, int64_t step, int64_t rows, const Operands& x) {
  for (int64_t c = 0; c < x.channels; c++)
    for (int64_t k = 0; k < rows; k++) fill_run(x.dx + (c * g.h + h0 + k * step) * g.w, x.bias ? x.bias[c] : 0.0f, g.w);
}

// Rows first .. last - 1 of the strides of dx, phase by phase. Vertical phases without a tap see nothing; with a stride of 2, those of 1x1 are filled by the
// phase above them.
inline void run_phases(const conv::Geometry& g, const DgradLayout& l, int64_t first, int64_t last, int64_t top, const Operands& x) {
  bool filled_below = false;
  for (int64_t i = 0; i < l.v.phases; i++) {
    Phase p = {first * g.sh + i, 0, 0, 0, 0, g.sw == 2 ? 2 : 1, {}, false};
    p.u = conv::at_most(last - first, conv::divide_up(g.h - p.h0, g.sh));
    if (p.u <= 0) continue;
    bool filled = filled_below;
    for (p.w0 = 0; p.w0 < l.h.phases; p.w0 += p.count) {
      p.uw = conv::divide_up(g.w - p.w0, g.sw);
      p.pitch = l.packed ? p.uw : l.pitch;
      p.taps[0] = collect_taps(g, l, p.h0, top, p.w0, x.b_tap, x.a_tap);
      p.taps[1] = p.count == 2 ? collect_taps(g, l, p.h0, top, 1, x.b_tap + p.taps[0], x.a_tap + p.taps[0]) : 0;
      const bool seen = p.taps[0] + p.taps[1] > 0 && g.og > 0;
      if (!filled && (!seen || g.sw > 2)) fill(g, p.h0, g.sh, p.u, x);
      filled = true;
      p.below = filled_below = seen && i == 0 && g.r == 1 && g.sh == 2 && p.count == 2;
      if (seen) run_phase(g, l, p, x);
    }
  }
}

}  // namespace dgrad

inline Status conv2d_dgrad_f32(const Call& call) {
  const TensorView &dy = call.in[0], &w = call.in[1], &bias = call.in[2], &dx = call.out[0];
  const conv::Geometry g = conv::geometry(call, dx, w, dy);
  if (conv::windows_apart(g)) return apart::dgrad(call, g, dy.as<float>(), w.as<float>(), bias.absent() ? nullptr : bias.as<float>(), dx.as<float>());
  const conv_grad::DgradLayout l = conv_grad::dgrad_layout(g);
  const int64_t units = g.n * g.groups * l.bands * l.blocks;
  if (units == 0 || g.h == 0 || g.w == 0) return {};
  if (conv_grad::by_winograd(g, g.h, g.w, call.integer(conv2d_dgrad_attr::exact) != 0)) return winograd_grad::dgrad(call, g);
  if (conv_grad::by_strided(g, call.integer(conv2d_dgrad_attr::exact) != 0)) return strided_grad::dgrad(call, g);
  char* const work = static_cast<char*>(call.work);

  parallel(call, l.parts, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    char* const slice = work + part * l.slice;
    float* const planes = reinterpret_cast<float*>(slice);
    dgrad::Operands x = {};
    x.panel = slice_at<float>(slice, l.panel), x.sums = slice_at<float>(slice, l.sums), x.weights = slice_at<float>(slice, l.weights);
    x.b_tap = slice_at<int64_t>(slice, l.taps), x.a_tap = x.b_tap + g.r * g.s, x.packed_tap = x.a_tap + g.r * g.s;
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
      (l.few ? dgrad::run_rows : dgrad::run_phases)(g, l, first, last, top, x);
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
