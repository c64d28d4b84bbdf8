// The three float convolutions over the register tile of matmul/gemm.h, written once for every width.
#pragma once
#include "conv2d/columns.h"
#include "conv2d/conv2d.h"
#include "conv2d/conv2d_dgrad.h"
#include "conv2d/conv2d_wgrad.h"
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
  const int64_t tiles = tiles_of(g.og);
  const int how = int(call.integer(conv2d_attr::activation));
  const float* const residual = call.in[3].absent() ? nullptr : call.in[3].as<float>();

  parallel(call, l.parts, conv_flops(g), [&](int64_t part) {
    char* const slice = work + l.part + part * l.slice;
    float *const plane = slice_at<float>(slice, l.plane), *const panel = slice_at<float>(slice, l.panel);
    for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
      const Unit u(g, l.band, unit);
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
            const int64_t o = tile_start(g.og, tiles, tile), tile_height = tile_start(g.og, tiles, tile + 1) - o, all = u.group * g.og + o;
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

// Lanes from..to - 1 of a vector at p, zeros in the others. A vector around p must be readable (any bits): the workspace has margins.
ACCELNN_INLINE vf load_between(const float* p, int from, int to) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_loadu_ps(__mmask16((1u << to) - (1u << from)), p));
#else
  vi lane;
  for (int i = 0; i < lanes; i++) lane[i] = i;
  return as_float(load_bits(p) & (lane >= from) & (lane < to));
#endif
}

// Sums the products [tap][pixel] of one channel back into its image (col2im): every element of dx gathers its taps in order. A vector of dx at
// stride 1 looks at runs of the products; scattering them instead stalls on loads of what was just stored elsewhere.
inline void sum_columns(const conv::Geometry& g, const float* products, int64_t row, float* dx) {
  if (g.sw != 1) {
    for (int64_t i = 0; i < g.h * g.w; i++) dx[i] = 0.0f;
    for (int64_t r = 0; r < g.r; r++)
      for (int64_t s = 0; s < g.s; s++, products += row)
        for (int64_t i = 0; i < g.oh; i++) {
          const int64_t h = i * g.sh + r * g.dh - g.top, shift = s * g.dw - g.left;
          if (h < 0 || h >= g.h) continue;
          const int64_t from = shift < 0 ? conv::divide_up(-shift, g.sw) : 0;
          const int64_t to = shift >= g.w ? 0 : conv::at_most((g.w - 1 - shift) / g.sw + 1, g.ow);
          float* const d = dx + h * g.w + shift;
          const float* const q = products + i * g.ow;
          for (int64_t j = from; j < to; j++) d[j * g.sw] += q[j];
        }
    return;
  }
  for (int64_t h = 0; h < g.h; h++)
    for (int64_t v = 0; v < g.w; v += lanes) {
      const int n = int(conv::at_most(lanes, g.w - v));
      vf sum = {};
      for (int64_t r = 0; r < g.r; r++) {
        const int64_t shifted = h + g.top - r * g.dh, i = shifted / g.sh;
        if (shifted < 0 || shifted % g.sh || i >= g.oh) continue;
        for (int64_t s = 0; s < g.s; s++) {
          const int64_t j = v + g.left - s * g.dw;                 // the output column of lane 0
          const int64_t from = j < 0 ? -j : 0, to = conv::at_most(n, g.ow - j);
          if (from < to) sum += load_between(products + (r * g.s + s) * row + i * g.ow + j, int(from), int(to));
        }
      }
      store(dx + h * g.w + v, sum, n);
    }
}

// products[tap, pixel] = w^T[tap, o] dy[o, pixel] for a block of channels, then sum_columns. As many multiply-adds as the forward pass at any stride;
// a convolution of dy with zeros stuffed in and around costs twice as many for LeNet's second layer, and stride^2 times as many with strides.
inline Status conv2d_dgrad_f32(const Call& call) {
  const TensorView &dy = call.in[0], &w = call.in[1], &dx = call.out[0];
  const conv::Geometry g = conv::geometry(call, dx, w, dy);
  const conv::Layout l = conv::dgrad_layout(g);
  char* const work = static_cast<char*>(call.work);
  const int64_t blocks = conv::divide_up(g.cg, l.channels), units = g.n * g.groups * blocks, taps = g.r * g.s;
  if (units == 0) return {};
  float* const turned = slice_at<float>(work, l.weights);      // [group][tap of all channels][og]
  parallel(call, g.groups, 8 * g.o * g.k, [&](int64_t group) {
    transpose(w.as<float>() + group * g.og * g.k, g.k, g.og, g.k, turned + group * g.og * g.k, g.og);
  });

  parallel(call, l.parts, conv_flops(g), [&](int64_t part) {
    char* const slice = work + l.part + part * l.slice;
    float *const panel = slice_at<float>(slice, l.panel), *const products = slice_at<float>(slice, l.sums);
    for (int64_t unit = part * units / l.parts; unit < (part + 1) * units / l.parts; unit++) {
      const int64_t block = unit % blocks, group = unit / blocks % g.groups, image = unit / blocks / g.groups;
      const int64_t c = block * l.channels, channels = conv::at_most(l.channels, g.cg - c), rows = channels * taps, tiles = tiles_of(rows);
      const float* const from = dy.as<float>() + (image * g.o + group * g.og) * g.pixels;
      for (int64_t p = 0; p < g.pixels; p += tile_columns) {
        const int n = int(conv::at_most(tile_columns, g.pixels - p));
        for (int64_t o = 0; o < g.og; o++)
          for (int j = 0; j < n; j += lanes) {
            const float* q = from + o * g.pixels + p + j;
            store(panel + o * tile_columns + j, n - j >= lanes ? load(q) : load(q, n - j));
          }
        for (int64_t tile = 0; tile < tiles; tile++) {
          const int64_t k = tile_start(rows, tiles, tile), tile_height = tile_start(rows, tiles, tile + 1) - k;
          f32_tile(int(tile_height),
                   {g.og, turned + (group * g.k + c * taps + k) * g.og, g.og, panel, tile_columns, panel_columns, products + k * l.columns + p,
                    l.columns, n, nullptr},
                   {});
        }
      }
      float* const to = dx.as<float>() + (image * g.c + group * g.cg + c) * g.h * g.w;
      for (int64_t i = 0; i < channels; i++) sum_columns(g, products + i * taps * l.columns, l.columns, to + i * g.h * g.w);
    }
  });
  return {};
}

// dw^T[tap, o] = columns[tap, pixel] dy^T[pixel, o]: columns are the broadcast operand, 16 outputs at a time fill the lanes. Each group of images has
// its own sums; they are added in order at the end.
inline Status conv2d_wgrad_f32(const Call& call) {
  const TensorView &dy = call.in[0], &x = call.in[1], &dw = call.out[0];
  const conv::Geometry g = conv::geometry(call, x, dw, dy);
  const conv::Layout l = conv::wgrad_layout(g);
  float* const to = dw.as<float>();
  if (g.o == 0 || g.k == 0) return {};
  if (g.n == 0) {
    for (int64_t i = 0; i < g.o * g.k; i++) to[i] = 0.0f;
    return {};
  }
  char* const work = static_cast<char*>(call.work);
  int64_t* const tap = slice_at<int64_t>(work, l.taps);
  Lanes* const lane = slice_at<Lanes>(work, l.lanes);
  float* const turned = slice_at<float>(work, l.weights);      // [group of images][group][tap][o16]
  const int64_t taps = g.r * g.s, blocks = conv::divide_up(g.cg, l.channels), units = l.images * g.groups * blocks;
  const int64_t o16 = conv::round_up(g.og, conv::group_pixels);
  conv::fill_tables(g, l.band, l.channels, l.channels * taps, tap, lane);

  parallel(call, l.parts, conv_flops(g), [&](int64_t part) {
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
          const float* const base = band_of(g, l.band, x.as<float>() + (image * g.c + group * g.cg + c) * g.h * g.w, channels, u, plane);
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
    transpose(turned + group * g.k * o16, o16, g.k, g.og, to + group * g.og * g.k, g.k);
  });
  return {};
}

}  // namespace conv2d_family
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
