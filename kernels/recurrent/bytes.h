// Products with int8 recurrent weights: h is rounded to bytes once a step and row, four of them meet four weights in a 32-bit lane.
#pragma once
#include "matmul/dot4.h"
#include "recurrent/panels.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// A quarter of f32's bytes: at batch 1 the product is as fast as L2 hands them over.
constexpr int byte_rows = lanes == 16 ? 6 : 1;          // rows that use a weight while it is in a register

// to[k] = 128 + rint(127 / m h[k]), m = max |h|; returns m / 127: 0 for a row of zeros (and below 1e-30), NaN where h is not finite. `whole`: bytes to fill.
inline float round_row(const float* h, int64_t n, uint8_t* to, int64_t whole) {
  typedef uint8_t vb __attribute__((vector_size(lanes), aligned(1), may_alias));
  vf most = {};
  int64_t k = 0;
  for (; k + lanes <= n; k += lanes) most = max(abs(load(h + k)), most);
  if (k < n) most = max(abs(load(h + k, int(n - k))), most);
  const float m = max_of(most);
  std::memset(to + n, 128, size_t(whole - n));
  if (!(m > 1e-30f)) {
    std::memset(to, 128, size_t(n));
    return m > 0 ? 0 : m;                               // NaN stays
  }
  if (m > 3.0e38f) {
    std::memset(to, 128, size_t(n));
    return __builtin_nanf("");
  }
  const vf factor = splat(127.0f / m), magic = splat(12582912.0f);
  const auto bytes = [&](vf v) __attribute__((always_inline)) {
    return __builtin_convertvector(as_bits(v * factor + magic) + 128, vb);      // the low byte of 1.5 * 2^23 + i is that of i
  };
  for (k = 0; k + lanes <= n; k += lanes) *reinterpret_cast<vb*>(to + k) = bytes(load(h + k));
  if (k < n) {
    const vb last = bytes(load(h + k, int(n - k)));
    std::memcpy(to + k, &last, size_t(n - k));
  }
  return m / 127.0f;
}

// sums[r][g][16] += scale[r] scale_w[g][16] (bytes[r] - 128) w[g][16]. w: [quads][G][64], then the weights' scales and the sums of their columns.
template <int G, int R>
void rows_by_bytes(const uint8_t* a, int64_t a_row, const float* scale, int64_t quads, const int8_t* w, float* sums, int64_t sums_row) {
  constexpr int V = G * panel_vectors;
  vi acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 16
    for (int v = 0; v < V; v++) acc[r][v] = vi{};
  for (int64_t q = 0; q < quads; q++, w += V * vector_bytes) {
    Bytes u[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) u[r] = broadcast_bytes<true>(a + r * a_row + 4 * q);
#pragma GCC unroll 16
    for (int v = 0; v < V; v++) {
      const Bytes s = take_apart<false>(load_bits(w + v * vector_bytes));
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) acc[r][v] = dot4(acc[r][v], u[r], s);
    }
  }
  const int8_t* const columns = w + V * vector_bytes;
#pragma GCC unroll 16
  for (int v = 0; v < V; v++) {
    const vf s = as_float(load_bits(w + v * vector_bytes));
    const vi shift = load_bits(columns + v * vector_bytes) * (128 - dot4_offset);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      float* const c = sums + r * sums_row + v * lanes;
      store(c, fma(to_float(acc[r][v] - shift), s * scale[r], load(c)));
    }
  }
}

template <int G, int R> ACCELNN_INLINE void rows_by_bytes(int64_t rows, const uint8_t* a, int64_t a_row, const float* scale, int64_t quads, const int8_t* w,
                                                          float* sums, int64_t sums_row) {
  if (rows == R) return rows_by_bytes<G, R>(a, a_row, scale, quads, w, sums, sums_row);
  if constexpr (R > 1) rows_by_bytes<G, R - 1>(rows, a, a_row, scale, quads, w, sums, sums_row);
}
template <int G> void all_rows_by_bytes(int64_t n, const uint8_t* a, int64_t a_row, const float* scale, int64_t quads, const int8_t* w, float* sums,
                                        int64_t sums_row) {
  const int64_t tiles = tiles_of(n, byte_rows);
  for (int64_t i = 0; i < tiles; i++) {
    const int64_t i0 = tile_start(n, tiles, i), i1 = tile_start(n, tiles, i + 1);
    rows_by_bytes<G, byte_rows>(i1 - i0, a + i0 * a_row, a_row, scale + i0, quads, w, sums + i0 * sums_row, sums_row);
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
