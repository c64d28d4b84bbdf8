// Block-sparse tiles over vec.h: R rows against the blocks of one strip. No index arithmetic beyond one load a block.
#pragma once
#include "lanes.h"
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
constexpr int sparse_rows_int8 = 28, sparse_halves = 1;
struct SparseBytes { vi all; };
ACCELNN_INLINE SparseBytes take_apart(vi v) { return {v}; }
template <int R> ACCELNN_INLINE vi sparse_dot(vi acc, const SparseBytes& w, const int32_t* x) {
  return reinterpret_cast<vi>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(splat(*x)), reinterpret_cast<__m512i>(w.all)));
}
#else
// 255 * 127 * 2 does not fit 16 bits: bytes are widened to 16, even and odd ones apart; the activations once, when they are quantized.
constexpr int sparse_halves = 2;
typedef int16_t vs __attribute__((vector_size(vector_bytes)));
typedef uint16_t vus __attribute__((vector_size(vector_bytes)));
struct SparseBytes { vi even, odd; };
ACCELNN_INLINE SparseBytes take_apart(vi v) {
  return {reinterpret_cast<vi>(reinterpret_cast<vs>(reinterpret_cast<vus>(v) << 8) >> 8), reinterpret_cast<vi>(reinterpret_cast<vs>(v) >> 8)};
}
#if defined(__AVX512BW__)
constexpr int sparse_rows_int8 = 24;
ACCELNN_INLINE vi products(vi a, vi b) { return reinterpret_cast<vi>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b))); }
#elif defined(__AVX2__)
constexpr int sparse_rows_int8 = 4;
ACCELNN_INLINE vi products(vi a, vi b) { return reinterpret_cast<vi>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b))); }
#elif defined(__x86_64__)
constexpr int sparse_rows_int8 = 2;
ACCELNN_INLINE vi products(vi a, vi b) { return reinterpret_cast<vi>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b))); }
#else
constexpr int sparse_rows_int8 = 3;
ACCELNN_INLINE vi low_half(vi v) { return reinterpret_cast<vi>(reinterpret_cast<vu>(v) << 16) >> 16; }
ACCELNN_INLINE vi products(vi a, vi b) { return low_half(a) * low_half(b) + (a >> 16) * (b >> 16); }
#endif
template <int R> ACCELNN_INLINE vi sparse_dot(vi acc, const SparseBytes& w, const int32_t* x) {
  return reinterpret_cast<vi>(reinterpret_cast<vu>(acc) + reinterpret_cast<vu>(products(w.even, splat(x[0]))) +
                              reinterpret_cast<vu>(products(w.odd, splat(x[R]))));
}
#endif

template <int R> void sparse_tile_int8(const SparseTile& t) {
  constexpr int V = sparse_vectors, chains = sparse_chains(R * V);
  vi sum[chains][R][V];
#pragma GCC unroll 4
  for (int c = 0; c < chains; c++) ACCELNN_EACH(sum[c][i][j] = vi{});
  const char* values = static_cast<const char*>(t.values);
  const auto add = [&](vi(&to)[R][V], int64_t b) __attribute__((always_inline)) {
    const int32_t* const x = t.panel + int64_t(t.index[b]) * (sparse_halves * R);
    SparseBytes w[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) w[j] = take_apart(load_bits(values + 64 * b + j * vector_bytes));
    ACCELNN_EACH(to[i][j] = sparse_dot<R>(to[i][j], w[j], x + i));
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

// One row to u8, the contract's formula; the words beyond K are zero.
inline void sparse_quantize(const float* a, int64_t k, int32_t* words, float* scale, int32_t* zero) {
  vf low = {}, high = {};
  vi largest = {};                                      // of |a| as integers, in which NaN is larger than infinity, larger than all others
  for (int64_t i = 0; i < k; i += lanes) {
    const vf v = k - i < lanes ? load(a + i, int(k - i)) : load(a + i);
    const vi size = as_bits(v) & 0x7fffffff;
    low = v < low ? v : low;
    high = larger(v, high);
    largest = size > largest ? size : largest;
  }
  const float hi = max_across(high)[0], lo = -max_across(-low)[0];
  const bool finite = !any(largest >= 0x7f800000), usable = finite && hi - lo >= sparse_least;
  const float step = hi / 255.0f - lo / 255.0f, inverse = usable ? 1.0f / step : 0.0f;
  const float magic = 12582912.0f;                      // 1.5 * 2^23: the sum's low bits are the rounded integer
  const vf minus = splat(-lo * inverse) + magic;
  const int32_t z = usable ? (as_bits(minus) - as_bits(splat(magic)))[0] : 0;
  *zero = z;
  *scale = usable ? step : finite ? 0.0f
                                  : __builtin_nanf("");
  const int64_t padded = (k + 3) / 4 * 4;
  uint8_t* const bytes = reinterpret_cast<uint8_t*>(words) + (sparse_halves - 1) * padded;
  for (int64_t i = 0; i < padded; i += lanes) {
    vi q = {};
    if (usable && i < k) {
      q = as_bits((k - i < lanes ? load(a + i, int(k - i)) : load(a + i)) * inverse + magic) - as_bits(splat(magic)) + z;
      q = q < 255 ? q : vi{} + 255;
      if (k - i < lanes) q &= ramp() < int32_t(k - i);
    }
    if (padded - i < lanes) store_bytes(bytes + i, q, int(padded - i));
    else store_bytes(bytes + i, q);
  }
  if constexpr (sparse_halves == 2)
    // In place: the bytes lie in the second half of the row's room, where each group is read before a pair of words reaches it.
    for (int64_t i = 0; i < padded / 4; i++) {
      uint32_t four;
      std::memcpy(&four, bytes + 4 * i, 4);
      words[2 * i] = int32_t(four & 0x00ff00ff);
      words[2 * i + 1] = int32_t(four >> 8 & 0x00ff00ff);
    }
}

inline void sparse_transpose(const int32_t* rows, int64_t row_words, int64_t height, int64_t words, int32_t* panel, int64_t panel_row) {
  gather(reinterpret_cast<const float*>(rows), 1, row_words, words, height, reinterpret_cast<float*>(panel), panel_row);
}

constexpr SparseHeights<sparse_rows_f32, sparse_rows_int8> sparse_heights;
ACCELNN_INLINE SparseIsa sparse_isa_f32() {
  return {sparse_rows_f32, 1, [](int rows, const SparseTile& t) { sparse_heights.f32[rows](t); }, nullptr, sparse_within, nullptr, sparse_transpose};
}
ACCELNN_INLINE SparseIsa sparse_isa_int8() {
  return {sparse_rows_int8, sparse_halves, nullptr, [](int rows, const SparseTile& t) { sparse_heights.int8[rows](t); }, sparse_within, sparse_quantize,
          sparse_transpose};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
