// Byte convolutions channels last, over vec.h: pixels are broadcast quad by quad against panels of weights, and leave the registers as bytes.
#pragma once
#include "matmul/dot4.h"
#include "qconv/tiles.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// Vectors of a wide tile and its rows. Four columns of accumulators share every broadcast: 7 x 64 loads 11 operands for 28 products, 8 x 32 10 for 16.
// ResNet's lines are multiples of 7 pixels.
#if defined(__AVX512VNNI__)
constexpr int qconv_wide = 4, qconv_rows = 7, qconv_narrow = 2, qconv_narrow_rows = 14;
#elif defined(__AVX512F__)
constexpr int qconv_wide = 2, qconv_rows = 8, qconv_narrow = 2, qconv_narrow_rows = 8;
#elif defined(__AVXVNNI__)
constexpr int qconv_wide = 2, qconv_rows = 6, qconv_narrow = 2, qconv_narrow_rows = 6;
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr int qconv_wide = 4, qconv_rows = 6, qconv_narrow = 4, qconv_narrow_rows = 6;
#else
constexpr int qconv_wide = 2, qconv_rows = 4, qconv_narrow = 2, qconv_narrow_rows = 4;
#endif
constexpr int panel_vectors = 64 / vector_bytes;

#define ACCELNN_EACH(statement)                        \
  _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) \
      _Pragma("GCC unroll 8") for (int j = 0; j < V; j++) statement

// Nearest integer, halves to even; |x| < 2^31.
ACCELNN_INLINE vi nearest(vf x) {
#if defined(__AVX512F__)
  return reinterpret_cast<vi>(_mm512_maskz_cvtps_epi32(0xffff, reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<vi>(_mm256_cvtps_epi32(reinterpret_cast<__m256>(x)));
#elif defined(__x86_64__)
  return reinterpret_cast<vi>(_mm_cvtps_epi32(reinterpret_cast<__m128>(x)));
#elif defined(__aarch64__)
  return reinterpret_cast<vi>(vcvtnq_s32_f32(reinterpret_cast<float32x4_t>(x)));
#else
  return to_int(rint(x));
#endif
}

// V vectors of sums, whose |value * scale| is below 2^30, to V * lanes bytes in order. InLanes: the vectors hold four columns of every 16 (depthwise).
struct Narrow {
  int zero;
  bool relu;
};
#if defined(__x86_64__)
#if defined(__AVX512F__)
using bits = __m512i;
ACCELNN_INLINE bits packs_32(vi a, vi b) { return _mm512_packs_epi32(reinterpret_cast<bits>(a), reinterpret_cast<bits>(b)); }
ACCELNN_INLINE bits adds_16(bits a, int b) { return _mm512_adds_epi16(a, _mm512_set1_epi16(int16_t(b))); }
ACCELNN_INLINE bits max_16(bits a) { return _mm512_max_epi16(a, _mm512_setzero_si512()); }
ACCELNN_INLINE bits packus_16(bits a, bits b) { return _mm512_packus_epi16(a, b); }
#elif defined(__AVX2__)
using bits = __m256i;
ACCELNN_INLINE bits packs_32(vi a, vi b) { return _mm256_packs_epi32(reinterpret_cast<bits>(a), reinterpret_cast<bits>(b)); }
ACCELNN_INLINE bits adds_16(bits a, int b) { return _mm256_adds_epi16(a, _mm256_set1_epi16(int16_t(b))); }
ACCELNN_INLINE bits max_16(bits a) { return _mm256_max_epi16(a, _mm256_setzero_si256()); }
ACCELNN_INLINE bits packus_16(bits a, bits b) { return _mm256_packus_epi16(a, b); }
#else
using bits = __m128i;
ACCELNN_INLINE bits packs_32(vi a, vi b) { return _mm_packs_epi32(reinterpret_cast<bits>(a), reinterpret_cast<bits>(b)); }
ACCELNN_INLINE bits adds_16(bits a, int b) { return _mm_adds_epi16(a, _mm_set1_epi16(int16_t(b))); }
ACCELNN_INLINE bits max_16(bits a) { return _mm_max_epi16(a, _mm_setzero_si128()); }
ACCELNN_INLINE bits packus_16(bits a, bits b) { return _mm_packus_epi16(a, b); }
#endif
// Within quarters of 16 bytes, as x86 packs; what saturates on the way would saturate in the end.
template <int V> ACCELNN_INLINE bits narrowed(const vi (&v)[V], const Narrow& n) {
  bits low = packs_32(v[0], v[1]), high = V == 4 ? packs_32(v[V - 2], v[V - 1]) : low;
  if (n.relu) low = max_16(low), high = max_16(high);
  return packus_16(adds_16(low, n.zero), adds_16(high, n.zero));
}
template <bool InLanes, int V> ACCELNN_INLINE void store_narrow(uint8_t* to, const vi (&v)[V], const Narrow& n) {
  static_assert(V == 2 || V == 4);
  bits b = narrowed(v, n);
#if defined(__AVX512F__)
  if (!InLanes && V == 4) b = _mm512_maskz_permutexvar_epi32(0xffff, _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), b);
  if (!InLanes && V == 2) b = _mm512_maskz_permutexvar_epi32(0xffff, _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0), b);
#elif defined(__AVX2__)
  if (!InLanes) b = _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#endif
  std::memcpy(to, &b, V * lanes);
}
#else
template <bool InLanes, int V> ACCELNN_INLINE void store_narrow(uint8_t* to, const vi (&v)[V], const Narrow& n) {
#pragma GCC unroll 4
  for (int j = 0; j < V; j++) {
    const vi least = splat(n.relu ? 0 : -1024);
    vi q = v[j] > least ? v[j] : least;
    q = q < 1024 ? q : splat(1024);
    q += n.zero;
    q = q > 0 ? q : vi{};
    q = q < 255 ? q : splat(255);
    typedef uint8_t bytes __attribute__((vector_size(lanes)));
    const bytes b = __builtin_convertvector(q, bytes);
    std::memcpy(to + j * lanes, &b, lanes);
  }
}
#endif

// The weights of every column a vector; R pixels x V vectors of columns.
template <int R, int V>
void qconv_tile_body(const QconvTile& t) {
  vi acc[R][V];
#pragma GCC unroll 8
  for (int j = 0; j < V; j++) {
    const vi start = load_bits(t.finish.start + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) acc[i][j] = start;
  }
  const char* b = t.b;
  const int64_t s = t.step, panel = t.b_panel;
  for (int64_t h = 0; h < t.pieces_h; h++)
    for (int64_t w = 0; w < t.pieces_w; w++) {
      const uint8_t *p = t.x + h * t.h_step + w * t.w_step, *p5 = p + 5 * s, *p10 = p5 + 5 * s;
      for (int64_t q = 0; q < t.quads; q++, p += 4, p5 += 4, p10 += 4, b += 64) {
        Bytes bv[V];
#pragma GCC unroll 8
        for (int j = 0; j < V; j++) {
          const char* const from = b + j / panel_vectors * panel + j % panel_vectors * vector_bytes;
          vi v = load_bits(from);
#if defined(__AVX512F__)
          asm("" : "+v"(v));           // one load, not R of them as operands of the products
#endif
          bv[j] = take_apart<false>(v);
          if (V == 4) __builtin_prefetch(from + 4096);
        }
#pragma GCC unroll 16
        for (int i = 0; i < R; i++) {
          const Bytes x = broadcast_bytes<true>((i < 5 ? p : i < 10 ? p5
                                                                    : p10) +
                                                i % 5 * s);
#pragma GCC unroll 8
          for (int j = 0; j < V; j++) acc[i][j] = dot4(acc[i][j], x, bv[j]);
        }
      }
    }
  const QconvFinish& f = t.finish;
  if (!f.plain) {
    ACCELNN_EACH(store_bits(f.sums + i * qconv_columns + j * lanes, acc[i][j]));
    return;
  }
  const Narrow how = {f.zero, f.relu};
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) {
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) acc[i][j] = nearest(to_float(acc[i][j]) * load(f.scale + j * lanes));
    store_narrow<false>(f.y + i * f.y_row, acc[i], how);
  }
}

using QconvTileBody = void (*)(const QconvTile&);
template <int V, int most>
struct QconvTiles {
  QconvTileBody height[most + 1];
  constexpr QconvTiles() : height{} { fill<most>(); }
  template <int R> constexpr void fill() {
    height[R] = qconv_tile_body<R, V>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <int V, int most> constexpr QconvTiles<V, most> qconv_tiles;
template <int V, int most> void qconv_tile(int rows, const QconvTile& t) { qconv_tiles<V, most>.height[rows](t); }

// Sums in order to values of any type, one vector at a time: what is not plain.
inline void qconv_finish(const int32_t* sums, int64_t rows, DType type, const QconvFinish& f, void* values) {
  const vf zero = splat(float(f.zero));
  const vi least = f.relu ? vi{} : splat(INT32_MIN);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < qconv_columns; j += lanes) {
      const int64_t at = i * qconv_columns + j;
      vi v = load_bits(sums + at);
      v = v > least ? v : least;
      if (type == DType::i32) {
        store_bits(static_cast<int32_t*>(values) + at, v);
        continue;
      }
      const vf y = to_float(v) * load(f.scale + j);
      if (type == DType::f32) {
        store(static_cast<float*>(values) + at, y);
        continue;
      }
      vf q = rint(y) + zero;
      q = select(q > 0.0f, q, vf{});                       // NaN becomes 0
      q = select(q < 255.0f, q, splat(255.0f));
      const vi whole = to_int(q);
      for (int n = 0; n < lanes; n++) static_cast<uint8_t*>(values)[at + n] = uint8_t(whole[n]);
    }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn

#include "qconv/depthwise.h"
#include "qconv/winograd.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

template <int V, int most> void winograd_product(int rows, const WinogradProduct& t) { winograd_products<V, most>.height[rows](t); }
ACCELNN_INLINE QconvIsa qconv_isa() {
  return {qconv_rows,
          qconv_wide * lanes,
          qconv_narrow_rows,
          qconv_narrow * lanes,
          qconv_tile<qconv_wide, qconv_rows>,
          qconv_tile<qconv_narrow, qconv_narrow_rows>,
          qconv_depthwise,
          qconv_lines,
          qconv_finish,
          vector_bytes,
          dot4_offset,
          {qconv_rows, qconv_wide * lanes, qconv_rows, qconv_narrow * lanes, winograd_weights, winograd_input,
           winograd_product<qconv_wide, qconv_rows>, winograd_product<qconv_narrow, qconv_rows>, winograd_output, plain_finish<qconv_narrow>}};
}
#undef ACCELNN_EACH

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
