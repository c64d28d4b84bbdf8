// F(4,3) where a group has 4 or 8 channels in and out: a vector of channels (or the vectors of one group) goes through all three steps, one column of
// points after the other, so that transformed inputs and products never leave the registers. Product D of output l takes input channel l ^ D of its group
// (the packed weights are in that order): one exchange of lanes for each but the first.
// One thread, 128 channels in groups of 4, 56x56: 239 us; 256 in groups of 8, 28x28: 179. Tried and left: transforms along rows alone, three rows of taps
// summed at six points each (18 products an output for 9, nothing stored: 5 % slower for groups of 4, 20 % for 8); all 36 points and products by way of
// memory (5 to 19 % slower; with 8 images, without asking for the next row of tiles, 5.7 ms for 4.1); tiles over the edge by way of copies (12x12: 17 us
// for 14).
#pragma once
#include "conv2d_nhwc/winograd.h"
#include "lanes.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

template <int D, int... l> ACCELNN_INLINE vf exchange_(vf v, Lanes<l...>) { return ACCELNN_SHUFFLE(v, v, (l ^ D)...); }
// Lane l is lane l ^ D of v.
template <int D> ACCELNN_INLINE vf exchange(vf v) {
  if constexpr (D == 0) return v;
  else return exchange_<D>(v, AllLanes{});
}

// Channels that go together, in vectors: whole groups.
template <int CG> constexpr int lanes_vectors = CG > lanes ? CG / lanes : 1;

// The sum over a group's channels at one point, for vector q of it. far: v with its fours exchanged, where a group has eight in one vector (two
// exchanges within a four and one across are cheaper than seven across).
template <int CG, int D> ACCELNN_INLINE vf exchanged_sum(const vf* v, int q, vf far, const float* u, vf sum) {
  constexpr bool wide = CG > lanes;
  const vf x = wide ? exchange<D % lanes>(v[q ^ D / lanes]) : exchange<D % 4>(D < 4 ? v[0] : far);
  sum = fma(x, load(u + D * panel_columns), sum);
  if constexpr (D + 1 < CG) return exchanged_sum<CG, D + 1>(v, q, far, u, sum);
  else return sum;
}

// What of a tile lies inside of the image: bit i of `rows` and `columns` for row and column i; `made` rows and columns of it are wanted, of n channels.
struct LanesEdge {
  unsigned rows, columns;
  int made_rows, made_columns, n;
};

// Six by six pixels at x, `row` and `pixel` elements apart, to four by four outputs at y + at; o: the first of the channels. Whole: all of it inside.
template <int CG, bool Whole>
__attribute__((noinline)) void lanes_tile(const float* x, int64_t row, int64_t pixel, const float* u, const Finish& finish, float* y, int64_t at, int64_t o,
                                          int64_t down, int64_t right, const LanesEdge& edge) {
  using T = Points6<4>;
  constexpr int S = T::size, M = T::m, V = lanes_vectors<CG>;
  [[maybe_unused]] const auto some = [&](int q) { return int(conv::at_least(conv::at_most(lanes, edge.n - q * lanes), 0)); };
  vf e[S][S][V];                        // pixel row, point along it
#pragma GCC unroll 6
  for (int i = 0; i < S; i++)
    for (int q = 0; q < V; q++) {
      vf d[S], v[S];
      [[maybe_unused]] const int here = Whole ? 0 : edge.rows >> i & 1 ? some(q)
                                                                       : 0;
#pragma GCC unroll 6
      for (int j = 0; j < S; j++) {
        const float* const from = x + i * row + j * pixel + q * lanes;
        d[j] = Whole ? load(from) : load(from, edge.columns >> j & 1 ? here : 0);
      }
      T::in(d, 1, v, 1);
#pragma GCC unroll 6
      for (int j = 0; j < S; j++) e[i][j][q] = v[j];
    }
  vf s[V][M][S];                        // output row, point along it
#pragma GCC unroll 1
  for (int p = 0; p < S; p++, u += CG * panel_columns) {
    vf v[S][V];
    for (int q = 0; q < V; q++) {
      vf d[S], w[S];
#pragma GCC unroll 6
      for (int i = 0; i < S; i++) d[i] = e[i][p][q];
      T::in(d, 1, w, 1);
#pragma GCC unroll 6
      for (int i = 0; i < S; i++) v[i][q] = w[i];
    }
    for (int q = 0; q < V; q++) {
      vf m[S], w[M];
#pragma GCC unroll 6
      for (int i = 0; i < S; i++) {
        vf far = {};
        if constexpr (CG == 8 && V == 1) far = exchange<4>(v[i][0]);
        m[i] = exchanged_sum<CG, 0>(v[i], q, far, u + i * S * CG * panel_columns + q * lanes, vf{});
      }
      T::out(m, 1, w, 1);
#pragma GCC unroll 4
      for (int t = 0; t < M; t++) s[q][t][p] = w[t];
    }
  }
  const Finish f = finish;
#pragma GCC unroll 4
  for (int t = 0; t < M; t++) {
    if (!Whole && t >= edge.made_rows) break;
    for (int q = 0; q < V; q++) {
      if (!Whole && q * lanes >= edge.n) break;
      vf w[M];
      T::out(s[q][t], 1, w, 1);
#pragma GCC unroll 4
      for (int j = 0; j < M; j++)
        if (Whole || j < edge.made_columns) finish_vector(f, w[j], y, at + t * down + j * right + q * lanes, o + q * lanes, Whole ? lanes : some(q));
    }
  }
}

template <int CG> struct LanesCall {
  static constexpr int S = 6, M = 4, step = lanes_vectors<CG> * lanes;
  using Winograd = WinogradCall<Points6<4>>;
  const Winograd& w;

  // Tile columns [j0, j1) of one row of tiles, channels [c0, c1).
  void line(int64_t n, int64_t h, int64_t j0, int64_t j1, int64_t c0, int64_t c1) const {
    const conv::Geometry& g = w.g;
    const int64_t top = h - g.top, row = g.dh * g.w * g.c, pixel = g.dw * g.c;
    const float* const x = w.x + n * g.h * g.w * g.c;
    LanesEdge edge = {};
    const auto inside = [](int64_t first, int64_t end, int64_t dilation) {
      unsigned found = 0;
      for (int i = 0; i < S; i++) found |= unsigned(first + i * dilation >= 0 && first + i * dilation < end) << i;
      return found;
    };
    edge.rows = inside(top, g.h, g.dh);
    edge.made_rows = w.inside(h, g.oh, g.dh);
    for (int64_t c = c0; c < c1; c += step) {
      const float* const u = w.packed + c / panel_columns * (S * S * CG * panel_columns) + c % panel_columns;
      edge.n = int(conv::at_most(step, g.c - c));
      for (int64_t j = j0; j < j1; j++) {
        const int64_t column = w.start(j, g.dw), left = column - g.left, at = ((n * g.oh + h) * g.ow + column) * g.o + c;
        edge.columns = inside(left, g.w, g.dw);
        edge.made_columns = w.inside(column, g.ow, g.dw);
        const float* const from = x + (top * g.w + left) * g.c + c;
        // The next row of tiles, into L2: a walk by channels within few columns is none that the hardware follows.
        if (c % 16 == 0)
          for (int i = S; i < S + M; i++)
            for (int k = 0; k < M; k++) __builtin_prefetch(from + i * row + k * pixel, 0, 2);
        const bool whole = (edge.rows & edge.columns) == (1u << S) - 1 && edge.made_rows == M && edge.made_columns == M && edge.n == step;
        (whole ? lanes_tile<CG, true> : lanes_tile<CG, false>)(from, row, pixel, u, w.finish, w.y, at, c, g.dh * g.ow * g.o, g.dw * g.o, edge);
      }
    }
  }
};

template <int CG> Status conv2d_winograd_lanes(const Call& call, const conv::Geometry& g, const conv::Winograd& p, const WinogradCall<Points6<4>>& w) {
  constexpr int64_t across = 4, deep = 64;           // tiles that share a piece of the weights in L1; channels of a unit where rows are few
  const LanesCall<CG> lanes_call = {w};
  const int64_t rows = g.n * p.th, chunk = rows < 16 ? deep : g.c, chunks = conv::divide_up(g.c, conv::at_least(chunk, 1));
  const int64_t units = rows * chunks, parts = conv::at_most(units, 16);
  parallel(call, parts, nhwc_flops(g) * 3 / 4, [&](int64_t part) {
    for (int64_t unit = tile_start(units, parts, part); unit < tile_start(units, parts, part + 1); unit++) {
      const int64_t line = unit / chunks, c = unit % chunks * chunk;
      for (int64_t j = 0; j < p.tw; j += across)
        lanes_call.line(line / p.th, w.start(line % p.th, g.dh), j, conv::at_most(j + across, p.tw), c, conv::at_most(c + chunk, g.c));
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
