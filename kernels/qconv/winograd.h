// Winograd F(4,3) on bytes, exact: 36 products of 16-bit numbers in place of 144 for 16 outputs. Points 0, +-1, +-2, infinity with every row of the
// filter's transform in whole numbers (its denominators 4, 6, 24 are made up for at the end): y = (inverse of 9) * (576 y) / 64 modulo 2^32, which is y as
// long as |y| < 2^25. Sums of (u - 128) w stay below that up to 227 channels. |B^T d B| <= 100 * 128 and |U| <= 49 * 128 fit 16 bits.
#pragma once
#include "lanes.h"
#include "qconv/tiles.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

typedef int16_t vshort __attribute__((vector_size(vector_bytes)));
constexpr int shorts = vector_bytes / 2;

ACCELNN_INLINE vshort load_shorts(const void* p) { return reinterpret_cast<vshort>(load_bits(p)); }
ACCELNN_INLINE vshort widened_unsigned(const uint8_t* p) {
#if defined(__AVX512BW__)
  return reinterpret_cast<vshort>(_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<vshort>(_mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__x86_64__)
  return reinterpret_cast<vshort>(_mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  typedef uint8_t bytes __attribute__((vector_size(shorts)));
  bytes b;
  std::memcpy(&b, p, sizeof b);
  return __builtin_convertvector(b, vshort);
#endif
}
ACCELNN_INLINE vshort widened_signed(const char* p) {
  return widened_unsigned(reinterpret_cast<const uint8_t*>(p)) << 8 >> 8;
}

// acc + the products of two neighbouring 16-bit numbers in every lane; nothing can overflow before the sum wraps.
ACCELNN_INLINE vi add_pairs(vi acc, vi a, vi b) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<vi>(_mm512_dpwssd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVXVNNI__)
  return reinterpret_cast<vi>(_mm256_dpwssd_avx_epi32(reinterpret_cast<__m256i>(acc), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__x86_64__)
  return acc + madd(a, b);
#elif defined(__aarch64__)
  const int16x8_t x = reinterpret_cast<int16x8_t>(a), y = reinterpret_cast<int16x8_t>(b);
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
  return acc + reinterpret_cast<vi>(vpaddq_s32(low, high));
#else
  return acc + ((a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16));
#endif
}

template <class V> ACCELNN_INLINE void transform_filter(const V (&g)[3], V (&u)[6]) {
  const V even = g[0] + g[2], far = g[0] + (g[2] << 2), odd = g[1] << 1;
  u[0] = g[0], u[1] = even + g[1], u[2] = even - g[1], u[3] = far + odd, u[4] = far - odd, u[5] = g[2];
}
template <class V> ACCELNN_INLINE void transform_input(const V (&d)[6], V (&v)[6]) {
  const V a = d[4] - (d[2] << 2), b = d[3] - (d[1] << 2), c = d[4] - d[2], e = (d[3] - d[1]) << 1;
  v[0] = (d[0] << 2) - (d[2] << 2) - d[2] + d[4], v[1] = a + b, v[2] = a - b, v[3] = c + e, v[4] = c - e;
  v[5] = (d[1] << 2) - (d[3] << 2) - d[3] + d[5];
}
template <class V> ACCELNN_INLINE void transform_output(const V (&m)[6], V (&y)[4]) {
  const V p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
  y[0] = (m[0] << 2) + (m[0] << 1) - (p << 2) + r;
  y[1] = (s << 1) - (q << 2), y[2] = (r - p) << 2, y[3] = (s << 3) - (q << 2) + (m[5] << 4) + (m[5] << 3);
}

// A panel's weights: quads (tap, four channels) of 16 outputs to U[point][pair of channels], 64 bytes each.
inline void winograd_weights(const char* panel, int64_t channels, char* to) {
  constexpr int parts = 128 / vector_bytes;               // vectors of 16-bit numbers in a quad
  const int64_t tap = channels * 16;                      // bytes
  for (int64_t c = 0; c < channels; c += 4)
    for (int part = 0; part < parts; part += 2) {
      vshort half[2][6][6];
#pragma GCC unroll 2
      for (int n = 0; n < 2; n++) {
        vshort rows[6][3];
#pragma GCC unroll 3
        for (int s = 0; s < 3; s++) {
          vshort g[3], u[6];
#pragma GCC unroll 3
          for (int r = 0; r < 3; r++) g[r] = widened_signed(panel + (3 * r + s) * tap + c * 16 + (part + n) * shorts);
          transform_filter(g, u);
#pragma GCC unroll 6
          for (int i = 0; i < 6; i++) rows[i][s] = u[i];
        }
#pragma GCC unroll 6
        for (int i = 0; i < 6; i++) transform_filter(rows[i], half[n][i]);
      }
      for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
          const vf a = reinterpret_cast<vf>(half[0][i][j]), b = reinterpret_cast<vf>(half[1][i][j]);
          char* const at = to + ((6 * i + j) * (channels / 2) + c / 2) * 64 + part / 2 * vector_bytes;
          store_bits(at, as_bits(evens(a, b)));
          store_bits(at + 64, as_bits(odds(a, b)));
        }
    }
}

// The 36 points of one tile: 6 x 6 pixels of x, `point` bytes from point to point of `to`. Channels in whole vectors.
inline void winograd_input(const uint8_t* x, int64_t row, int64_t channels, char* to, int64_t point) {
  const vshort middle = vshort{} + int16_t(128);
  for (int64_t c = 0; c < channels; c += shorts) {
    vshort lines[6][6];
    for (int i = 0; i < 6; i++) {
      vshort d[6];
#pragma GCC unroll 6
      for (int j = 0; j < 6; j++) d[j] = widened_unsigned(x + i * row + j * channels + c) - middle;
      transform_input(d, lines[i]);
    }
    for (int j = 0; j < 6; j++) {
      vshort d[6], v[6];
#pragma GCC unroll 6
      for (int i = 0; i < 6; i++) d[i] = lines[i][j];
      transform_input(d, v);
#pragma GCC unroll 6
      for (int i = 0; i < 6; i++) store_bits(to + (6 * i + j) * point + c * 2, reinterpret_cast<vi>(v[i]));
    }
  }
}

// R tiles x V vectors of outputs at one point.
template <int R, int V> void winograd_product_body(const WinogradProduct& t) {
  vi acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) acc[i][j] = vi{};
  const char *a = t.a, *a5 = t.a + 5 * t.a_row, *b = t.b;
  for (int64_t k = 0; k < t.pairs; k++, a += 4, a5 += 4, b += 64) {
    vi bv[V];
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) {
      const char* const from = b + j * vector_bytes / 64 * t.b_panel + j * vector_bytes % 64;
      bv[j] = load_bits(from);
#if defined(__AVX512F__)
      asm("" : "+v"(bv[j]));
#endif
      if (V == 4) __builtin_prefetch(from + 2048);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      int32_t two;
      std::memcpy(&two, (i < 5 ? a : a5) + i % 5 * t.a_row, 4);
      const vi x = splat(two);
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) acc[i][j] = add_pairs(acc[i][j], x, bv[j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) store_bits(t.sums + i * qconv_columns + j * lanes, acc[i][j]);
}
template <int V, int most>
struct WinogradProducts {
  void (*height[most + 1])(const WinogradProduct&);
  constexpr WinogradProducts() : height{} { fill<most>(); }
  template <int R> constexpr void fill() {
    height[R] = winograd_product_body<R, V>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V, int most> constexpr WinogradProducts<V, most> winograd_products;

// One tile's sums at 36 points, `point` numbers apart, to the sums of its 16 outputs: rows of qconv_columns; columns in whole vectors.
inline void winograd_output(const int32_t* from, int64_t point, int columns, const int32_t* start, int32_t* to) {
  for (int k = 0; k < columns; k += lanes) {
    vu lines[4][6];
    for (int j = 0; j < 6; j++) {
      vu m[6], y[4];
#pragma GCC unroll 6
      for (int i = 0; i < 6; i++) m[i] = reinterpret_cast<vu>(load_bits(from + (6 * i + j) * point + k));
      transform_output(m, y);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) lines[i][j] = y[i];
    }
    const vi first = load_bits(start + k);
    for (int i = 0; i < 4; i++) {
      vu y[4];
      transform_output(lines[i], y);
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) store_bits(to + (4 * i + j) * qconv_columns + k, (reinterpret_cast<vi>(y[j] * 954437177u) >> 6) + first);
    }
  }
}

// Plain sums (tiles.h) to bytes, rows of qconv_columns.
template <int V> void plain_finish(const int32_t* sums, int64_t rows, int columns, const QconvFinish& f) {
  for (int64_t i = 0; i < rows; i++)
    for (int k = 0; k < columns; k += V * lanes) {
      vi v[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) v[j] = nearest(to_float(load_bits(sums + i * qconv_columns + k + j * lanes)) * load(f.scale + k + j * lanes));
      store_narrow<false>(f.y + i * f.y_row + k, v, {f.zero, f.relu});
    }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
