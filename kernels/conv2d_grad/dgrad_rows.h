// dx of few channels (depthwise, grouped, pictures): one tile of all of them, some rows by some vectors of pixels, which go straight into dx. With a stride
// of 2 the two phases of a row are woven together.
#pragma once
#include "conv2d/columns.h"
#include "conv2d_grad/conv2d_dgrad.h"
#include "conv2d_grad/depthwise3.h"
#include "conv2d_grad/dgrad_tile.h"
#include "lanes.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace dgrad {

using conv_grad::DgradLayout;

// One unit of work: an image, a group, a band of rows, a block of channels.
struct Unit {
  int64_t image, group, band, block;
  ACCELNN_INLINE Unit(const conv::Geometry& g, const DgradLayout& l, int64_t number)
      : image(number / l.blocks / l.bands / g.groups),
        group(number / l.blocks / l.bands % g.groups),
        band(number / l.blocks % l.bands),
        block(number % l.blocks) {}
};

// Rows are a vector or two: calls of memcpy were most of the time of a depthwise gradient.
ACCELNN_INLINE void copy_run(const float* from, float* to, int64_t n) {
  int64_t j = 0;
  for (; j + lanes <= n; j += lanes) store(to + j, load(from + j));
  if (const int rest = int(n - j)) store(to + j, load(from + j, rest), rest);
}

// even[0], odd[0], even[1] ...: `length` numbers; whole vectors are read.
ACCELNN_INLINE void weave(const float* even, const float* odd, float* to, int64_t length) {
  for (int64_t at = 0; at < length; at += 2 * lanes) {
    const vf a = load(even + at / 2), b = load(odd + at / 2);
    store(to + at, zip_low(a, b), int(conv::at_most(lanes, length - at)));
    if (length > at + lanes) store(to + at + lanes, zip_high(a, b), int(conv::at_most(lanes, length - at - lanes)));
  }
}

// to[before + i] = from[i] for i < n, zeros around, `length` in all.
ACCELNN_INLINE void bordered_row(const float* from, int64_t n, int64_t before, float* to, int64_t length) {
#if defined(__AVX512F__)
  if (length % lanes == 0) {
    for (int64_t j = 0; j < length; j += lanes) {
      const int64_t low = conv::at_most(conv::at_least(before - j, 0), lanes), high = conv::at_most(conv::at_least(before + n - j, low), lanes);
      store(to + j, reinterpret_cast<vf>(_mm512_maskz_loadu_ps(__mmask16((1u << high) - (1u << low)), from + j - before)));
    }
    return;
  }
#endif
  for (int64_t j = 0; j < before; j++) to[j] = 0.0f;
  copy_run(from, to + before, n);
  for (int64_t j = before + n; j < length; j++) to[j] = 0.0f;
}

// Rows first .. first + rows - 1 of dy's planes, counted from the first real one, between zeros.
inline void copy_planes(const conv::Geometry& g, const DgradLayout& l, const float* dy, int64_t first, int64_t rows, float* to) {
  for (int64_t o = 0; o < g.og; o++, dy += g.pixels) {
    float* row = to + o * l.plane;
    for (int64_t i = 0; i < rows; i++, row += l.pitch) {
      const int64_t from = first + i;
      if (from < 0 || from >= g.oh) {
        std::memset(row, 0, size_t(l.pitch) * sizeof(float));
        continue;
      }
      bordered_row(dy + from * g.ow, g.ow, l.h.before, row, l.pitch);
    }
  }
}

struct Operands {
  const float* planes;        // dy of the unit: row 0 of the band, with its borders
  const float* w;             // of the group, from the block's first channel on
  const float* bias;          // of the block, or null
  float* dx;                  // the block's first channel
  int64_t channels;
  float *panel, *sums, *weights;
  int64_t *b_tap, *a_tap, *packed_tap;
};

// The taps of pixels (h0, w0) and those whole strides away: where they look in the planes, and their weights. Returns how many.
inline int64_t collect_taps(const conv::Geometry& g, const DgradLayout& l, int64_t h0, int64_t top, int64_t w0, int64_t* b_tap, int64_t* a_tap) {
  int64_t taps = 0;
  for (int64_t r = 0; r < g.r; r++) {
    const int64_t row = h0 + g.top - r * g.dh;
    if (row % g.sh) continue;
    for (int64_t s = 0; s < g.s; s++) {
      const int64_t column = w0 + g.left - s * g.dw;
      if (column % g.sw) continue;
      b_tap[taps] = (row / g.sh - top) * l.pitch + column / g.sw + l.h.before;
      a_tap[taps++] = r * g.s + s;
    }
  }
  return taps;
}

// Rows first .. last - 1 of the strides of dx.
inline void run_rows(const conv::Geometry& g, const DgradLayout& l, int64_t first, int64_t last, int64_t top, const Operands& x) {
  if (depthwise3::fits(g)) {
    const auto tile = g.w > lanes ? depthwise3::dgrad_tile<depthwise3::vectors> : depthwise3::dgrad_tile<1>;
    const int64_t wide = (g.w > lanes ? depthwise3::vectors : 1) * lanes;
    const float bias = x.bias ? *x.bias : 0.0f;
    for (int64_t k = 0; k < last - first; k += depthwise3::rows)
      for (int64_t j = 0; j < g.w; j += wide)
        tile(x.planes + k * l.pitch + j, g.og, l.plane, l.pitch, x.w, bias, x.dx + (first + k) * g.w + j, g.w, last - first - k, g.w - j);
    return;
  }
  if (conv_grad::strided_depthwise(g)) return depthwise3::dgrad_strided(g, x.planes, x.w, x.bias ? *x.bias : 0.0f, x.dx, first, last);
  const int64_t uw = conv::divide_up(g.w, g.sw), vectors = vectors_for(x.channels);
  int columns = 1;
  while (columns < vectors && columns * lanes < uw) columns *= 2;
  const Body body = rows_body_for(int(x.channels), columns);
  const int64_t rows = vectors / columns, wide = columns * lanes;
  for (int64_t i = 0; i < l.v.phases; i++) {
    const int64_t h0 = first * g.sh + i, u = conv::at_most(last - first, conv::divide_up(g.h - h0, g.sh));
    int64_t taps[2] = {};
    for (int64_t phase = 0; phase < g.sw; phase++)
      taps[phase] = collect_taps(g, l, h0, top, phase, x.b_tap + phase * taps[0], x.a_tap + phase * taps[0]);
    for (int64_t k = 0; k < u; k += rows)
      for (int64_t j = 0; j < uw; j += wide) {
        Tile t = {g.og, taps[0], x.planes + k * l.pitch + j, l.plane, l.pitch, x.b_tap, x.w, g.k, x.a_tap, g.r * g.s, x.bias, x.sums, vectors * lanes};
        if (g.sw == 1) {
          t.c = x.dx + (h0 + k * g.sh) * g.w + j, t.c_row = g.h * g.w;
          t.width = g.w - j, t.height = u - k, t.c_line = g.sh * g.w;
          body(t);
          continue;
        }
        body(t);
        t.taps = taps[1], t.b_tap += taps[0], t.a_tap += taps[0], t.c += conv_grad::tile_floats;
        body(t);
        for (int64_t c = 0; c < x.channels; c++)
          for (int64_t q = 0; q < rows && k + q < u; q++) {
            float* const to = x.dx + (c * g.h + h0 + (k + q) * g.sh) * g.w + 2 * j;
            const float *const even = x.sums + c * vectors * lanes + q * wide, *const odd = even + conv_grad::tile_floats;
            weave(even, odd, to, conv::at_most(2 * wide, g.w - 2 * j));
          }
      }
  }
}

}  // namespace dgrad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
