// The register tile for pairs of bfloat16, and the other inner loops. AVX512-BF16 multiplies and adds two neighbours along k in one instruction; elsewhere
// a bfloat16 is the upper half of a float, so that a shift and a mask take a vector of pairs apart.
#pragma once
#include "lanes.h"
#include "matmul/bf16.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// First and second of each pair, as floats.
ACCELNN_INLINE vf low_half(vi pairs) { return as_float(pairs << 16); }
ACCELNN_INLINE vf high_half(vi pairs) { return as_float(pairs & int32_t(0xffff0000)); }
#if defined(__AVX512BF16__)
constexpr int halves = 1;             // steps to a pair
template <int> ACCELNN_INLINE vi take(vi pairs) { return pairs; }
ACCELNN_INLINE vf dot2(vf acc, vi x, vi y) {
  return reinterpret_cast<vf>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(acc), reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(y)));
}
#else
constexpr int halves = 2;
template <int half> ACCELNN_INLINE vi take(vi pairs) { return as_bits(half ? high_half(pairs) : low_half(pairs)); }
ACCELNN_INLINE vf dot2(vf acc, vi x, vi y) { return fma(as_float(x), as_float(y), acc); }
#endif

// A: pair k of row i at a + i * a_row + k, in 32-bit units of any alignment. B: pair k of column j at b + j / 16 * b_panel + k * 16 + j % 16.
// Sums: to sums[i * 32 or more + j], all columns of the tile, added to what is there with `accumulate`.
struct Bf16Tile {
  int64_t pairs;
  const char* a;
  int64_t a_row;              // bytes
  const char* b;
  int64_t b_panel;            // bytes
  float* sums;
  int64_t sums_row;
  bool accumulate;
};

template <int half, int R, int V> ACCELNN_INLINE void bf16_step(vf (&acc)[R][V], const Bf16Tile& t, const char* const (&a)[3], int64_t k, const char* b) {
  vi bv[V];
#pragma GCC unroll 8
  for (int j = 0; j < V; j++) {
    const char* p = b + j / vectors_per_panel * t.b_panel + j % vectors_per_panel * vector_bytes;
    bv[j] = take<half>(load_bits(p));
    if (R > 4 && half == 0) __builtin_prefetch(p + 8 * 64);       // 2 to 5 % where panels come from L3
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
    int32_t pair;
    std::memcpy(&pair, a[i / 5] + i % 5 * t.a_row + 4 * k, 4);
    const vi x = take<half>(splat(pair));
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) acc[i][j] = dot2(acc[i][j], x, bv[j]);
  }
}

template <int R, int V> void bf16_tile_body(const Bf16Tile& t) {
  vf acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) acc[i][j] = vf{};
  if (t.accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) acc[i][j] = load(t.sums + i * t.sums_row + j * lanes);
  }
  const char *const a[3] = {t.a, t.a + 5 * t.a_row, t.a + 10 * t.a_row}, *b = t.b;
  for (int64_t k = 0; k < t.pairs; k++, b += 64) {
    bf16_step<0>(acc, t, a, k, b);
    if (halves == 2) bf16_step<1>(acc, t, a, k, b);
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) store(t.sums + i * t.sums_row + j * lanes, acc[i][j]);
}

using Bf16TileBody = void (*)(const Bf16Tile&);
template <int V, int most>
struct Bf16Tiles {
  Bf16TileBody height[most + 1];
  constexpr Bf16Tiles() : height{} { fill<most>(); }
  template <int R> constexpr void fill() {
    height[R] = bf16_tile_body<R, V>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V, int most> constexpr Bf16Tiles<V, most> bf16_tiles;

// y's elements from sums: activation(scale * sum + residual + bias), stored as f32 or, rounded to nearest even, as bf16.
struct Bf16Epilogue {
  const void* bias;                     // at the first column, or null
  DType bias_type;
  const char* residual;                 // like y, or null
  char* y;
  DType type;                           // of y and residual
  int64_t row;                          // of y, elements
  int activation;
  float scale;
};

// n <= lanes elements; what lies behind is neither read nor written.
ACCELNN_INLINE vi load_wide(const uint16_t* p) {       // 16 bits to a lane
#if defined(__AVX512F__)
  return reinterpret_cast<vi>(_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<vi>(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  typedef uint16_t shorts __attribute__((vector_size(2 * lanes)));
  shorts v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, vi);
#endif
}
ACCELNN_REST vi load_wide(const uint16_t* p, int n) {
#if defined(__AVX512F__)
  return reinterpret_cast<vi>(_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_maskz_loadu_epi16(__mmask16((1u << n) - 1), p)));
#else
  vi v = {};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
ACCELNN_INLINE vf load_bf16(const uint16_t* p, int n) { return low_half(n == lanes ? load_wide(p) : load_wide(p, n)); }
ACCELNN_INLINE vi rounded_to_bf16(vf v) {
  const vu u = reinterpret_cast<vu>(as_bits(v));
  const vi r = reinterpret_cast<vi>((u + 0x7fff + ((u >> 16) & 1)) >> 16), nan = reinterpret_cast<vi>((u >> 16) | 0x40);
  return select(v != v, nan, r);
}
ACCELNN_REST void store_bf16(uint16_t* p, vi v, int n) {
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(p, __mmask16((1u << n) - 1), _mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(v)));
#else
  for (int i = 0; i < n; i++) p[i] = uint16_t(v[i]);
#endif
}
ACCELNN_INLINE vf load_any(const void* p, int64_t at, DType type, int n) {
  if (type == DType::bf16) return load_bf16(static_cast<const uint16_t*>(p) + at, n);
  const float* f = static_cast<const float*>(p) + at;
  return n == lanes ? load(f) : load(f, n);
}

inline __attribute__((noinline)) void bf16_finish(const float* sums, int64_t sums_row, int64_t row, int64_t column, int64_t rows, int64_t columns,
                                                  const Bf16Epilogue& given) {
  const Bf16Epilogue e = given;
#if defined(__AVX512BF16__)
  if (e.type == DType::bf16 && !e.bias && !e.residual && e.scale == 1.0f && e.activation == activation::none && columns % lanes == 0) {
    for (int64_t i = 0; i < rows; i++, sums += sums_row) {      // 2 % of a product with K = 512
      char* const to = e.y + 2 * ((row + i) * e.row + column);
      int64_t j = 0;
      for (; j + 2 * lanes <= columns; j += 2 * lanes) {
        const __m512bh both = _mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(load(sums + j + lanes)), reinterpret_cast<__m512>(load(sums + j)));
        store_bits(to + 2 * j, reinterpret_cast<vi>(both));
      }
      if (j < columns) {
        const __m256bh last = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(load(sums + j)));
        std::memcpy(to + 2 * j, &last, sizeof last);
      }
    }
    return;
  }
#endif
  for (int64_t i = 0; i < rows; i++, sums += sums_row)
    for (int64_t j = 0; j < columns; j += lanes) {
      const int n = int(columns - j < lanes ? columns - j : lanes);
      const int64_t at = (row + i) * e.row + column + j;
      vf v = n == lanes ? load(sums + j) : load(sums + j, n);
      if (e.scale != 1.0f) v = v * e.scale;
      if (e.residual) v += load_any(e.residual, at, e.type, n);
      if (e.bias) v += load_any(e.bias, column + j, e.bias_type, n);
      v = activate(v, e.activation);
      if (e.type == DType::bf16) store_bf16(reinterpret_cast<uint16_t*>(e.y) + at, rounded_to_bf16(v), n);
      else if (n == lanes) store(reinterpret_cast<float*>(e.y) + at, v);
      else store(reinterpret_cast<float*>(e.y) + at, v, n);
    }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
