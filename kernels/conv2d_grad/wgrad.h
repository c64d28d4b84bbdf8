// dw as a matrix product over pixels; sums over groups of images, each with sums of its own.
#pragma once
#include "conv2d/columns.h"
#include "conv2d_grad/conv2d_wgrad.h"
#include "conv2d_grad/strided_wgrad.h"
#include "conv2d_grad/wgrad_outer.h"
#include "conv2d_grad/wgrad_points.h"
#include "conv2d_grad/wgrad_rows.h"
#include "conv2d_grad/winograd_wgrad.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// dw^T[tap, o] = columns[tap, pixel] dy^T[pixel, o]: columns are the broadcast operand, 16 outputs at a time fill the lanes. Each group of images has
// its own sums; they are added in order at the end.
inline Status wgrad_product(const Call& call, const conv::Geometry& g) {
  const TensorView &dy = call.in[0], &x = call.in[1], &dw = call.out[0];
  const conv_grad::WgradLayout l = conv_grad::wgrad_layout(g);
  char* const work = static_cast<char*>(call.work);
  int64_t* const tap = slice_at<int64_t>(work, l.taps);
  conv::Lanes* const lane = slice_at<conv::Lanes>(work, l.lanes);
  float* const turned = slice_at<float>(work, l.turned);      // [group of images][group][tap][o16]
  const int64_t taps = g.r * g.s, blocks = conv::divide_up(g.cg, l.channels), units = l.images * g.groups * blocks;
  const int64_t o16 = conv::round_up(g.og, conv::group_pixels);
  conv::fill_tables(g, l.band, l.channels, l.channels * taps, tap, lane);

  parallel(call, l.parts, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    char* const slice = work + l.part + part * l.slice;
    float *const plane = slice_at<float>(slice, l.plane), *const panel = slice_at<float>(slice, l.panel);
    float* const columns = slice_at<float>(slice, l.sums);
    if (o16 != g.og) std::memset(panel, 0, size_t(l.columns * o16) * 4);       // lanes without an output are computed too: no denormals there
    for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
      const int64_t block = unit % blocks, group = unit / blocks % g.groups, images = unit / blocks / g.groups;
      const int64_t c = block * l.channels, channels = conv::at_most(l.channels, g.cg - c), rows = channels * taps, tiles = tiles_of(rows);
      float* const sums = turned + ((images * g.groups + group) * g.k + c * taps) * o16;
      bool accumulate = false;
      for (int64_t image = images * g.n / l.images; image < (images + 1) * g.n / l.images; image++)
        for (int64_t band = 0; band < l.band.count; band++) {
          const Unit u(g, l.band, (image * g.groups + group) * l.band.count + band);
          const int64_t pixels = u.pixels;
          const float* base = x.as<float>() + (image * g.c + group * g.cg + c) * g.h * g.w;
          if (l.band.copy) {
            copy_band(g, l.band, base, channels, u.first_row, u.rows, 0.0f, plane);
            base = plane;
          } else base += u.first_row * g.sh * g.w;
          for (int64_t p = 0; p < pixels; p += conv::group_pixels)
            pack_columns(base, tap, rows, lane[p / conv::group_pixels], conv::at_most(conv::group_pixels, pixels - p), columns + p, l.columns);
          const float* const from = dy.as<float>() + (image * g.o + group * g.og) * g.pixels + u.first_row * g.ow;
          for (int64_t o = 0; o < g.og; o += panel_columns)
            transpose(from + o * g.pixels, g.pixels, conv::at_most(panel_columns, g.og - o), pixels, panel + o * pixels, panel_columns);
          for (int64_t tile = 0; tile < tiles; tile++) {
            const int64_t k = tile_start(rows, tiles, tile), tile_height = tile_start(rows, tiles, tile + 1) - k;
            for (int64_t o = 0; o < g.og; o += tile_columns)
              f32_tile(int(tile_height),
                       {pixels, columns + k * l.columns, l.columns, panel + o / panel_columns * panel_columns * pixels + o % panel_columns,
                        panel_columns, panel_columns * pixels, sums + k * o16 + o, o16, int(conv::at_most(tile_columns, g.og - o)),
                        accumulate ? sums + k * o16 + o : nullptr},
                       {});
          }
          accumulate = true;
        }
    }
  });

  const int64_t count = g.groups * g.k * o16;
  for (int64_t images = 1; images < l.images; images++)
    for (int64_t i = 0; i < count; i += lanes) store(turned + i, load(turned + i) + load(turned + images * count + i));
  parallel(call, g.groups, 8 * g.o * g.k, [&](int64_t group) {
    transpose(turned + group * g.k * o16, o16, g.k, g.og, dw.as<float>() + group * g.og * g.k, g.k);
  });
  return {};
}

inline Status conv2d_wgrad_f32(const Call& call) {
  const conv::Geometry g = conv::geometry(call, call.in[1], call.out[0], call.in[0]);
  if (g.o == 0 || g.k == 0) return {};
  if (g.n == 0) {
    for (int64_t i = 0; i < g.o * g.k; i++) call.out[0].as<float>()[i] = 0.0f;
    return {};
  }
  switch (conv_grad::wgrad_way(g, call.integer(conv2d_wgrad_attr::exact) != 0)) {
    case conv_grad::WgradWay::winograd: return winograd_grad::wgrad(call, g);
    case conv_grad::WgradWay::strided: return strided_grad::wgrad(call, g);
    case conv_grad::WgradWay::points: return wgrad_points::run(call, g);
    case conv_grad::WgradWay::outer: return wgrad_outer::run(call, g);
    case conv_grad::WgradWay::rows: return wgrad_rows::run(call, g);
    default: return wgrad_product(call, g);
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
