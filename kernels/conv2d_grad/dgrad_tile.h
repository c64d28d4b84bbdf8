// The register tile of dgrad: dx[channels, pixels] += w[o, c, tap] dy[o, pixel + tap], weights broadcast from where they lie, pixels in vectors from where
// they lie. No copy of either operand has to be made for it.
#pragma once
#include "conv2d_grad/layout.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace dgrad {

// Few channels get more vectors of pixels: eight accumulators are the least that hides the latency of a multiply-add.
#if defined(__AVX512F__)
constexpr int most_rows = 14;
constexpr int vectors_for(int64_t channels) { return channels >= 7 ? 2 : channels >= 4 ? 4
                                                                                       : 8; }
#elif defined(__AVX2__)
constexpr int most_rows = 6;
constexpr int vectors_for(int64_t channels) { return channels >= 3 ? 2 : 4; }
#elif defined(ACCELNN_NEON)
constexpr int most_rows = 6;
constexpr int vectors_for(int64_t) { return 4; }
#else
constexpr int most_rows = 6;
constexpr int vectors_for(int64_t) { return 2; }
#endif

struct Tile {
  int64_t outs, taps;         // of the sum: outputs of the group, taps of the phase
  const float* b;             // pixel 0: element (o, t, j) at b[o * b_out + b_tap[t] + j]; whole vectors are read
  int64_t b_out, b_row;       // of vectors in rows of C: from row to row
  const int64_t* b_tap;
  const float* a;             // channel 0: element (o, t, i) at a[o * a_out + a_tap[t] + i * a_row]
  int64_t a_out;
  const int64_t* a_tap;
  int64_t a_row;
  const float* bias;          // null, or a number a channel
  float* c;                   // channels c_row apart, whole vectors
  int64_t c_row;
  int64_t width = 0, height = 0, c_line = 0;      // if given: rows of that many pixels, c_line apart, are written, so many of them
};

// V vectors in rows of C.
template <int R, int V, int C = V> void tile_body(const Tile& t) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) acc[i][j] = vf{};
  const int64_t s = t.a_row;
  const float *a_out = t.a, *b_out = t.b;
  const int64_t ahead = t.a_out * (t.taps >= 4 ? 2 : 8);
  // What is written lies as far apart: fetched while the sums are made.
  for (int i = 0; i < R; i++)
    for (int j = 0; j < V; j++) __builtin_prefetch(t.c + i * t.c_row + (t.width ? j / C * t.c_line + j % C * lanes : j * lanes), 1, 2);
  for (int64_t o = 0; o < t.outs; o++, a_out += t.a_out, b_out += t.b_out) {
    // Weights of an output lie 4 a_out bytes further on, often on another page: nobody else fetches them in time.
    if (R >= 4) {
      const float* next = a_out + ahead;
      for (int64_t line = 0; line < R * s; line += 16) __builtin_prefetch(next + line);
      __builtin_prefetch(next + R * s - 1);
    }
    for (int64_t k = 0; k < t.taps; k++) {
      const float* const b = b_out + t.b_tap[k];
      const float *const a0 = a_out + t.a_tap[k], *const a5 = a0 + 5 * s, *const a10 = a0 + 10 * s;
      vf bv[V];
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) bv[j] = load(b + j / C * t.b_row + j % C * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++) {
        const float* row = i < 5 ? a0 : i < 10 ? a5
                                               : a10;
        const vf x = splat(row[i % 5 * s]);
#pragma GCC unroll 8
        for (int j = 0; j < V; j++) acc[i][j] = fma(x, bv[j], acc[i][j]);
      }
    }
  }
  if (t.bias)
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) acc[i][j] += t.bias[i];
  if (t.width) {
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
      const int64_t column = j % C * lanes, left = t.width - column;
      if (j / C >= t.height || left <= 0) continue;
      float* const to = t.c + j / C * t.c_line + column;
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
        if (left >= lanes) store(to + i * t.c_row, acc[i][j]);
        else store(to + i * t.c_row, acc[i][j], int(left));
    }
    return;
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) store(t.c + i * t.c_row + j * lanes, acc[i][j]);
}

using Body = void (*)(const Tile&);
// The tile for `rows` channels; null beyond most_rows. Only heights that vectors_for() gives V are compiled for it.
template <int V, int R = most_rows> Body body_of(int rows) {
  if constexpr (R == 0) return nullptr;
  else {
    if constexpr (vectors_for(R) == V)
      if (rows == R) return tile_body<R, V>;
    return body_of<V, R - 1>(rows);
  }
}
inline Body body_for(int rows, int vectors) {
  switch (vectors) {
    case 2: return body_of<2>(rows);
    case 4: return body_of<4>(rows);
    default: return body_of<8>(rows);
  }
}

// One vector, for what is left of the pixels.
template <int R = most_rows> Body narrow_body_for(int rows) {
  if constexpr (R == 0) return nullptr;
  else return rows == R ? tile_body<R, 1> : narrow_body_for<R - 1>(rows);
}

// The same for vectors in rows of C, where all channels are one tile.
template <int C, int R = most_rows> Body rows_body_of(int rows) {
  if constexpr (R == 0) return nullptr;
  else {
    if constexpr (R <= conv_grad::few && C <= vectors_for(R))
      if (rows == R) return tile_body<R, vectors_for(R), C>;
    return rows_body_of<C, R - 1>(rows);
  }
}
inline Body rows_body_for(int rows, int columns) {
  switch (columns) {
    case 1: return rows_body_of<1>(rows);
    case 2: return rows_body_of<2>(rows);
    case 4: return rows_body_of<4>(rows);
    default: return rows_body_of<8>(rows);
  }
}

}  // namespace dgrad
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
