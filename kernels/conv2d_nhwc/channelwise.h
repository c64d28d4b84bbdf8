// conv2d_nhwc where a group is as small as 1, 2, 4 or 8 channels in and out: a vector holds several groups, or is a piece of one. Input channel i of every
// group is spread over its group's lanes by one shuffle, which all taps and both rows of a block use: 90 GFLOP/s where peers have 20 to 30.
#pragma once
#include "conv2d_nhwc/winograd.h"
#include "lanes.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

template <int CG, int I, int... l> ACCELNN_INLINE vf spread_(vf v, Lanes<l...>) { return ACCELNN_SHUFFLE(v, v, (l / CG * CG + I)...); }
// Lane l: channel I of the group of lane l. A group wider than a vector has one such number, at group[I].
template <int CG, int I> ACCELNN_INLINE vf spread(vf v, [[maybe_unused]] const float* group) {
  if constexpr (CG == 1) return v;
  else if constexpr (CG <= lanes) return spread_<CG, I>(v, AllLanes{});
  else return splat(group[I]);
}

constexpr int block_pixels = 4;

struct Channelwise {
  const conv::Geometry& g;
  const float *x, *packed;
  float* y;
  Finish finish;
};

// ROWS x 4 outputs of one vector of channels, S x S taps at stride SW, no dilation; more rows than one only at stride 1.
template <int CG, int S, int SW, int ROWS> struct ChannelBlock {
  static constexpr int seen = (block_pixels - 1) * SW + S;
  vf acc[ROWS][block_pixels] = {};

  template <int I> ACCELNN_INLINE void taps(const vf* v, const float* const* group, const float* w, int i) {
    vf s[seen];
#pragma GCC unroll 16
    for (int j = 0; j < seen; j++) s[j] = spread<CG, I>(v[j], group[j]);
#pragma GCC unroll 2
    for (int up = 0; up < ROWS; up++) {
      if (i - up < 0 || i - up >= S) continue;
#pragma GCC unroll 8
      for (int q = 0; q < S; q++) {
        const vf tap = load(w + (((i - up) * S + q) * CG + I) * panel_columns);
#pragma GCC unroll 4
        for (int j = 0; j < block_pixels; j++) acc[up][j] = fma(s[j * SW + q], tap, acc[up][j]);
      }
    }
    if constexpr (I + 1 < CG) taps<I + 1>(v, group, w, i);
  }

  // row[i]: input row i of the block, or null where it lies outside; `from`: the first input column. Edge: some of this is outside of the image.
  template <bool Edge> ACCELNN_INLINE void run(const float* const* row, int64_t from, int64_t width, int64_t channels, int64_t c, const float* w) {
    alignas(64) static const float none[16] = {};
    const int64_t inside_group = c % CG;
#pragma GCC unroll 8
    for (int i = 0; i < S + ROWS - 1; i++) {
      vf v[seen];
      const float* group[seen];
#pragma GCC unroll 16
      for (int j = 0; j < seen; j++) {
        const bool inside = !Edge || (row[i] && from + j >= 0 && from + j < width);
        const float* const at = inside ? row[i] + (from + j) * channels + c : none;
        group[j] = inside ? at - inside_group : none;
        v[j] = CG <= lanes ? load(at) : vf{};
      }
      taps<0>(v, group, w, i);
    }
  }
};

// The same for one pixel, any taps, n channels of the vector real.
template <int CG> struct ChannelPixel {
  vf acc = {};
  template <int I> ACCELNN_INLINE void tap(vf v, const float* group, const float* w) {
    acc = fma(spread<CG, I>(v, group), load(w + I * panel_columns), acc);
    if constexpr (I + 1 < CG) tap<I + 1>(v, group, w);
  }
  ACCELNN_INLINE void run(const Channelwise& k, const float* x, int64_t i, int64_t j, int64_t c, int n, const float* w) {
    const conv::Geometry& g = k.g;
    alignas(64) static const float none[16] = {};
    for (int64_t r = 0; r < g.r; r++)
      for (int64_t s = 0; s < g.s; s++, w += CG * panel_columns) {
        const int64_t h = i * g.sh + r * g.dh - g.top, v = j * g.sw + s * g.dw - g.left;
        const bool inside = h >= 0 && h < g.h && v >= 0 && v < g.w;
        const float* const at = inside ? x + (h * g.w + v) * g.c + c : none;
        tap<0>(CG > lanes ? vf{} : n == lanes ? load(at)
                                              : load(at, n),
               inside ? at - c % CG : none, w);
      }
  }
};

template <int CG> void channel_pixels(const Channelwise& k, int64_t image, int64_t i, int64_t j0, int64_t j1, int64_t c, int n) {
  const conv::Geometry& g = k.g;
  const float* const w = k.packed + c / panel_columns * (g.k * panel_columns) + c % panel_columns;
  for (int64_t j = j0; j < j1; j++) {
    ChannelPixel<CG> pixel;
    pixel.run(k, k.x + image * g.h * g.w * g.c, i, j, c, n, w);
    finish_vector(k.finish, pixel.acc, k.y, ((image * g.oh + i) * g.ow + j) * g.o + c, c, n);
  }
}

// Output rows i..i + ROWS - 1. Columns, then channels: memory is walked in sequence, and the rows that the next block adds are prefetched into L2.
// Channels outermost (a strided walk that no hardware prefetcher follows): 1.2 to 2 times slower.
template <int CG, int S, int SW, int ROWS> void channel_rows(const Channelwise& k, int64_t image, int64_t i) {
  using Block = ChannelBlock<CG, S, SW, ROWS>;
  // Copies: what the stores might overwrite would be loaded again behind each of them.
  const int64_t width = k.g.w, channels = k.g.c, columns = k.g.ow, left = k.g.left, panel = k.g.k * panel_columns, whole = channels / lanes * lanes;
  const Finish finish = k.finish;
  float* const y = k.y;
  const float *const x = k.x + image * k.g.h * width * channels, *const packed = k.packed;
  const float* row[S + ROWS - 1];
  bool outside = false;
  for (int r = 0; r < S + ROWS - 1; r++) {
    const int64_t h = i * SW + r - k.g.top;
    row[r] = h >= 0 && h < k.g.h ? x + h * width * channels : nullptr;
    outside = outside || !row[r];
  }
  // The rows that the next block adds.
  constexpr int added = ROWS * SW;
  const float* next[added];
  for (int r = 0; r < added; r++) next[r] = x + conv::at_most(conv::at_least(i * SW + S + ROWS - 1 + r - k.g.top, 0), k.g.h - 1) * width * channels;
  for (int64_t j = 0; j < columns; j += block_pixels) {
    const int64_t from = j * SW - left, at = ((image * k.g.oh + i) * columns + j) * channels;
    const bool edge = outside || from < 0 || from + Block::seen > width || j + block_pixels > columns;
    const int count = int(conv::at_most(block_pixels, columns - j));
    const int64_t ahead = conv::at_least(conv::at_most(j * SW, width - block_pixels * SW), 0) * channels;
    for (int64_t c = 0; c < whole; c += lanes) {
      const float* const w = packed + c / panel_columns * panel + c % panel_columns;
      if (c % 16 == 0)
#pragma GCC unroll 2
        for (int r = 0; r < added; r++)
#pragma GCC unroll 8
          for (int q = 0; q < SW * block_pixels; q++) __builtin_prefetch(next[r] + ahead + q * channels + c, 0, 2);
      Block block;
      if (edge) block.template run<true>(row, from, width, channels, c, w);
      else block.template run<false>(row, from, width, channels, c, w);
      if (finish.bias) {
        const vf bias = load(finish.bias + c);
#pragma GCC unroll 2
        for (int up = 0; up < ROWS; up++)
#pragma GCC unroll 4
          for (int q = 0; q < block_pixels; q++) block.acc[up][q] += bias;
      }
      const Finish rest = {nullptr, finish.residual, finish.activation};
#pragma GCC unroll 2
      for (int up = 0; up < ROWS; up++)
#pragma GCC unroll 4
        for (int q = 0; q < block_pixels; q++)
          if (q < count) finish_vector(rest, block.acc[up][q], y, at + (up * columns + q) * channels + c, c, lanes);
    }
  }
  if (whole < channels)
    for (int up = 0; up < ROWS; up++) channel_pixels<CG>(k, image, i + up, 0, columns, whole, int(channels - whole));
}

template <int CG> void channel_any(const Channelwise& k, int64_t image, int64_t i) {
  for (int64_t c = 0; c < k.g.c; c += lanes) channel_pixels<CG>(k, image, i, 0, k.g.ow, c, int(conv::at_most(lanes, k.g.c - c)));
}

using ChannelRows = void (*)(const Channelwise&, int64_t, int64_t);
struct ChannelKernel {
  ChannelRows one, two;       // output rows; two: null where a second row shares too little
};
template <int CG, int S> ChannelKernel channel_kernel(int64_t stride) {
  if (stride == 1) return {channel_rows<CG, S, 1, 1>, channel_rows<CG, S, 1, 2>};
  return {channel_rows<CG, S, 2, 1>, nullptr};
}
template <int CG> ChannelKernel channel_kernel(const conv::Geometry& g) {
  const bool dense = g.dh == 1 && g.dw == 1 && g.sw <= 2 && g.sw == g.sh && g.r == g.s;
  if (dense && g.s == 3) return channel_kernel<CG, 3>(g.sw);
  if constexpr (CG == 1) {
    if (dense && g.s == 5) return channel_kernel<CG, 5>(g.sw);
    if (dense && g.s == 7) return channel_kernel<CG, 7>(g.sw);
  }
  return {channel_any<CG>, nullptr};
}

inline Status conv2d_channelwise(const Call& call, const conv::Geometry& g, const float* x, const float* packed, const float* bias, const float* residual,
                                 float* y, int how) {
  const Channelwise k = {g, x, packed, y, {bias, residual, how}};
  const ChannelKernel kernel = g.cg == 1 ? channel_kernel<1>(g) : g.cg == 2 ? channel_kernel<2>(g)
      : g.cg == 4                                                           ? channel_kernel<4>(g)
                                                                            : channel_kernel<8>(g);
  const int64_t rows = g.oh / 2 + g.oh % 2, units = g.n * rows, parts = conv::at_most(units, 16);         // pairs of rows
  if (g.o == 0) return {};
  parallel(call, parts, nhwc_flops(g), [&](int64_t part) {
    for (int64_t unit = tile_start(units, parts, part); unit < tile_start(units, parts, part + 1); unit++) {
      const int64_t image = unit / rows, i = unit % rows * 2;
      if (kernel.two && i + 1 < g.oh) {
        kernel.two(k, image, i);
        continue;
      }
      kernel.one(k, image, i);
      if (i + 1 < g.oh) kernel.one(k, image, i + 1);
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
