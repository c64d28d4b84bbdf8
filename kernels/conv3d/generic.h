// conv3d on channels last: in a volume with borders every row of a window is one run of S C floats, so the register tile of conv2d_nhwc/direct.h walks T R
// such runs, and planes that several windows see are copied once (unfold_planes copies them T / sd times, and conv2d turns each of the copies).
#pragma once
#include "conv2d_grad/turn.h"
#include "conv2d_nhwc/pack.h"
#include "conv2d_nhwc/tile.h"
#include "conv3d/conv3d.h"
#include "pool.h"
#include "stream.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace conv3d_tiles {

// 16 outputs of [C][taps] weights to rows (tap, c) of 16: squares are turned in registers, and their rows laid where they belong.
inline void pack_panel(const conv3d::Shape& s, const float* w, int64_t n, float* to) {
  const int64_t taps = s.d.kernel * s.h.kernel * s.w.kernel;
  if (n < 16 || s.k < 16) return pack_taps(w, s.c, 1, taps, n, to);
  for (int64_t next = 0; next < s.k; next += 16) {
    const int64_t k = next + 16 <= s.k ? next : s.k - 16;
    float square[16 * 16];
    turn_band<false>(square, 16, w + k, s.k, 16, 16);
    int64_t tap = k % taps, c = k / taps;             // a division a row was a third of the time
    for (int64_t i = 0; i < 16; i++) {
      std::memcpy(to + (tap * s.c + c) * 16, square + i * 16, 64);
      if (++tap == taps) tap = 0, c++;
    }
  }
}

// Plane d of a volume, borders counted.
inline void copy_plane(const conv3d::Shape& s, const conv3d::Layout& l, const float* x, int64_t d, float* to) {
  const int64_t from = d - s.d.before, left = s.w.before * s.c, right = s.w.after * s.c, rows = s.h.before + s.h.in + s.h.after;
  const int64_t channel = s.d.in * s.h.in * s.w.in;
  if (from < 0 || from >= s.d.in) {
    std::memset(to, 0, size_t(l.plane) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < rows; i++, to += l.row) {
    const int64_t h = i - s.h.before;
    if (h < 0 || h >= s.h.in) {
      std::memset(to, 0, size_t(l.row) * sizeof(float));
      continue;
    }
    const float* const next = x + (from * s.h.in + h + 2) * s.w.in;
    for (int64_t c = 0; c < s.c; c++)
      for (int64_t j = 0; j < s.w.in; j += 16) call_for(next + c * channel + j);
    std::memset(to, 0, size_t(left) * sizeof(float));
    transpose_all(x + (from * s.h.in + h) * s.w.in, channel, s.c, s.w.in, to + left, s.c);
    std::memset(to + l.row - right, 0, size_t(right) * sizeof(float));
  }
}

// Rows first .. last - 1 of plane k of one image: to[pixel * O + output].
inline void unit(const conv3d::Shape& s, const conv3d::Layout& l, const int64_t* offset, const float* image, const float* packed, const float* bias, int64_t k,
                 int64_t first, int64_t last, float* to) {
  ConvTile t;
  t.runs = l.runs, t.run = l.run, t.offset = offset;
  t.a_row = s.w.stride * s.c, t.c_row = s.o, t.b_panel = s.k * panel_columns, t.add = nullptr;
  for (int64_t o = 0; o < s.o; o += t.columns) {
    t.columns = conv_tile_columns(s.o - o);
    t.b = packed + o / panel_columns * t.b_panel + o % panel_columns;
    const int64_t tiles = tiles_of(s.w.out, conv_tile_rows(t.columns));
    const Epilogue e = {nullptr, bias ? bias + o : nullptr, activation::none};
    for (int64_t i = first; i < last; i++)
      for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t j = tile_start(s.w.out, tiles, tile), next = tile_start(s.w.out, tiles, tile + 1);
        t.a = image + k * s.d.stride * l.plane + i * s.h.stride * l.row + j * t.a_row;
        t.c = to + ((i - first) * s.w.out + j) * s.o + o;
        conv_tile(int(next - j), t, e);
      }
  }
}

inline Status run(const Call& call) {
  const conv3d::Shape s = conv3d::shape(call);
  const conv3d::Layout l = conv3d::layout(s);
  if (l.units == 0 || s.o == 0) return {};
  char* const work = static_cast<char*>(call.work);
  const float *const x = call.in[0].as<float>(), *const w = call.in[1].as<float>(), *const bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  float *const packed = reinterpret_cast<float*>(work + l.packed), *const image = reinterpret_cast<float*>(work + l.image);
  int64_t* const offset = reinterpret_cast<int64_t*>(work + l.offsets);
  const int64_t across = l.runs / (s.d.kernel * s.h.kernel);
  for (int64_t i = 0; i < l.runs; i++) {
    const int64_t row = i / across;
    offset[i] = row / s.h.kernel * s.d.dilation * l.plane + row % s.h.kernel * s.h.dilation * l.row + i % across * s.w.dilation * s.c;
  }
  const int64_t outs = s.d.out * s.h.out * s.w.out, panels = conv::divide_up(s.o, panel_columns), ins = s.d.in * s.h.in * s.w.in;
  // Some images at a time, whose copies are still in L2 when they are used. Weights and planes in one go: either alone is too little to wake a thread for.
  for (int64_t from = 0; from < s.n; from += l.images) {
    const int64_t images = conv::at_most(l.images, s.n - from), packs = from == 0 ? panels : 0, units = images * s.d.out * l.bands;
    parallel(call, packs + images * l.depth, 8 * (packs * 16 * s.k + images * l.volume), [&](int64_t part) {
      if (part < packs) {
        const int64_t o = part * panel_columns;
        return pack_panel(s, w + o * s.k, conv::at_most(panel_columns, s.o - o), packed + o * s.k);
      }
      const int64_t n = (part - packs) / l.depth, d = (part - packs) % l.depth;
      copy_plane(s, l, x + (from + n) * s.c * ins, d, image + n * l.volume + d * l.plane);
    });
    const int64_t parts = conv::at_most(units, l.parts);
    parallel(call, parts, 2 * images * s.o * outs * s.k, [&](int64_t part) {
      float* const sums = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t number = part * units / parts; number < (part + 1) * units / parts; number++) {
        const int64_t k = number / l.bands % s.d.out, n = number / l.bands / s.d.out, first = number % l.bands * l.band;
        const int64_t last = conv::at_most(first + l.band, s.h.out);
        unit(s, l, offset, image + n * l.volume, packed, bias, k, first, last, sums);
        float* const to = call.out[0].as<float>() + (from + n) * s.o * outs + (k * s.h.out + first) * s.w.out;
        transpose_all(sums, s.o, (last - first) * s.w.out, s.o, to, outs);
      }
    });
  }
  return {};
}

}  // namespace conv3d_tiles
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
