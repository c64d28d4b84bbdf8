// dw with channels in the lanes: dy and x are turned to channels last once, then every tap is a product over pixels, 14 outputs by 32 channels in registers.
#pragma once
#include "conv2d_grad/conv2d_wgrad.h"
#include "conv2d_grad/layout.h"
#include "conv2d_grad/outer_tile.h"
#include "conv2d_grad/turn.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace wgrad_outer {

// Sums [tap][output][channel] of one output into dw [channel][tap], through `turned`: dw is written in whole vectors.
inline void put(const float* sums, int64_t plane, int64_t taps, int64_t channels, float* turned, float* dw) {
  transpose(sums, plane, taps, channels, turned, taps);
  const int64_t length = channels * taps;
  int64_t j = 0;
  for (; j + lanes <= length; j += lanes) store(dw + j, load(turned + j));
  for (; j < length; j++) dw[j] = turned[j];
}

inline Status run(const Call& call, const conv::Geometry& g) {
  const TensorView &dy = call.in[0], &x = call.in[1], &dw = call.out[0];
  const conv_grad::OuterLayout l = conv_grad::outer_layout(g);
  char* const work = static_cast<char*>(call.work);
  float *const seen = reinterpret_cast<float*>(work + l.x), *const out = reinterpret_cast<float*>(work + l.y);
  const int64_t taps = g.r * g.s, flops = 2 * g.n * g.o * g.pixels * g.k, c_blocks = conv::divide_up(g.cg, l.c_block);
  const int64_t step = g.sw * l.x_pixel, row = g.sh * l.width * l.x_pixel;      // of x, from one output's pixel to the next, from row to row

  const int64_t groups_of_images = conv::divide_up(g.n, l.images), passes = groups_of_images * l.strips;
  for (int64_t pass = 0; pass < passes; pass++) {
    const int64_t first = pass / l.strips * l.images, images = conv::at_most(l.images, g.n - first);
    const int64_t top = pass % l.strips * l.strip, lines = conv::at_most(l.strip, g.oh - top);
    parallel(call, images * l.height, flops / passes / 8, [&](int64_t unit) {
      const int64_t i = unit / l.height, h = unit % l.height;
      turn({x.as<float>() + (first + i) * g.c * g.h * g.w, g.c, g.h, g.w}, top * g.sh + h - g.top, 1, -g.left, 1, l.width,
           seen + unit * l.width * l.x_pixel, l.x_pixel);
      if (h < lines)
        turn({dy.as<float>() + (first + i) * g.o * g.pixels, g.o, g.oh, g.ow}, top + h, 1, 0, 1, g.ow, out + (i * l.strip + h) * g.ow * l.y_pixel, l.y_pixel);
    });
    const int64_t units = g.groups * l.o_blocks * c_blocks;
    parallel(call, l.parts, flops / passes, [&](int64_t part) {
      float* const turned = reinterpret_cast<float*>(work + l.part + part * l.slice);
      for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
        const int64_t group = unit / l.o_blocks / c_blocks, c = unit / l.o_blocks % c_blocks * l.c_block, channels = conv::at_most(l.c_block, g.cg - c);
        const int64_t o = tile_start(g.og, l.o_blocks, unit % l.o_blocks), outs = tile_start(g.og, l.o_blocks, unit % l.o_blocks + 1) - o;
        const int64_t tiles = tiles_of(outs);
        const float* const y0 = out + group * g.og + o;
        const float* const x0 = seen + group * g.cg + c;
        float* const to = dw.as<float>() + ((group * g.og + o) * g.cg + c) * taps;
        float* const sums = reinterpret_cast<float*>(work + l.sums + (l.kept ? unit * l.unit : l.part + part * l.slice));
        const bool last = pass + 1 == passes;
        bool add = pass > 0;
        for (int64_t i = 0; i < images; i++)
          for (int64_t h = 0; h < lines; h += l.band, add = true) {
            const int64_t rows = conv::at_most(l.band, lines - h);
            for (int64_t r = 0; r < g.r; r++)
              for (int64_t s = 0; s < g.s; s++) {
                // dw's lines, which nobody else fetches in time: rows of it lie pages apart.
                if (last && i + 1 == images && h + rows == lines)
                  for (int64_t q = 0; q < outs; q++)
                    for (int64_t j = 0; j < channels; j += 16) __builtin_prefetch(to + q * g.cg * taps + (r * g.s + s) * channels + j, 1, 2);
                const float* const y1 = y0 + (i * l.strip + h) * g.ow * l.y_pixel;
                const float* const x1 = x0 + ((i * l.height + h * g.sh + r * g.dh) * l.width + s * g.dw) * l.x_pixel;
                float* const tap = sums + (r * g.s + s) * outs * l.c_block;
                for (int64_t j = 0; j < channels; j += tile_columns)
                  for (int64_t t = 0; t < tiles; t++) {
                    const int64_t top = tile_start(outs, tiles, t), height = tile_start(outs, tiles, t + 1) - top;
                    float* const c_tile = tap + top * l.c_block + j;
                    outer_tile(height, channels - j, {rows, g.ow, y1 + top, l.y_pixel, 0, x1 + j, step, row - g.ow * step, c_tile, l.c_block, add});
                  }
              }
          }
        for (int64_t q = 0; last && q < outs; q++) put(sums + q * l.c_block, outs * l.c_block, taps, channels, turned, to + q * g.cg * taps);
      }
    });
  }
  return {};
}

}  // namespace wgrad_outer
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
