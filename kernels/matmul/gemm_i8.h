// The register tile for bytes: exact int32 sums of u8 x s8 products, four k to a 32-bit lane. Either operand may be the broadcast one: matmul
// broadcasts u8 activations against s8 weight panels, convolution s8 weights against u8 pixel panels. Sums wrap like int32; no other inexactness,
// hence equal bits on every ISA.
#pragma once
#include "matmul/dot4.h"
#include "matmul/gemm.h"
#include "matmul/i8.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// 8 rows load 10 operands for 16 products, enough for every core so far, and keep a stand-alone binary small (14 rows: 3 x the code).
#if defined(__AVX512VNNI__)
constexpr int i8_tile_rows = 8;
#elif defined(__AVX512BW__)
constexpr int i8_tile_rows = 8;
#elif defined(__AVXVNNI__)
constexpr int i8_tile_rows = 6;        // 4 rows are 8 chains, and two products a cycle of 5 cycles each want 10
#else
constexpr int i8_tile_rows = 4;
#endif

static_assert(i8_tile_rows <= i8_most_rows && tile_columns <= i8_most_columns);

template <bool UnsignedIsBroadcast, int R>
__attribute__((noinline)) void i8_tile_body(const I8Tile& t, int32_t (*sums)[i8_most_columns]) {
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
    for (int j = 0; j < V; j++) {
      vi v = load_bits(b + j / vectors_per_panel * t.b_panel + j % vectors_per_panel * vector_bytes);
#if defined(__AVX512VNNI__)
      if (R > 1) asm("" : "+v"(v));          // g++ would read it for each of two rows, and wait for it twice where it comes from afar
#endif
      bv[j] = take_apart<!UnsignedIsBroadcast>(v);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const char* row = i < 5 ? a0 : a5;
      const Bytes x = broadcast_bytes<UnsignedIsBroadcast>(row + i % 5 * s + 4 * k);
#pragma GCC unroll 8
      for (int j = 0; j < V; j++) acc[i][j] = UnsignedIsBroadcast ? dot4(acc[i][j], x, bv[j]) : dot4(acc[i][j], bv[j], x);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 8
    for (int j = 0; j < V; j++) store_bits(sums[i] + j * lanes, acc[i][j]);
}

// rows in 1..i8_tile_rows. Of 3, 5 and 7 rows in tiles of 8 the last is a tile by itself: heights that few shapes have, for 7 KB of code.
template <bool UnsignedIsBroadcast> void i8_tile(int rows, const I8Tile& t, I8Sums& sums) {
  constexpr int most = i8_tile_rows;
  if (rows == 1) return i8_tile_body<UnsignedIsBroadcast, 1>(t, sums.at);
  if (most < 8 && rows == 3) return i8_tile_body<UnsignedIsBroadcast, 3>(t, sums.at);
  switch (rows / 2) {
    case 1: i8_tile_body<UnsignedIsBroadcast, 2>(t, sums.at); break;
    case 2: i8_tile_body<UnsignedIsBroadcast, 4>(t, sums.at); break;
    case 3: i8_tile_body < UnsignedIsBroadcast, most<6 ? 1 : 6>(t, sums.at); break;
    case 4: i8_tile_body < UnsignedIsBroadcast, most<8 ? 1 : 8>(t, sums.at); break;
  }
  if (rows % 2 == 0) return;
  I8Tile last = t;
  last.a = static_cast<const char*>(t.a) + (rows - 1) * t.a_row;
  i8_tile_body<UnsignedIsBroadcast, 1>(last, sums.at + rows - 1);
}

// A rest of n < lanes columns. Without mask registers not inlined: the copy would be a loop over lanes in every place.
#if defined(__AVX512F__)
ACCELNN_INLINE vf load_rest(const void* p, int n) { return load(static_cast<const float*>(p), n); }
ACCELNN_INLINE void store_rest(uint8_t* p, vi v, int n) {
  _mm512_mask_cvtepi32_storeu_epi8(p, __mmask16((1u << n) - 1), reinterpret_cast<__m512i>(v));
}
ACCELNN_INLINE void store_rest(float* p, vf v, int n) { store(p, v, n); }
#else
typedef uint8_t vb __attribute__((vector_size(lanes)));
inline __attribute__((noinline)) vf load_rest(const void* p, int n) {
  vf v = {};
  std::memcpy(&v, p, size_t(n) * 4);
  return v;
}
inline __attribute__((noinline)) void store_rest(uint8_t* p, vi v, int n) {
  const vb bytes = __builtin_convertvector(v, vb);
  std::memcpy(p, &bytes, size_t(n));
}
inline __attribute__((noinline)) void store_rest(float* p, vf v, int n) { std::memcpy(p, &v, size_t(n) * 4); }
#endif

// The sums go through L1 once: one epilogue for all heights instead of one in each (2 % at K = 256).
template <bool PerRow> void i8_finish(const I8Sums& sums, int rows, int columns, void* out, int64_t out_row, const Requantize& rule) {
  const Requantize r = rule;                       // in registers: a store of bytes may change anything else
  const vf zero = splat(float(r.zero));
  const vi least = r.relu ? vi{} : splat(INT32_MIN);
  for (int i = 0; i < rows; i++) {
    vi start = splat(r.start[PerRow ? i : 0]);
    vf scale = splat(r.scale[PerRow ? i : 0]);
    for (int j = 0; j < columns; j += lanes) {
      const int n = columns - j < lanes ? columns - j : lanes;
      const int64_t at = i * out_row + j;
      if (!PerRow && n == lanes) start = load_bits(r.start + j), scale = load(r.scale + j);
      else if (!PerRow) start = as_bits(load_rest(r.start + j, n)), scale = load_rest(r.scale + j, n);
      vi v = reinterpret_cast<vi>(reinterpret_cast<vu>(load_bits(sums.at[i] + j)) + reinterpret_cast<vu>(start));
      v = v > least ? v : least;
      if (r.type == DType::u8) {
        vf q = rint(to_float(v) * scale) + zero;
        q = select(q > 0.0f, q, vf{});                       // NaN becomes 0
        q = select(q < 255.0f, q, splat(255.0f));
        uint8_t* const to = static_cast<uint8_t*>(out) + at;
#if !defined(__AVX512F__)
        if (n == lanes) {
          const vb bytes = __builtin_convertvector(to_int(q), vb);
          std::memcpy(to, &bytes, lanes);
          continue;
        }
#endif
        store_rest(to, to_int(q), n);
      } else {
        const vf f = r.type == DType::i32 ? as_float(v) : to_float(v) * scale;
        float* const to = static_cast<float*>(out) + at;
        if (n == lanes) store(to, f);
        else store_rest(to, f, n);
      }
    }
  }
}

#if defined(__AVX512VNNI__)
}  // namespace ACCELNN_TARGET
namespace x86_avx512 {
template <bool PerRow> void i8_finish(const I8Sums&, int rows, int columns, void* out, int64_t out_row, const Requantize&);
}
inline namespace ACCELNN_TARGET {
#define ACCELNN_I8_FINISH x86_avx512::i8_finish          // the same instructions: no second copy
#else
#define ACCELNN_I8_FINISH i8_finish
#endif
template <bool UnsignedIsBroadcast> ACCELNN_INLINE I8Isa i8_isa() {
  return {i8_tile_rows, tile_columns, i8_tile<UnsignedIsBroadcast>, ACCELNN_I8_FINISH<!UnsignedIsBroadcast>};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
