// int4 tiles over vec.h: R rows against one strip of 16 columns, the weights taken apart in registers.
#pragma once
#include "lanes.h"
#include "weight_only/matmul_int4.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

constexpr int int4_vectors = 64 / vector_bytes;         // of a strip

// A value that exists here, in a register: what g++ may neither load again nor put off.
#if defined(__AVX512F__)
#define ACCELNN_SETTLED(v) asm("" : "+v"(v))
#elif defined(__x86_64__)
#define ACCELNN_SETTLED(v) asm("" : "+x"(v))
#else
#define ACCELNN_SETTLED(v) (void)0
#endif
// Loaded once: every other group straddles cache lines, where a second load costs as much as the arithmetic.
ACCELNN_INLINE vi loaded(const uint8_t* p) {
  vi v = load_bits(p);
  if (vector_bytes == 64) ACCELNN_SETTLED(v);
  return v;
}

#if defined(__F16C__)
ACCELNN_INLINE vf from_f16(const uint8_t* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#else
  return reinterpret_cast<vf>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#endif
}
#else
// The exponent moves by 112 through an exact product, which also makes denormals right.
ACCELNN_INLINE vf from_f16(const uint8_t* p) {
  typedef uint16_t halves __attribute__((vector_size(2 * lanes)));
  halves h;
  std::memcpy(&h, p, sizeof h);
  const vi bits = __builtin_convertvector(h, vi);
  const vf size = as_float((bits & 0x7fff) << 13) * 0x1p112f;
  return as_float(as_bits(size) | ((size >= 65536.0f) & 0x7f800000) | ((bits & 0x8000) << 16));
}
#endif
ACCELNN_INLINE vi from_bytes(const uint8_t* p) { return load_bytes(p); }

// The start of row i in a tile: three base pointers and multiples of the stride, so that 14 rows need no 14 registers.
struct Int4Rows {
  const char* base[3];
  int64_t step;
  ACCELNN_INLINE Int4Rows(const char* a, int64_t row) : base{a, a + 5 * row, a + 10 * row}, step(row) {}
  ACCELNN_INLINE const char* at(int i) const { return base[i / 5] + i % 5 * step; }
  ACCELNN_INLINE void advance(int64_t bytes) {
    for (const char*& p : base) p += bytes;
  }
};
ACCELNN_INLINE vi four_of(const char* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return splat(four);
}

// ---- int8 activations. acc += the exact products of 32 k.

// No software prefetch: 2 KiB ahead costs 8 % from DRAM, 4 or 5 KiB ahead gains nothing. One row from DRAM is as fast as memory: in turns with a plain read
// in one process 96 % of it on one thread, 94 % on two (8192 x 16384, group 128; onnxruntime 65 % and 53 %, so that 1.5x and 1.8x is all there is).
// Copies of this loop, one thread, GB/s where the plain read of the same pages has 30.0: this one 30.7; two strips at once 28.3, four 29.1; lines asked
// for 1 KiB ahead 26.4, 4 KiB 30.1, 8 KiB 27.8 (into L2 alone 19.1), 4 KiB without keeping them 30.6. Two threads: 35.1 to 38.0, the read 35.1.
#if defined(__AVX512VNNI__)
constexpr int int4_rows = 13;                           // 13 sums, 13 results and 5 for the rest are 31 registers
// Few rows: more chains hide the latency (L3, group 128: 45 -> 68 GB/s). The high nibbles keep their place then, and their sums are 16 times too large.
template <int R> constexpr int int4_chains = R <= 2 ? 4 : R <= 6 ? 2
                                                                 : 1;
ACCELNN_INLINE void dot(vi& acc, vi u, const char* four) {
#if defined(__clang__)
  acc = reinterpret_cast<vi>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(u), reinterpret_cast<__m512i>(four_of(four))));
#else         // g++ broadcasts by an instruction of its own: one row from L3 54 -> 65 GB/s without it
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(u), "m"(*reinterpret_cast<const int32_t*>(four)));
#endif
}
template <int R> ACCELNN_INLINE void int4_block(vi (&acc)[int4_chains<R>][R][int4_vectors], const uint8_t* w, const Int4Rows& a) {
  constexpr int C = int4_chains<R>;
#pragma GCC unroll 4
  for (int v = 0; v < 4; v++) {
    const vi p = loaded(w + 64 * v), low = p & 0x0f0f0f0f;
    const vi high = (C > 1 ? p : reinterpret_cast<vi>(reinterpret_cast<vu>(p) >> 4)) & int32_t(C > 1 ? 0xf0f0f0f0 : 0x0f0f0f0f);
    constexpr int step = C / 2;
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      dot(acc[v % 2 * step % C & ~1][i][0], low, a.at(i) + 8 * v);
      dot(acc[C == 1 ? 0 : (v % 2 * step & ~1) + 1][i][0], high, a.at(i) + 8 * v + 4);
    }
  }
}
template <int R> ACCELNN_INLINE vi int4_total(const vi (&acc)[int4_chains<R>][R][int4_vectors], int i, int) {
  if constexpr (int4_chains<R> == 4) return acc[0][i][0] + acc[2][i][0] + ((acc[1][i][0] + acc[3][i][0]) >> 4);
  else if constexpr (int4_chains<R> == 2) return acc[0][i][0] + (acc[1][i][0] >> 4);
  else return acc[0][i][0];
}
#else
// Pairs of products in 16 bits: 15 * 127 * 2 = 3810, of which the eight of a block stay below 2^15. One widening a block.
typedef int16_t vs __attribute__((vector_size(vector_bytes)));
typedef uint16_t vus __attribute__((vector_size(vector_bytes)));
#if defined(__AVX512BW__)
constexpr int int4_rows = 8;
ACCELNN_INLINE vs pairs(vi u, vi s) { return reinterpret_cast<vs>(_mm512_maddubs_epi16(reinterpret_cast<__m512i>(u), reinterpret_cast<__m512i>(s))); }
ACCELNN_INLINE vi widen(vs v) { return reinterpret_cast<vi>(_mm512_madd_epi16(reinterpret_cast<__m512i>(v), _mm512_set1_epi16(1))); }
#elif defined(__AVX2__)
constexpr int int4_rows = 4;
ACCELNN_INLINE vs pairs(vi u, vi s) { return reinterpret_cast<vs>(_mm256_maddubs_epi16(reinterpret_cast<__m256i>(u), reinterpret_cast<__m256i>(s))); }
ACCELNN_INLINE vi widen(vs v) { return reinterpret_cast<vi>(_mm256_madd_epi16(reinterpret_cast<__m256i>(v), _mm256_set1_epi16(1))); }
#elif defined(__SSSE3__)
constexpr int int4_rows = 2;
ACCELNN_INLINE vs pairs(vi u, vi s) { return reinterpret_cast<vs>(_mm_maddubs_epi16(reinterpret_cast<__m128i>(u), reinterpret_cast<__m128i>(s))); }
ACCELNN_INLINE vi widen(vs v) { return reinterpret_cast<vi>(_mm_madd_epi16(reinterpret_cast<__m128i>(v), _mm_set1_epi16(1))); }
#else
constexpr int int4_rows = 4;
ACCELNN_INLINE vs pairs(vi u, vi s) {
  const vs u0 = reinterpret_cast<vs>(u & 0x00ff00ff), u1 = reinterpret_cast<vs>(reinterpret_cast<vus>(u) >> 8);
  const vs s0 = reinterpret_cast<vs>(reinterpret_cast<vus>(s) << 8) >> 8, s1 = reinterpret_cast<vs>(s) >> 8;
  return u0 * s0 + u1 * s1;
}
ACCELNN_INLINE vi widen(vs v) {
  const vi both = reinterpret_cast<vi>(v);
  return (reinterpret_cast<vi>(reinterpret_cast<vu>(both) << 16) >> 16) + (both >> 16);
}
#endif
template <int R> constexpr int int4_chains = 1;
template <int R> ACCELNN_INLINE void int4_block(vi (&acc)[1][R][int4_vectors], const uint8_t* w, const Int4Rows& a) {
  vs sum[R][int4_vectors];
#pragma GCC unroll 4
  for (int v = 0; v < 4; v++) {
    vi low[int4_vectors], high[int4_vectors];
#pragma GCC unroll 4
    for (int j = 0; j < int4_vectors; j++) {
      const vi p = load_bits(w + 64 * v + j * vector_bytes);
      low[j] = p & 0x0f0f0f0f;
      high[j] = reinterpret_cast<vi>(reinterpret_cast<vu>(p) >> 4) & 0x0f0f0f0f;
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const vi x0 = four_of(a.at(i) + 8 * v), x1 = four_of(a.at(i) + 8 * v + 4);
#pragma GCC unroll 4
      for (int j = 0; j < int4_vectors; j++) {
        const vs both = pairs(low[j], x0) + pairs(high[j], x1);
        sum[i][j] = v ? sum[i][j] + both : both;
        ACCELNN_SETTLED(sum[i][j]);                     // or g++ adds at the end, with every product on the stack: AVX2, 142 instead of 191 GOP/s
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < int4_vectors; j++) acc[0][i][j] += widen(sum[i][j]);
}
template <int R> ACCELNN_INLINE vi int4_total(const vi (&acc)[1][R][int4_vectors], int i, int j) { return acc[0][i][j]; }
#endif

#define ACCELNN_EACH(statement)                        \
  _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) \
      _Pragma("GCC unroll 4") for (int j = 0; j < V; j++) statement

template <int R, int V> ACCELNN_INLINE void int4_store(const Int4Tile& t, vf (&sum)[R][V]) {
  if (t.columns == int4_strip) {
    if (t.bias) ACCELNN_EACH(sum[i][j] += load(t.bias + j * lanes));
    ACCELNN_EACH(store(t.c + i * t.c_row + j * lanes, sum[i][j]));
    return;
  }
  float part[R][int4_strip];
  ACCELNN_EACH(store(part[i] + j * lanes, sum[i][j]));
  for (int i = 0; i < R; i++)
    for (int n = 0; n < t.columns; n++) t.c[i * t.c_row + n] = t.bias ? part[i][n] + t.bias[n] : part[i][n];
}

template <int R> void int4_tile_int8(const Int4Tile& t) {
  constexpr int V = int4_vectors;
  vf sum[R][V];
  ACCELNN_EACH(sum[i][j] = vf{});
  Int4Rows a(t.a, t.a_row);
  const uint8_t* w = t.w;
  for (int64_t g = 0; g < t.groups; g++) {
    vi acc[int4_chains<R>][R][V];
    const uint8_t* const after = w + t.blocks * 256;
    ACCELNN_EACH(acc[0][i][j] = splat(t.start[i * t.groups + g]));
    if (t.zero_points) {
      vi zero[V];
      for (int j = 0; j < V; j++) zero[j] = from_bytes(after + 32 + j * lanes);
      ACCELNN_EACH(acc[0][i][j] *= zero[j]);
    }
#pragma GCC unroll 4
    for (int c = 1; c < int4_chains<R>; c++) ACCELNN_EACH(acc[c][i][j] = vi{});
    for (int b = 0; b < t.blocks; b++, w += 256) {
      int4_block<R>(acc, w, a);
      a.advance(32);
    }
    vf s[V];
    for (int j = 0; j < V; j++) s[j] = from_f16(after + j * 2 * lanes);
    // Not fma: a product and a sum round alike on every ISA, and the sum runs on ports that the dot products do not use.
    ACCELNN_EACH(sum[i][j] += to_float(int4_total<R>(acc, i, j)) * (s[j] * t.scale[i * t.groups + g]));
    w += t.zero_points ? 48 : 32;
  }
  int4_store<R, V>(t, sum);
}

// ---- f32 activations: nibbles to floats without a conversion. A nibble put under the exponent of 2^(23 - shift) is that power plus q.

#if defined(__AVX512F__)
// Four words, each shifted by a byte. Their low nibbles go through a table: vpermps looks at four bits of its index alone. One row from L3: 18.6 GB/s;
// 18.5 with a table for all (a shift for each), 17.6 with unaligned loads for the shifts, 14.4 without a table (the mask's copies of p).
struct Int4Words { vi at[4]; };
ACCELNN_INLINE Int4Words int4_words(const uint8_t* p) {
  const vi v = loaded(p);
  const vu u = reinterpret_cast<vu>(v);
  return {{v, reinterpret_cast<vi>(u >> 8), reinterpret_cast<vi>(u >> 16), reinterpret_cast<vi>(u >> 24)}};
}
struct Int4Offsets { vf low, high; };
ACCELNN_INLINE Int4Offsets int4_offsets(vf zero) { return {zero - 8.0f, zero + 524288.0f}; }
// Centred: zero is 8, nothing to take away from the table's -8..7.
template <bool centred> ACCELNN_INLINE vf int4_value(const Int4Words& w, int s, const Int4Offsets& offset) {
  const vf table = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  if (s % 2) return as_float((w.at[s / 2] & 0xf0) | ((127 + 19) << 23)) - offset.high;
  const vf d = reinterpret_cast<vf>(_mm512_maskz_permutexvar_ps(0xffff, reinterpret_cast<__m512i>(w.at[s / 2]), reinterpret_cast<__m512>(table)));
  return centred ? d : d - offset.low;
}
#else
// Nibbles 0 to 4 of a word lie in the mantissa where they are; 5 to 7 after one shift.
struct Int4Words { vi at[2]; };
ACCELNN_INLINE Int4Words int4_words(const uint8_t* p) {
  const vi v = load_bits(p);
  return {{v, reinterpret_cast<vi>(reinterpret_cast<vu>(v) >> 12)}};
}
struct Int4Offsets { vf of[5]; };                        // 2^(23 - 4 s) + zero point
ACCELNN_INLINE Int4Offsets int4_offsets(vf zero) {
  return {{zero + 8388608.0f, zero + 524288.0f, zero + 32768.0f, zero + 2048.0f, zero + 128.0f}};
}
template <bool> ACCELNN_INLINE vf int4_value(const Int4Words& w, int s, const Int4Offsets& offset) {
  const int at = s < 5 ? s : s - 3;
  return as_float((w.at[s < 5 ? 0 : 1] & (15 << 4 * at)) | ((127 + 23 - 4 * at) << 23)) - offset.of[at];
}
#endif

template <int R, bool centred> ACCELNN_INLINE void int4_rows_f32(const Int4Tile& t) {
  constexpr int V = int4_vectors;
  constexpr int chains = R * V >= 4 ? 1 : 4 / (R * V);
  vf sum[R][V];
  ACCELNN_EACH(sum[i][j] = vf{});
  Int4Rows a(t.a, t.a_row);
  const uint8_t* w = t.w;
  Int4Offsets offset[V];
#pragma GCC unroll 4
  for (int j = 0; j < V; j++) offset[j] = int4_offsets(splat(8.0f));
  for (int64_t g = 0; g < t.groups; g++) {
    const uint8_t* const after = w + t.blocks * 256;
    vf scale[V], part[chains][R][V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) {
      scale[j] = from_f16(after + j * 2 * lanes);
      if (!centred && t.zero_points) offset[j] = int4_offsets(to_float(from_bytes(after + 32 + j * lanes)));
    }
#pragma GCC unroll 4
    for (int c = 0; c < chains; c++) ACCELNN_EACH(part[c][i][j] = vf{});
    for (int v = 0; v < 4 * t.blocks; v++, w += 64) {
      if (R <= 4) __builtin_prefetch(w + 4096);           // from DRAM 13 -> 17 GB/s; the loop is too long for the core to look ahead
      Int4Words words[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) words[j] = int4_words(w + j * vector_bytes);
#pragma GCC unroll 8
      for (int s = 0; s < 8; s++) {
        vf d[V];
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) d[j] = int4_value<centred>(words[j], s, offset[j]);
#pragma GCC unroll 16
        for (int i = 0; i < R; i++) {
          const vf x = splat(reinterpret_cast<const float*>(a.at(i))[(s >> 1) + (s & 1) * 4]);
#pragma GCC unroll 4
          for (int j = 0; j < V; j++) part[s % chains][i][j] = fma(d[j], x, part[s % chains][i][j]);
        }
      }
      a.advance(32);
    }
#pragma GCC unroll 4
    for (int c = 1; c < chains; c++) ACCELNN_EACH(part[0][i][j] += part[c][i][j]);
    // Scaling the weights instead would be a product for 16 of them, on the ports of the rows' own (128 rows: 102 instead of 109 GFLOP/s).
    ACCELNN_EACH(sum[i][j] = fma(part[0][i][j], scale[j], sum[i][j]));
    w += t.zero_points ? 48 : 32;
  }
  int4_store<R, V>(t, sum);
}
template <int R> void int4_tile_f32(const Int4Tile& t) {
  if (R <= 2 && !t.zero_points) int4_rows_f32<R, true>(t);     // more rows do not feel the subtraction
  else int4_rows_f32<R, false>(t);
}
#undef ACCELNN_EACH

// ---- One function a height.

// The row with VNNI leaves f32 to the others.
#if defined(__AVX512VNNI__)
constexpr int int4_rows_f32_most = 0;
#elif defined(__AVX512F__)
constexpr int int4_rows_f32_most = 14;
#elif defined(__AVX2__)
constexpr int int4_rows_f32_most = 6;
#else
constexpr int int4_rows_f32_most = 2;
#endif
template <int most_int8, int most_f32>
struct Int4Heights {
  void (*int8[most_int8 + 1])(const Int4Tile&);
  void (*f32[most_f32 + 1])(const Int4Tile&);
  constexpr Int4Heights() : int8{}, f32{} {
    fill_int8<most_int8>();
    if constexpr (most_f32 > 0) fill_f32<most_f32>();
  }
  template <int R> constexpr void fill_int8() {
    int8[R] = int4_tile_int8<R>;
    if constexpr (R > 1) fill_int8<R - 1>();
  }
  template <int R> constexpr void fill_f32() {
    f32[R] = int4_tile_f32<R>;
    if constexpr (R > 1) fill_f32<R - 1>();
  }
};
constexpr Int4Heights<int4_rows, int4_rows_f32_most> int4_heights;

// ---- Activations to int8 (the contract's formula).

template <int step> ACCELNN_INLINE vi most_across(vi v) {
  const vi other = as_bits(rotate<step>(as_float(v)));
  v = v > other ? v : other;
  if constexpr (step > 1) return most_across<step / 2>(v);
  return v;
}
template <int step> ACCELNN_INLINE vi total_across(vi v) {
  v += as_bits(rotate<step>(as_float(v)));
  if constexpr (step > 1) return total_across<step / 2>(v);
  return v;
}
inline void int4_quantize(const float* a, int64_t k, int64_t group, int8_t* x, float* scale, int32_t* start, int32_t factor) {
  const float magic = 12582912.0f;                      // 1.5 * 2^23: the sum's low bits are the rounded integer
  for (; k > 0; k -= group, a += group, x += group, scale++, start++) {
    const int64_t n = k < group ? k : group;
    vi largest = {};                                    // of |a| as integers, in which NaN is larger than infinity, larger than all others
    for (int64_t i = 0; i < n; i += lanes) {
      const vi size = as_bits(n - i < lanes ? load(a + i, int(n - i)) : load(a + i)) & 0x7fffffff;
      largest = size > largest ? size : largest;
    }
    const int32_t bits = most_across<lanes / 2>(largest)[0];
    float t;
    std::memcpy(&t, &bits, 4);
    const bool usable = bits < 0x7f800000 && t >= int4_least;
    const vf inverse = splat(usable ? 127.0f / t : 0.0f);
    vi sum = {};
    for (int64_t i = 0; i < group; i += lanes) {
      vi q = {};
      if (usable && i < n) q = as_bits((n - i < lanes ? load(a + i, int(n - i)) : load(a + i)) * inverse + magic) - as_bits(splat(magic));
      sum += q;
      store_bytes(x + i, q);
    }
    *scale = usable ? t / 127.0f : bits < 0x7f800000 ? 0.0f
                                                     : __builtin_nanf("");
    *start = factor * total_across<lanes / 2>(sum)[0];
  }
}

ACCELNN_INLINE Int4Isa int4_isa() {
  return {int4_rows, int4_rows_f32_most, [](int rows, const Int4Tile& t) { int4_heights.int8[rows](t); },
          [](int rows, const Int4Tile& t) { int4_heights.f32[rows](t); },
          int4_quantize};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
