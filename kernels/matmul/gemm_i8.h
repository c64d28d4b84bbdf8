// The register tile for bytes: exact int32 sums of u8 x s8 products, four k to a 32-bit lane. Either operand may be the broadcast one: matmul
// broadcasts u8 activations against s8 weight panels, convolution s8 weights against u8 pixel panels. Sums wrap like int32; no other inexactness,
// hence equal bits on every ISA.
#pragma once
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// 8 rows load 10 operands for 16 products, enough for every core so far, and keep a stand-alone binary small (14 rows: 3 x the code).
// Without VNNI 4: the operands' halves fill the registers, and the few CPUs with AVX-512 but no VNNI are not worth 7 KB in every int8 program.
#if defined(__AVX512VNNI__)
constexpr int i8_tile_rows = 8;
#else
constexpr int i8_tile_rows = 4;
#endif

// One operand, taken apart as far as the ISA needs it.
#if defined(__AVX512VNNI__)
struct Bytes { vi v; };
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) { return {v}; }
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) {
  return reinterpret_cast<vi>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(u.v), reinterpret_cast<__m512i>(s.v)));
}
#elif defined(__x86_64__)
// pmaddubsw saturates at 16 bits (255 * 127 * 2 does not fit); even and odd bytes widened to 16 bits and pmaddwd are exact.
struct Bytes { vi even, odd; };
typedef int16_t vs __attribute__((vector_size(vector_bytes)));
typedef uint16_t vus __attribute__((vector_size(vector_bytes)));
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) {
  if constexpr (Unsigned) return {v & 0x00ff00ff, reinterpret_cast<vi>(reinterpret_cast<vus>(v) >> 8)};
  else return {reinterpret_cast<vi>(reinterpret_cast<vs>(reinterpret_cast<vus>(v) << 8) >> 8), reinterpret_cast<vi>(reinterpret_cast<vs>(v) >> 8)};
}
ACCELNN_INLINE vi madd(vi a, vi b) {
#if defined(__AVX512BW__)
  return reinterpret_cast<vi>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<vi>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return reinterpret_cast<vi>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#endif
}
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) { return acc + madd(u.even, s.even) + madd(u.odd, s.odd); }
#else
struct Bytes { vi v[4]; };
template <bool Unsigned> ACCELNN_INLINE Bytes take_apart(vi v) {
  Bytes b;
  for (int q = 0; q < 4; q++) {
    const vu up = reinterpret_cast<vu>(v) << (24 - 8 * q);
    b.v[q] = Unsigned ? reinterpret_cast<vi>(up >> 24) : reinterpret_cast<vi>(up) >> 24;
  }
  return b;
}
ACCELNN_INLINE vi dot4(vi acc, const Bytes& u, const Bytes& s) {
  for (int q = 0; q < 4; q++) acc += u.v[q] * s.v[q];
  return acc;
}
#endif

// A: 32-bit group k of row i at a + i * a_row + 4 k. B: group (k, column j) at b + k * b_row + j / 16 * b_panel + j % 16 * 4. Strides in bytes;
// a packed panel row is 64 bytes: b_row = 64, or b_row = 64 * panels, b_panel = 64 in a local buffer. All tile_columns are read and computed.
struct I8Tile {
  int64_t k4;                 // groups of four k; the caller pads the last one with zeros in the SIGNED operand
  const void* a;
  int64_t a_row;
  const void* b;
  int64_t b_row, b_panel;
};
struct alignas(64) I8Sums { int32_t at[i8_tile_rows][tile_columns]; };

template <bool UnsignedIsBroadcast, int R>
void i8_tile_body(const I8Tile& t, I8Sums& sums) {
  constexpr int V = tile_vectors;
  vi acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) acc[i][j] = vi{};
  const int64_t s = t.a_row;
  const char *a0 = static_cast<const char*>(t.a), *a5 = a0 + 5 * s, *b = static_cast<const char*>(t.b);
  for (int64_t k = 0; k < t.k4; k++, b += t.b_row) {
    Bytes bv[V];
#pragma GCC unroll 8
    for (int j = 0; j < V; j++)
      bv[j] = take_apart<!UnsignedIsBroadcast>(load_bits(b + j / vectors_per_panel * t.b_panel + j % vectors_per_panel * vector_bytes));
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const char* row = i < 5 ? a0 : a5;
      int32_t four;
      __builtin_memcpy(&four, row + i % 5 * s + 4 * k, 4);
      const Bytes x = take_apart<UnsignedIsBroadcast>(splat(four));
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) acc[i][j] = UnsignedIsBroadcast ? dot4(acc[i][j], x, bv[j]) : dot4(acc[i][j], bv[j], x);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) store_bits(sums.at[i] + j * lanes, acc[i][j]);
}

using I8TileBody = void (*)(const I8Tile&, I8Sums&);
template <bool UnsignedIsBroadcast>
struct I8Tiles {
  I8TileBody height[i8_tile_rows + 1];
  constexpr I8Tiles() : height{} { fill<i8_tile_rows>(); }
  template <int R> constexpr void fill() {
    height[R] = i8_tile_body<UnsignedIsBroadcast, R>;
    if constexpr (R > 1) fill<R - 1>();
  }
};
template <bool UnsignedIsBroadcast> constexpr I8Tiles<UnsignedIsBroadcast> i8_tiles;

// rows in 1..i8_tile_rows.
template <bool UnsignedIsBroadcast> ACCELNN_INLINE void i8_tile(int rows, const I8Tile& t, I8Sums& sums) {
  i8_tiles<UnsignedIsBroadcast>.height[rows](t, sums);
}

// What becomes of the sums: v = sum + start; relu: max(v, 0); then i32 v, f32 float(v) * scale, or u8 clamp(zero + rint(float(v) * scale), 0, 255).
// `start` and `scale` belong to columns (matmul) or rows (convolution); start = bias - zero point * sum of the weights.
struct Requantize {
  DType type;                 // of the output
  const float* scale;
  const int32_t* start;
  int zero;
  bool relu;
};

// The sums go through L1 once: one epilogue for all heights instead of one in each (2 % at K = 256).
template <bool PerRow>
inline __attribute__((noinline)) void requantize_tile(const I8Sums& sums, int rows, int columns, void* out, int64_t out_row, const Requantize& r) {
  const vf zero = splat(float(r.zero));
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j += lanes) {
      const int n = columns - j < lanes ? columns - j : lanes;
      const int64_t at = i * out_row + j;
      vi start, v;
      vf scale;
      if constexpr (PerRow) {
        start = splat(r.start[i]);
        scale = splat(r.scale[i]);
      } else {
        start = as_bits(load(reinterpret_cast<const float*>(r.start) + j, n));
        scale = load(r.scale + j, n);
      }
      v = reinterpret_cast<vi>(reinterpret_cast<vu>(load_bits(sums.at[i] + j)) + reinterpret_cast<vu>(start));
      if (r.relu) v = select(v > 0, v, vi{});
      if (r.type == DType::i32) {
        store(reinterpret_cast<float*>(static_cast<int32_t*>(out) + at), as_float(v), n);
        continue;
      }
      const vf f = to_float(v) * scale;
      if (r.type == DType::f32) {
        store(static_cast<float*>(out) + at, f, n);
        continue;
      }
      vf q = rint(f) + zero;
      q = select(q > 0.0f, q, vf{});                       // NaN becomes 0
      q = select(q < 255.0f, q, splat(255.0f));
      typedef uint8_t vb __attribute__((vector_size(lanes)));
      const vb bytes = __builtin_convertvector(to_int(q), vb);
      if (n == lanes) __builtin_memcpy(static_cast<uint8_t*>(out) + at, &bytes, lanes);
      else __builtin_memcpy(static_cast<uint8_t*>(out) + at, &bytes, size_t(n));
    }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
