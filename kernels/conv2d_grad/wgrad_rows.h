// dw with pixels in the lanes: every (output, tap) has a vector of sums over the pixels of rows of dy, added across at the very end. dy is read where it
// lies, x between zeros (with a stride: columns split into phases, so that a row of taps is contiguous). Nothing is transposed or gathered.
#pragma once
#include "conv2d_grad/conv2d_wgrad.h"
#include "conv2d_grad/dgrad_rows.h"
#include "conv2d_grad/layout.h"
#include "lanes.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace wgrad_rows {

#if defined(__AVX512F__) || defined(ACCELNN_NEON)
constexpr int most_outs = 4, most_taps = 6;
#elif defined(__AVX2__)
constexpr int most_outs = 3, most_taps = 4;
#else
constexpr int most_outs = 2, most_taps = 4;
#endif

struct Tile {
  int64_t rows, columns;      // of pixels
  const float* dy;            // output i at + i * dy_plane; rows follow each other
  int64_t dy_plane;
  const float* x;             // tap v at + tap[v]; rows x_row apart
  const int64_t* tap;
  int64_t x_row;
  float* sums;                // [output][sums_row: taps of all tiles][lane]
  int64_t sums_row;
  bool add;
};

template <int R, int V> void tile_body(const Tile& t) {
  vf acc[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) acc[i][v] = t.add ? load(t.sums + (i * t.sums_row + v) * lanes) : vf{};
  const float *dy = t.dy, *x = t.x;
  const int rest = int(t.columns % lanes);
  const auto step = [&](const float* d0, const float* x0, auto loaded) __attribute__((always_inline)) {
    vf d[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) d[i] = loaded(d0 + i * t.dy_plane);
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) {
      const vf seen = loaded(x0 + t.tap[v]);
#pragma GCC unroll 8
      for (int i = 0; i < R; i++) acc[i][v] = fma(d[i], seen, acc[i][v]);
    }
  };
  for (int64_t row = 0; row < t.rows; row++, dy += t.columns, x += t.x_row) {
    int64_t j = 0;
    for (; j + lanes <= t.columns; j += lanes) step(dy + j, x + j, [](const float* p) __attribute__((always_inline)) { return load(p); });
    // Both operands end: zeros of dy alone would make NaN of infinities in x that no output has seen.
    if (rest) step(dy + j, x + j, [rest](const float* p) __attribute__((always_inline)) { return load(p, rest); });
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) store(t.sums + (i * t.sums_row + v) * lanes, acc[i][v]);
}

using Body = void (*)(const Tile&);
template <int outs, int taps> struct Bodies {
  Body body[outs + 1][taps + 1];
  constexpr Bodies() : body{} { fill<outs, taps>(); }
  template <int R, int V> constexpr void fill() {
    body[R][V] = tile_body<R, V>;
    if constexpr (V > 1) fill<R, V - 1>();
    else if constexpr (R > 1) fill<R - 1, taps>();
  }
};
constexpr Bodies<most_outs, most_taps> bodies;

// to[j] = from[2 j]; nothing beyond from[2 (n - 1)] is read.
inline void every_other(const float* from, float* to, int64_t n) {
  for (; n > lanes; n -= lanes, from += 2 * lanes, to += lanes) store(to, evens(load(from), load(from + lanes)));
  if (n <= 0) return;
  const int low = int(conv::at_most(2 * n - 1, lanes));
  store(to, evens(load(from, low), load(from + lanes, int(2 * n - 1 - low))), int(n));
}

// One row with borders, its columns split by the stride: to[phase * pitch + j] = row[j * sw + phase - left].
inline void copy_row(const conv::Geometry& g, int64_t pitch, const float* row, float* to) {
  if (g.sw == 1) {
    dgrad::bordered_row(row, g.w, g.left, to, pitch);
    return;
  }
#if defined(__AVX512F__)
  // Every second number with its borders, two vectors at a time (a pitch is a multiple of 16): by pieces it took most of the time of a depthwise gradient.
  if (g.sw == 2) {
    const auto between = [](const float* p, int64_t low, int64_t high) __attribute__((always_inline)) {
      const unsigned above = 0xffffu << conv::at_most(conv::at_least(low, 0), 16), below = ~(0xffffffffu << conv::at_most(conv::at_least(high, 0), 16));
      return reinterpret_cast<vf>(_mm512_maskz_loadu_ps(__mmask16(above & below), p));
    };
    for (int64_t j = 0; j < pitch; j += lanes) {
      const int64_t at = 2 * j - g.left;
      const bool inside = at >= 0 && at + 2 * lanes <= g.w;
      const vf a = inside ? load(row + at) : between(row + at, -at, g.w - at);
      const vf b = inside ? load(row + at + lanes) : between(row + at + lanes, -at - lanes, g.w - at - lanes);
      store(to + j, evens(a, b));
      store(to + pitch + j, odds(a, b));
    }
    return;
  }
#endif
  // A stride of 2 is spelled out: three divisions for each phase of each row were most of the time of a depthwise gradient.
  for (int64_t phase = 0; phase < g.sw; phase++, to += pitch) {
    const int64_t shift = phase - g.left;
    int64_t first = shift >= 0 ? 0 : g.sw == 2 ? (1 - shift) / 2
                                               : conv::divide_up(-shift, g.sw);      // columns before are zeros
    int64_t last = shift >= g.w ? 0 : (g.sw == 2 ? (g.w - 1 - shift) / 2 : (g.w - 1 - shift) / g.sw) + 1;
    first = conv::at_most(first, pitch), last = conv::at_least(conv::at_most(last, pitch), first);
    for (int64_t j = 0; j < first; j++) to[j] = 0.0f;
    if (g.sw == 2) every_other(row + 2 * first + shift, to + first, last - first);
    else
      for (int64_t j = first; j < last; j++) to[j] = row[j * g.sw + shift];
    for (int64_t j = last; j < pitch; j++) to[j] = 0.0f;
  }
}

inline Status run(const Call& call, const conv::Geometry& g) {
  const TensorView &dy = call.in[0], &x = call.in[1], &dw = call.out[0];
  const conv_grad::RowsLayout l = conv_grad::rows_layout(g);
  char* const work = static_cast<char*>(call.work);
  int64_t* const tap = reinterpret_cast<int64_t*>(work + l.taps);
  for (int64_t c = 0, k = 0; c < g.cg; c++)
    for (int64_t r = 0; r < g.r; r++)
      for (int64_t s = 0; s < g.s; s++) tap[k++] = c * l.plane + r * g.dh * l.row + s * g.dw % g.sw * l.pitch + s * g.dw / g.sw;
  float* const results = l.images > 1 ? reinterpret_cast<float*>(work + l.partial) : dw.as<float>();
  const int64_t tap_tiles = (g.k + most_taps - 1) / most_taps;

  parallel(call, l.parts, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    float* const copy = reinterpret_cast<float*>(work + l.part + part * l.slice);
    float* const sums = reinterpret_cast<float*>(work + l.part + part * l.slice + l.sums);
    for (int64_t unit = part * l.units / l.parts; unit < (part + 1) * l.units / l.parts; unit++) {
      const int64_t images = unit / l.blocks / g.groups, group = unit / l.blocks % g.groups, o = group * g.og + unit % l.blocks * l.block;
      const int64_t outs = conv::at_most(l.block, (group + 1) * g.og - o), out_tiles = (outs + most_outs - 1) / most_outs;
      bool add = false;
      for (int64_t image = images * g.n / l.images; image < (images + 1) * g.n / l.images; image++)
        for (int64_t band = 0; band < l.bands; band++, add = true) {
          const int64_t first = band * l.band, rows = conv::at_most(l.band, g.oh - first);
          const float* from = x.as<float>() + (image * g.c + group * g.cg) * g.h * g.w;
          if (depthwise3::strided_in_place && conv_grad::strided_depthwise(g)) {
            depthwise3::wgrad_strided(g, dy.as<float>() + (image * g.o + o) * g.pixels, from, first, first + rows, sums, add);
            continue;
          }
          if (l.copy) {
            const int64_t seen = (rows - 1) * g.sh + (g.r - 1) * g.dh + 1;
            for (int64_t c = 0; c < g.cg; c++)
              for (int64_t i = 0; i < seen; i++) {
                const int64_t h = first * g.sh - g.top + i;
                float* const to = copy + c * l.plane + i * l.row;
                if (h >= 0 && h < g.h) copy_row(g, l.pitch, from + (c * g.h + h) * g.w, to);
                else std::memset(to, 0, size_t(l.row) * sizeof(float));
              }
            from = copy;
          } else from += first * g.sh * l.row;
          if (g.og == 1 && depthwise3::fits(g)) {
            depthwise3::wgrad(dy.as<float>() + (image * g.o + o) * g.pixels + first * g.ow, rows, g.ow, from, l.row, sums, add);
            continue;
          }
          // Taps outside: their rows of x stay in L1 while dy passes by.
          for (int64_t tile = 0; tile < tap_tiles; tile++) {
            const int64_t k = tile * g.k / tap_tiles, taps = (tile + 1) * g.k / tap_tiles - k;
            for (int64_t out = 0; out < out_tiles; out++) {
              const int64_t i = out * outs / out_tiles, count = (out + 1) * outs / out_tiles - i;
              bodies.body[count][taps]({rows, g.ow, dy.as<float>() + (image * g.o + o + i) * g.pixels + first * g.ow, g.pixels, from, tap + k,
                                        g.sh * l.row, sums + (i * g.k + k) * lanes, g.k, add});
            }
          }
        }
      float* const to = results + (images * g.o + o) * g.k;
      for (int64_t i = 0; i < outs * g.k; i++) to[i] = sum_of(load(sums + i * lanes));
    }
  });
  if (l.images > 1)
    for (int64_t i = 0; i < g.o * g.k; i++) {
      float sum = results[i];
      for (int64_t images = 1; images < l.images; images++) sum += results[images * g.o * g.k + i];
      dw.as<float>()[i] = sum;
    }
  return {};
}

}  // namespace wgrad_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
