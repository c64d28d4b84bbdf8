// The float convolution over the register tile of matmul/gemm.h, written once for every width.
#pragma once
#include "conv2d/columns.h"
#include "conv2d/conv2d.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
inline namespace conv2d_family {

ACCELNN_INLINE int64_t conv_flops(const conv::Geometry& g) { return 2 * g.n * g.o * g.pixels * g.k; }

// Where the taps of a unit start: x itself, or its copy with borders.
ACCELNN_INLINE const float* band_of(const conv::Geometry& g, const conv::Band& b, const float* x, int64_t channels, const Unit& u, float* plane) {
  if (!b.copy) return x + u.first_row * g.sh * g.w;
  copy_band(g, b, x, channels, u.first_row, u.rows, 0.0f, plane);
  return plane;
}

// y[o, pixel] = w[o, tap] columns[tap, pixel]: weights are the broadcast operand, read in place.
inline Status conv2d_f32(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  const conv::Geometry g = conv::geometry(call, x, w, y);
  const conv::Layout l = conv::forward_layout(g);
  char* const work = static_cast<char*>(call.work);
  int64_t* const tap = slice_at<int64_t>(work, l.taps);
  Lanes* const lane = slice_at<Lanes>(work, l.lanes);
  const int64_t units = g.n * g.groups * l.band.count;
  if (units == 0 || g.o == 0) return {};
  conv::fill_tables(g, l.band, g.cg, g.k, tap, lane);
  // As many pieces as there are threads without work: each gathers all columns again, which changes no bit. 512 to 512 channels
  // 7x7: 1.83 instead of 2.84 ms on two threads, 256 to 256 14x14: 1.19 instead of 2.24.
  const int64_t threads = call.pool && conv_flops(g) >= worth_waking ? call.pool->threads() : 1, cuts = conv::at_most(l.cuts, conv::divide_up(threads, units));
  const int how = int(call.integer(conv2d_attr::activation));
  const float* const residual = call.in[3].absent() ? nullptr : call.in[3].as<float>();

  const int64_t pieces = units * cuts, parts = conv::at_most(pieces, l.parts);
  parallel(call, parts, conv_flops(g), [&](int64_t part) {
    char* const slice = work + l.part + part * l.slice;
    float *const plane = slice_at<float>(slice, l.plane), *const panel = slice_at<float>(slice, l.panel);
    for (int64_t number = part * pieces / parts; number < (part + 1) * pieces / parts; number++) {
      const Unit u(g, l.band, number / cuts);
      const int64_t from = number % cuts * g.og / cuts, outputs = (number % cuts + 1) * g.og / cuts - from, tiles = tiles_of(outputs);
      const float* const base = band_of(g, l.band, x.as<float>() + (u.image * g.c + u.group * g.cg) * g.h * g.w, g.cg, u, plane);
      const int64_t first = (u.image * g.o + u.group * g.og) * g.pixels + u.first_row * g.ow;
      float* const out = y.as<float>() + first;
      for (int64_t p = 0; p < u.pixels; p += l.columns) {
        const int64_t columns = conv::at_most(l.columns, u.pixels - p);
        int64_t k = 0;
        do {                  // once even without taps: the bias remains
          const int64_t depth = conv::at_most(l.k_block, g.k - k);
          for (int64_t q = 0; q < columns; q += conv::group_pixels)
            pack_columns(base, tap + k, depth, lane[(p + q) / conv::group_pixels], conv::at_most(conv::group_pixels, columns - q), panel + q * depth,
                         conv::group_pixels);
          const bool last = k + depth == g.k;
          for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t o = from + tile_start(outputs, tiles, tile), tile_height = from + tile_start(outputs, tiles, tile + 1) - o, all = u.group * g.og + o;
            Epilogue epilogue;
            if (last) epilogue = {bias.absent() ? nullptr : bias.as<float>() + all, nullptr, how};
            for (int64_t q = 0; q < columns; q += tile_columns)
              f32_tile(int(tile_height),
                       {depth, w.as<float>() + all * g.k + k, g.k, panel + q / panel_columns * panel_columns * depth + q % panel_columns,
                        panel_columns, panel_columns * depth, out + o * g.pixels + p + q, g.pixels,
                        int(conv::at_most(tile_columns, columns - q)), k > 0 ? out + o * g.pixels + p + q : residual ? residual + first + o * g.pixels + p + q
                                                                                                                     : nullptr},
                       epilogue);
          }
          k += depth;
        } while (k < g.k);
      }
    }
  });
  return {};
}

}  // namespace conv2d_family
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
