// conv2d_nhwc by one matrix product without columns: in an image with borders one filter row is one run of S C floats, so pixels are rows of the product
// at a stride of sw C floats, and weights are read in order. No im2col, nothing packed but borders: 105 to 115 of 116 GFLOP/s, level with oneDNN.
#pragma once
#include "conv2d_nhwc/conv2d_nhwc.h"
#include "conv2d_nhwc/tile.h"
#include "matmul/pack.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

ACCELNN_INLINE int64_t nhwc_flops(const conv::Geometry& g) { return 2 * g.n * g.o * g.pixels * g.k; }

// Rows first..first + rows - 1 of an image with borders, the channels of one group; x: its first one.
inline void copy_bordered(const conv::Geometry& g, const float* x, int64_t first, int64_t rows, float* to) {
  const int64_t left = g.left * g.cg, inside = g.w * g.cg, right = g.right * g.cg, row = left + inside + right;
  for (int64_t i = 0; i < rows; i++, to += row) {
    const int64_t from = first + i - g.top;
    if (from < 0 || from >= g.h) {
      std::memset(to, 0, size_t(row) * 4);
      continue;
    }
    std::memset(to, 0, size_t(left) * 4);
    const float* const line = x + from * g.w * g.c;
    if (g.groups == 1) std::memcpy(to + left, line, size_t(inside) * 4);
    else gather(line, g.c, 1, g.w, g.cg, to + left, g.cg);
    std::memset(to + left + inside, 0, size_t(right) * 4);
  }
}

// One unit: rows r0..r1 and columns c0..c1 of an image's output, panels q0..q1 of a group. `base` is input row `first`, borders counted.
struct DirectUnit {
  const float* base;
  int64_t first;
  float* y;
  const float* residual;
  int64_t group, r0, r1, c0, c1, q0, q1;
};

inline void direct_unit(const conv::Geometry& g, const conv::Direct& d, const int64_t* offset, const float* packed, const float* bias, int how,
                        const DirectUnit& u) {
  const int64_t taps = g.k, panel = taps * panel_columns, panels = conv::divide_up(g.og, panel_columns);
  const int64_t near = conv::at_least((int64_t(256) << 10) / conv::at_least(panel * 4, 1) / 4 * 4, 4);            // panels that stay in L2
  for (int64_t p0 = u.q0; p0 < u.q1; p0 += near) {
    const int64_t p1 = conv::at_most(p0 + near, u.q1), o1 = conv::at_most(p1 * panel_columns, g.og);
    for (int64_t i = u.r0; i < u.r1; i++) {
      ConvTile t;
      t.runs = d.runs, t.run = d.run, t.offset = offset;
      t.a_row = d.pixel, t.c_row = g.o, t.b_panel = panel;
      const int64_t line = i * d.columns * g.o + u.group * g.og;
      for (int64_t o = p0 * panel_columns; o < o1; o += t.columns) {
        t.columns = conv_tile_columns(o1 - o);
        t.b = packed + u.group * panels * panel + o / panel_columns * panel + o % panel_columns;
        const int most = conv_tile_rows(t.columns);
        const int64_t tiles = tiles_of(u.c1 - u.c0, most);
        const Epilogue e = {nullptr, bias ? bias + u.group * g.og + o : nullptr, how};
        for (int64_t tile = 0; tile < tiles; tile++) {
          const int64_t j = u.c0 + tile_start(u.c1 - u.c0, tiles, tile), next = u.c0 + tile_start(u.c1 - u.c0, tiles, tile + 1);
          t.a = u.base + (i * g.sh - u.first) * d.row + j * d.pixel;
          t.c = u.y + line + j * g.o + o;
          t.add = u.residual ? u.residual + line + j * g.o + o : nullptr;
          conv_tile(int(next - j), t, e);
        }
      }
    }
  }
}

inline Status conv2d_direct(const Call& call, const conv::Geometry& g, const float* x, const float* packed, const float* bias, const float* residual,
                            float* y, int how, char* work) {
  const conv::Direct d = conv::direct_plan(g);
  if (d.units == 0 || g.pixels == 0) return {};
  int64_t* const offset = reinterpret_cast<int64_t*>(work + d.offsets);
  for (int64_t i = 0; i < d.runs; i++)
    offset[i] = d.runs == g.r ? i * g.dh * d.row : i / g.s * g.dh * d.row + i % g.s * g.dw * d.channels;
  float* const image = reinterpret_cast<float*>(work + d.image);
  const int64_t bordered = g.top + g.h + g.bottom;
  if (d.shared) {
    constexpr int64_t rows = 8;
    const int64_t pieces = conv::divide_up(bordered, rows);
    parallel(call, g.n * pieces, 8 * g.n * bordered * d.row, [&](int64_t part) {
      const int64_t n = part / pieces, first = part % pieces * rows;
      copy_bordered(g, x + n * g.h * g.w * g.c, first, conv::at_most(rows, bordered - first), image + (n * bordered + first) * d.row);
    });
  }
  const int64_t panels = conv::divide_up(g.og, panel_columns);
  parallel(call, d.parts, nhwc_flops(g), [&](int64_t part) {
    float* const slice = reinterpret_cast<float*>(work + d.part + part * d.slice);
    for (int64_t unit = part * d.units / d.parts; unit < (part + 1) * d.units / d.parts; unit++) {
      int64_t rest = unit;
      const int64_t block = rest % d.blocks, group = (rest /= d.blocks) % g.groups, chunk = (rest /= g.groups) % d.chunks;
      const int64_t band = (rest /= d.chunks) % d.bands, n = rest / d.bands;
      DirectUnit u;
      u.group = group;
      u.first = 0;
      u.r0 = band * d.rows / d.bands, u.r1 = (band + 1) * d.rows / d.bands;
      u.c0 = chunk * d.columns / d.chunks, u.c1 = (chunk + 1) * d.columns / d.chunks;
      u.q0 = block * d.block, u.q1 = conv::at_most(u.q0 + d.block, panels);
      u.y = y + n * d.rows * d.columns * g.o;
      u.residual = residual ? residual + n * d.rows * d.columns * g.o : nullptr;
      const float* const from = x + n * g.h * g.w * g.c + group * g.cg;
      if (d.shared) {
        u.base = image + n * bordered * d.row;
      } else if (d.copy) {
        u.first = u.r0 * g.sh;
        copy_bordered(g, from, u.first, (u.r1 - u.r0 - 1) * g.sh + (g.r - 1) * g.dh + 1, slice);
        u.base = slice;
      } else {
        u.base = from;
      }
      direct_unit(g, d, offset, packed, bias, how, u);
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
