// Many sequences: a step of 16 hidden units as register tiles that hold all of their gates, over both products to the sums that the cell reads: nothing is
// written between (but for the GRU's i_n). Biases come last: what begins with them is rounded more coarsely. A product for the inputs of a step and one for
// its states, tile by tile through the buffer of sums: LSTM 64x28x28x128, whose input product is 28 deep, 7 % slower, 32x50x128x256 2 %.
#pragma once
#include "matmul/gemm.h"
#include "recurrent/cell_rows.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Seven rows of four gates are 28 accumulators, nine of three 27 (the GRU in tiles of seven, with i_n and j_n side by side: 1 % slower): as many
// registers as only AVX-512 has for vectors of 16. Elsewhere panels.h multiplies two gates at a time.
constexpr bool has_tiles = lanes == unit_block;
constexpr int64_t tiles_from = 8;                       // sequences; fewer use a weight too seldom, and share it between steps instead
template <int kind> constexpr int sums_of = kind == cell::lstm || kind == cell::gru ? 4 : 1;
template <int kind> constexpr int gates_in = kind == cell::gru ? 3 : sums_of<kind>;
template <int kind> constexpr int most_rows = kind == cell::lstm ? 7 : kind == cell::gru ? 9
                                                                                         : 14;

struct StepTile {
  const float *x, *h;                   // the tile's first rows
  int64_t x_row, h_row, inputs, outputs;
  const float *w_ih, *w_hh, *bias;      // of the hidden block
  const float *next_ih, *next_hh;       // lines of the block that comes next, one of which is brought to L2 for each k
};

// acc[r][g] += a[r][k] w[k][g]
template <int R, int G>
ACCELNN_INLINE void multiply(vf (&acc)[R][G], const float* a, int64_t a_row, int64_t depth, const float* w, const float* next) {
  const float *a0 = a, *a5 = a + 5 * a_row, *a10 = a + 10 * a_row;
  for (int64_t k = 0; k < depth; k++, w += G * unit_block, next += unit_block) {
    vf b[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) b[g] = load(w + g * unit_block);
    __builtin_prefetch(next, 0, 2);
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      const vf x = splat((r < 5 ? a0 : r < 10 ? a5
                                              : a10)[r % 5 * a_row + k]);
#pragma GCC unroll 4
      for (int g = 0; g < G; g++) acc[r][g] = fma(x, b[g], acc[r][g]);
    }
  }
}

template <int kind, int R> void step_tile_body(const StepTile& t, float* sums) {
  constexpr int S = sums_of<kind>, G = gates_in<kind>;
  vf acc[R][G];
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) acc[r][g] = vf{};
  multiply<R, G>(acc, t.x, t.x_row, t.inputs, t.w_ih, t.next_ih);
  if constexpr (kind == cell::gru)
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      store(sums + (r * S + 3) * unit_block, acc[r][2] + load(t.bias + 3 * unit_block));
      acc[r][2] = vf{};
    }
  multiply<R, G>(acc, t.h, t.h_row, t.outputs, t.w_hh, t.next_hh);
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) store(sums + (r * S + g) * unit_block, acc[r][g] + load(t.bias + g * unit_block));
}

using StepTileBody = void (*)(const StepTile&, float*);
template <int kind> struct StepTiles {
  StepTileBody height[most_rows<kind> + 1];
  constexpr StepTiles() : height{} { fill<most_rows<kind>>(); }
  template <int R> constexpr void fill() {
    height[R] = step_tile_body<kind, R>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int kind> constexpr StepTiles<kind> step_tiles;

// All rows of a step for the hidden block at..at + 16. `t` and `cells`: at their first rows.
template <int kind> void step_by_tiles(const StepTile& first, const CellRows& cells, int64_t at) {
  constexpr int S = sums_of<kind>;
  alignas(64) float sums[most_rows<kind> * S * unit_block];
  const int64_t n = cells.n, tiles = tiles_of(n, most_rows<kind>);
  for (int64_t i = 0; i < tiles; i++) {
    const int64_t i0 = tile_start(n, tiles, i), rows = tile_start(n, tiles, i + 1) - i0, turn = i < gates_in<kind> ? i : 0;
    StepTile t = first;
    t.x += i0 * t.x_row;
    t.h += i0 * t.h_row;
    t.next_ih += turn * t.inputs * unit_block;
    t.next_hh += turn * t.outputs * unit_block;
    CellRows c = cells;
    c.n = rows;
    c.h += i0 * c.h_row;
    c.h_new += i0 * c.h_new_row;
    c.c += c.c ? i0 * c.c_row : 0;
    c.order += i0;
    c.sums_row = S * unit_block;
    expect_writes(c, at);
    step_tiles<kind>.height[rows](t, sums);
    cell_rows(kind, c, at, sums);
  }
}

inline void step_by_tiles(int kind, const StepTile& t, const CellRows& cells, int64_t at) {
  switch (kind) {
    case cell::lstm: return step_by_tiles<cell::lstm>(t, cells, at);
    case cell::gru: return step_by_tiles<cell::gru>(t, cells, at);
    case cell::rnn_tanh: return step_by_tiles<cell::rnn_tanh>(t, cells, at);
    default: return step_by_tiles<cell::rnn_relu>(t, cells, at);
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
