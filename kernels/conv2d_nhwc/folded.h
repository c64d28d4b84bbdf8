// The first layer of many networks, 7x7 at stride 2 of an image of up to 4 channels. Folding 2x2 pixels into channels makes it a 4x4 convolution of 4 C
// channels at stride 1 (7 taps padded to 8: 64/49 more work), and F(3x3, 4x4) needs 36 products for 9 outputs: for 3 channels 48 multiply-adds an
// output instead of 147. Direct, peers are at 100 of 116 GFLOP/s: there is nothing else to win.
#pragma once
#include "conv2d_nhwc/winograd.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Folded rows first..first + rows - 1 of image x: pixel (i, j) holds x[2i + a - top, 2j + b - left, c] at (a, b, c), 16 floats a pixel. `line`: room for
// a row with borders.
inline void fold_rows(const conv::Geometry& g, const conv::Winograd& p, const float* x, int64_t first, int64_t rows, float* to, float* line) {
  const int64_t pair = 2 * g.c, length = p.fold_columns * pair, left = conv::at_most(g.left * g.c, length);
  const int64_t inside = conv::at_most(g.w * g.c, length - left);
  for (int64_t i = 0; i < length + 8; i++) line[i] = 0.0f;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t a = 0; a < 2; a++) {
      const int64_t h = 2 * (first + i) + a - g.top;
      if (h >= 0 && h < g.h) std::memcpy(line + left, x + h * g.w * g.c, size_t(inside) * 4);
      else std::memset(line + left, 0, size_t(inside) * 4);
      float* o = to + i * p.fold_columns * 16 + a * pair;
      // 8 floats for 2 C: the second row writes over what the first wrote too much, nobody looks at the rest.
      for (int64_t j = 0; j < p.fold_columns; j++) std::memcpy(o + j * 16, line + j * pair, 32);
    }
}

inline Status conv2d_folded(const Call& call, const conv::Geometry& g, const float* x, const float* packed, const float* bias, const float* residual, float* y,
                            int how, char* work) {
  using T = Points6<3>;
  constexpr int S = T::size, M = T::m;
  const conv::Winograd p = conv::winograd_plan(g, conv::folded);
  if (p.tiles == 0 || g.o == 0) return {};
  const WinogradCall<T> w = {g, p, x, packed, nullptr, y, {bias, residual, how}};
  const int64_t each = p.th * p.tw, blocks = p.blocks / g.n;
  parallel(call, p.parts, nhwc_flops(g) / 2, [&](int64_t part) {
    char* const slice = work + p.part + part * p.slice;
    float *const products = reinterpret_cast<float*>(slice + p.products), *const v = reinterpret_cast<float*>(slice + p.v);
    float *const image = reinterpret_cast<float*>(slice + p.image), *const line = image + p.fold_rows * p.fold_columns * 16;
    for (int64_t unit = part * p.units / p.parts; unit < (part + 1) * p.units / p.parts; unit++) {
      const int64_t n = unit / blocks, block = unit % blocks;
      const int64_t first = tile_start(each, blocks, block), last = tile_start(each, blocks, block + 1), top = first / p.tw;
      fold_rows(g, p, x + n * g.h * g.w * g.c, top * M, ((last - 1) / p.tw + 1 - top) * M + 3, image, line);
      for (int64_t t = first; t < last; t++) {
        const float* const corner = image + ((t / p.tw - top) * M * p.fold_columns + t % p.tw * M) * 16;
        const float* pixel[S * S];
        for (int i = 0; i < S; i++)
          for (int j = 0; j < S; j++) pixel[i * S + j] = corner + (i * p.fold_columns + j) * 16;
        transform_tile<T>(pixel, p.channels, v + (t - first) * p.row, p.plane);
      }
      w.columns(n * each + first, last - first, v, 0, g.o, products);
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
