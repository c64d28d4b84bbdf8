// Block-sparse tiles over vec.h: R rows against the blocks of one strip. No index arithmetic beyond one load a block.
#pragma once
#include "dynamic_qmatmul/quantize.h"
#include "matmul/pack.h"
#include "sparse/matmul_sparse.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

constexpr int sparse_vectors = 64 / vector_bytes;       // of a block

#define ACCELNN_EACH(statement)                        \
  _Pragma("GCC unroll 32") for (int i = 0; i < R; i++) \
      _Pragma("GCC unroll 4") for (int j = 0; j < V; j++) statement

// At most 4 rows have too few chains of additions to hide their latency: several blocks at a time, each with its own sums.
constexpr int sparse_chains(int sums) { return sums >= 8 ? 1 : sums >= 4 ? 2
                                                                         : 4; }

#if defined(__AVX512F__)
constexpr int sparse_rows_f32 = 28;                     // 28 sums, a block, the rest: 31 registers
#elif defined(__AVX2__)
constexpr int sparse_rows_f32 = 6;
#else
constexpr int sparse_rows_f32 = 3;
#endif

template <int R> void sparse_tile_f32(const SparseTile& t) {
  constexpr int V = sparse_vectors, chains = sparse_chains(R * V);
  vf sum[chains][R][V];
#pragma GCC unroll 4
  for (int c = 0; c < chains; c++) ACCELNN_EACH(sum[c][i][j] = vf{});
  const float* values = static_cast<const float*>(t.values);
  const auto add = [&](vf(&to)[R][V], int64_t b) __attribute__((always_inline)) {
    vf w[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) w[j] = load(values + 16 * b + j * lanes);
    const float* const x = reinterpret_cast<const float*>(t.panel) + int64_t(t.index[b]) * R;
    ACCELNN_EACH(to[i][j] = fma(splat(x[i]), w[j], to[i][j]));
  };
  int64_t b = 0;
  for (; b + chains <= t.count; b += chains)
#pragma GCC unroll 4
    for (int c = 0; c < chains; c++) add(sum[c], b + c);
  for (; b < t.count; b++) add(sum[0], b);
#pragma GCC unroll 4
  for (int c = 1; c < chains; c++) ACCELNN_EACH(sum[0][i][j] += sum[c][i][j]);
  if (t.columns == sparse_strip) {
    if (t.bias) ACCELNN_EACH(sum[0][i][j] += load(t.bias + j * lanes));
    ACCELNN_EACH(store(t.c + i * t.c_row + j * lanes, sum[0][i][j]));
    return;
  }
  float part[R][sparse_strip];
  ACCELNN_EACH(store(part[i] + j * lanes, sum[0][i][j]));
  for (int i = 0; i < R; i++)
    for (int n = 0; n < t.columns; n++) t.c[i * t.c_row + n] = t.bias ? part[i][n] + t.bias[n] : part[i][n];
}

// ---- Bytes: exact sums, which wrap like int32.

#if defined(__AVX512VNNI__)
constexpr int sparse_rows_int8 = 28;
#elif defined(__AVX512BW__)
constexpr int sparse_rows_int8 = 24;
#elif defined(__AVX2__)
constexpr int sparse_rows_int8 = 4;
#elif defined(__x86_64__)
constexpr int sparse_rows_int8 = 2;
#else
constexpr int sparse_rows_int8 = 3;
#endif
constexpr int sparse_halves = quad_bytes / 4;

// Four bytes of a row, in every lane; where they are two words of 16-bit numbers, the second lies R words on.
template <int R> ACCELNN_INLINE Bytes sparse_quad(const int32_t* x) {
#if defined(ACCELNN_SPLIT_BYTES)
  return {splat(x[0]), splat(x[R])};
#else
  return take_apart<true>(splat(*x));
#endif
}

template <int R> void sparse_tile_int8(const SparseTile& t) {
  constexpr int V = sparse_vectors, chains = sparse_chains(R * V);
  vi sum[chains][R][V];
#pragma GCC unroll 4
  for (int c = 0; c < chains; c++) ACCELNN_EACH(sum[c][i][j] = vi{});
  const char* values = static_cast<const char*>(t.values);
  const auto add = [&](vi(&to)[R][V], int64_t b) __attribute__((always_inline)) {
    const int32_t* const x = t.panel + int64_t(t.index[b]) * (sparse_halves * R);
    Bytes w[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) w[j] = take_apart<false>(load_bits(values + 64 * b + j * vector_bytes));
#pragma GCC unroll 32
    for (int i = 0; i < R; i++) {
      const Bytes v = sparse_quad<R>(x + i);
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) to[i][j] = dot4(to[i][j], v, w[j]);
    }
  };
  int64_t b = 0;
  for (; b + chains <= t.count; b += chains)
#pragma GCC unroll 4
    for (int c = 0; c < chains; c++) add(sum[c], b + c);
  for (; b < t.count; b++) add(sum[0], b);
#pragma GCC unroll 4
  for (int c = 1; c < chains; c++) ACCELNN_EACH(sum[0][i][j] += sum[c][i][j]);

  // The epilogue's operands of columns, zero beyond the last.
  vf scale[V], bias[V];
  vi sums[V];
  for (int j = 0; j < V; j++) {
    const int rest = t.columns - j * lanes, n = rest < 0 ? 0 : rest < lanes ? rest
                                                                            : lanes;
    scale[j] = load(t.scale + j * lanes, n);
    sums[j] = load_ints(t.sums + j * lanes, n);
    bias[j] = t.bias ? load(t.bias + j * lanes, n) : vf{};
  }
  const auto value = [&](int i, int j) __attribute__((always_inline)) {
    const vu shifted = reinterpret_cast<vu>(sum[0][i][j]) - reinterpret_cast<vu>(sums[j]) * reinterpret_cast<vu>(splat(t.a_zero[i]));
    const vf v = to_float(reinterpret_cast<vi>(shifted)) * (scale[j] * t.a_scale[i]);
    return t.bias ? v + bias[j] : v;                    // -0 + 0 would be another number
  };
  if (t.columns == sparse_strip) {
    ACCELNN_EACH(store(t.c + i * t.c_row + j * lanes, value(i, j)));
    return;
  }
  float part[R][sparse_strip];
  ACCELNN_EACH(store(part[i] + j * lanes, value(i, j)));
  for (int i = 0; i < R; i++)
    for (int n = 0; n < t.columns; n++) t.c[i * t.c_row + n] = part[i][n];
}
#undef ACCELNN_EACH

template <int most_f32, int most_int8>
struct SparseHeights {
  void (*f32[most_f32 + 1])(const SparseTile&);
  void (*int8[most_int8 + 1])(const SparseTile&);
  constexpr SparseHeights() : f32{}, int8{} {
    fill_f32<most_f32>();
    fill_int8<most_int8>();
  }
  template <int R> constexpr void fill_f32() {
    f32[R] = sparse_tile_f32<R>;
    if constexpr (R > 1) fill_f32<R - 1>();
  }
  template <int R> constexpr void fill_int8() {
    int8[R] = sparse_tile_int8<R>;
    if constexpr (R > 1) fill_int8<R - 1>();
  }
};

inline bool sparse_within(const int32_t* index, int64_t count, int64_t end) {
  const vu limit = reinterpret_cast<vu>(splat(int32_t(end)));
  vi outside = {};
  int64_t b = 0;
  for (; b + lanes <= count; b += lanes) outside |= reinterpret_cast<vi>(reinterpret_cast<vu>(load_bits(index + b)) >= limit);
  bool inside = !any(outside);
  for (; b < count; b++) inside = inside && uint32_t(index[b]) < uint32_t(end);
  return inside;
}

inline void sparse_transpose(const int32_t* rows, int64_t row_words, int64_t height, int64_t words, int32_t* panel, int64_t panel_row) {
  gather(reinterpret_cast<const float*>(rows), 1, row_words, words, height, reinterpret_cast<float*>(panel), panel_row);
}

constexpr SparseHeights<sparse_rows_f32, sparse_rows_int8> sparse_heights;
ACCELNN_INLINE SparseIsa sparse_isa_f32() {
  return {sparse_rows_f32, 1, [](int rows, const SparseTile& t) { sparse_heights.f32[rows](t); }, nullptr, sparse_within, nullptr, sparse_transpose};
}
ACCELNN_INLINE SparseIsa sparse_isa_int8() {
  return {sparse_rows_int8, sparse_halves, nullptr, [](int rows, const SparseTile& t) { sparse_heights.int8[rows](t); }, sparse_within, quantize_rows,
          sparse_transpose};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
