// Few queries against many keys: bound by reading the cache, so every row of it is read once, as it lies. `lanes` dot products at a time end in a tree
// of pairwise sums that leaves one of them in each lane.
#pragma once
#include "attention/attention_decode.h"
#include "attention/scores.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

// Numbers of a cache as floats.
ACCELNN_INLINE vf load_cache(const float* p) { return load(p); }
ACCELNN_INLINE vf load_cache(const float* p, int n) { return load(p, n); }
ACCELNN_INLINE vf load_cache(const int8_t* p) { return to_float(load_bytes(p)); }
ACCELNN_INLINE vf load_cache(const int8_t* p, int n) { return to_float(load_bytes(p, n)); }
ACCELNN_INLINE vf load_cache(const uint16_t* p) {
#if defined(__AVX512F__)
  return as_float(reinterpret_cast<vi>(_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))) << 16);
#elif defined(__AVX2__)
  return as_float(reinterpret_cast<vi>(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))) << 16);
#else
  typedef uint16_t halves __attribute__((vector_size(2 * lanes)));
  halves v;
  std::memcpy(&v, p, sizeof v);
  return as_float(__builtin_convertvector(v, vi) << 16);
#endif
}
ACCELNN_INLINE vf load_cache(const uint16_t* p, int n) {
  uint16_t part[lanes] = {};
  for (int i = 0; i < n; i++) part[i] = p[i];
  return load_cache(part);
}

// Numbers of a small type, AVX-512: 64 bytes of them become `woven` vectors, number woven i + b in lane i of vector b, and sums keep this order to the end. A
// number then stays in its own 32 bits, where it is masked or shifted to the top (an int8 counts 2^24-fold, so nothing needs its sign spread); vpmovsxbd
// and vpmovzxwd are two instructions each, of the shuffling pipes alone. int8 out of a cache, keys and values alone: 31 and 29 GB/s with vpmovsxbd, 31 and 30
// with vpshufb for all four bytes, 34 and 35 with one masked, two shuffled and one shifted, so that all pipes have work. Loads at shifted addresses instead
// of shuffles (36, 36) would read what lies before a cache, vpdpbusd as a selector (38, 36) wants a row of its own. Dot products in integers (16-bit digits
// of q, vpdpwssd) give 47 for the keys, but no fixed number of digits keeps the error within gamma |q| |k|.
#if defined(__AVX512F__)
template <class T> constexpr int woven = int(4 / sizeof(T));
#else
template <class T> constexpr int woven = 1;
#endif
template <class T> constexpr float woven_scale = woven<T> == 4 ? 1.0f / (1 << 24) : 1.0f;

// Where number e of a row stands.
template <class T> ACCELNN_INLINE int64_t woven_place(int64_t e) {
  constexpr int64_t n = woven<T>, block = n * lanes;
  return e / block * block + e % n * lanes + e % block / n;
}

// Vector number c of a row.
struct Weaver {
#if defined(__AVX512F__)
  __m512i second, third;
  static ACCELNN_INLINE __m512i to_top(int b) {
    const int first = 0x808080 | b << 24, next = 4 << 24;
    return _mm512_maskz_broadcast_i32x4(0xffff, _mm_setr_epi32(first, first + next, first + 2 * next, first + 3 * next));
  }
  ACCELNN_INLINE Weaver() : second(to_top(2)), third(to_top(1)) {}
  ACCELNN_INLINE vf part(const int8_t* row, int c) const {
    const vi x = load_bits(row + c / 4 * 64);
    const __m512i bytes = reinterpret_cast<__m512i>(x);
    if (c % 4 == 0) return to_float(x << 24);
    if (c % 4 == 3) return to_float(x & int32_t(0xff000000));
    return to_float(reinterpret_cast<vi>(_mm512_shuffle_epi8(bytes, c % 4 == 2 ? second : third)));
  }
  ACCELNN_INLINE vf part(const uint16_t* row, int c) const {
    const vi x = load_bits(row + c / 2 * 32);
    return as_float(c % 2 ? x & int32_t(0xffff0000) : x << 16);
  }
  ACCELNN_INLINE vf part(const float* row, int c) const { return load(row + c * lanes); }
#else
  template <class T> ACCELNN_INLINE vf part(const T* row, int c) const { return load_cache(row + c * lanes); }
#endif
};

template <int n> struct Constant {
  static constexpr int value = n;
};

// One sum of lanes for each of `lanes` vectors.
template <int n> ACCELNN_INLINE vf pairwise(vf* v) {
  if constexpr (n == 1) return v[0];
  else {
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; i++) v[i] = evens(v[2 * i], v[2 * i + 1]) + odds(v[2 * i], v[2 * i + 1]);
    return pairwise<n / 2>(v);
  }
}
#if defined(__AVX512F__)
// Half of the exchanges are blends, which any pipe does, the others stay in their 16 bytes as long as they can: 20 shuffles instead of 30 vpermt2ps.
ACCELNN_INLINE vf sums_of(const vf* v) {
  const auto shuffle = [](vf a, vf b, auto what) __attribute__((always_inline)) {
    return reinterpret_cast<vf>(_mm512_maskz_shuffle_ps(0xffff, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), decltype(what)::value));
  };
  const auto quarters = [](vf a, vf b, auto what) __attribute__((always_inline)) {
    return reinterpret_cast<vf>(_mm512_maskz_shuffle_f32x4(0xffff, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), decltype(what)::value));
  };
  const auto either = [](vf a, vf b, __mmask16 second) __attribute__((always_inline)) {
    return reinterpret_cast<vf>(_mm512_mask_blend_ps(second, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
  };
  constexpr Constant<0x4e> halves{};       // 2 3 of the one, 0 1 of the other
  constexpr Constant<0x88> even{};         // 0 2, 0 2
  constexpr Constant<0xdd> odd{};          // 1 3, 1 3
  vf two[8], four[4], eight[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) two[i] = either(v[2 * i], v[2 * i + 1], 0xcccc) + shuffle(v[2 * i], v[2 * i + 1], halves);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) four[i] = shuffle(two[2 * i], two[2 * i + 1], even) + shuffle(two[2 * i], two[2 * i + 1], odd);
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++) eight[i] = either(four[2 * i], four[2 * i + 1], 0xff00) + quarters(four[2 * i], four[2 * i + 1], halves);
  return quarters(eight[0], eight[1], even) + quarters(eight[0], eight[1], odd);
}
#else
ACCELNN_INLINE vf sums_of(vf* v) { return pairwise<lanes>(v); }
#endif

// s[r][j] = q_r . k_j for R queries. q has whole vectors, zero behind `depth`; s has whole vectors.
// A key at a time, so that memory is read as one stream, and no prefetch: with four rows side by side 128 floats a row came at 10 GB/s of 30, with prefetch
// 2 to 16 KiB ahead at 12 to 17, with plain loads of the next block's lines between the sums at 8, and what is in a cache lost a fifth.
template <int R, class T>
void dots(const float* q, int64_t q_row, const T* k, int64_t k_row, int64_t keys, int64_t depth, float* s, int64_t s_row) {
  const int64_t whole = depth / lanes * lanes;
  const int rest = int(depth - whole);
  for (int64_t j = 0; j < keys; j += lanes) {
    vf part[R][lanes];
    for (int i = 0; i < lanes; i++) {
      const T* const row = k + (j + i < keys ? j + i : keys - 1) * k_row;
      vf acc[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) acc[r] = vf{};
      for (int64_t e = 0; e < whole; e += lanes) {
        const vf y = load_cache(row + e);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) acc[r] = fma(load(q + r * q_row + e), y, acc[r]);
      }
      if (rest) {
        const vf y = load_cache(row + whole, rest);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) acc[r] = fma(load(q + r * q_row + whole), y, acc[r]);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) part[r][i] = acc[r];
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) store(s + r * s_row + j, sums_of(part[r]));
  }
}

// The same for rows of W vectors, known to the compiler: queries stay in registers (R W <= 32, some of them as memory operands). The loop over keys stays
// a loop: each of its loads then moves by one row a turn, which the processor's prefetcher follows; unrolled, with the pairwise sums in between, four
// queries of 128 floats came at 20 instead of 31 GB/s, bfloat16 ones at 11 instead of 20. A number that is widened is widened once for all queries.
template <int R, int W, class T>
__attribute__((noinline)) void dots_tile(const float* q, int64_t q_row, const T* row, int64_t k_row, int64_t keys, float* s, int64_t s_row) {
  static_assert(W % woven<T> == 0);
  const Weaver weaver;
  vf own[R][W], part[R][lanes];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int e = 0; e < W; e++) own[r][e] = load(q + r * q_row + e * lanes);
#pragma GCC unroll 1
  for (int i = 0; i < lanes; i++) {
    vf acc[R];
#pragma GCC unroll 8
    for (int e = 0; e < W; e++) {
      vf y = weaver.part(row, e);
#if defined(__AVX512F__)
      if (R > 1) asm("" : "+v"(y));      // else g++ loads it again for every query
#endif
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) acc[r] = e ? fma(own[r][e], y, acc[r]) : own[r][e] * y;
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) part[r][i] = acc[r];
    if (i + 1 < keys) row += k_row;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) store(s + r * s_row, sums_of(part[r]));
}

template <int R, int W, class T>
void dots_of_width(const float* q, int64_t q_row, const T* k, int64_t k_row, int64_t keys, float* s, int64_t s_row) {
  constexpr int most = 32 / W, together = R < most ? R : most;
  for (int64_t j = 0; j < keys; j += lanes)
    for (int r = 0; r < R; r += together) dots_tile<together, W>(q + r * q_row, q_row, k + j * k_row, k_row, keys - j, s + r * s_row + j, s_row);
}

// One query over floats needs none of it: 87 instead of 69 GB/s out of the last cache.
template <int R, class T> ACCELNN_INLINE bool has_width(int64_t depth) {
  return lanes == 16 && (R > 1 || sizeof(T) < 4) && (depth == 8 * lanes || depth == 4 * lanes);
}
template <int R, class T>
void all_dots(const float* q, int64_t q_row, const T* k, int64_t k_row, int64_t keys, int64_t depth, float* s, int64_t s_row) {
  if constexpr (lanes == 16 && (R > 1 || sizeof(T) < 4)) {
    if (has_width<R, T>(depth))
      return depth == 8 * lanes ? dots_of_width<R, 8>(q, q_row, k, k_row, keys, s, s_row) : dots_of_width<R, 4>(q, q_row, k, k_row, keys, s, s_row);
  }
  dots<R>(q, q_row, k, k_row, keys, depth, s, s_row);
}

// y[r][c] += sum_j w[r][j] v[j][c] for C vectors of columns; U keys at a time have sums of their own, so that no sum waits for the one before.
template <int R, int C, bool Partial, class T>
void add_values(const float* w, int64_t w_row, const T* v, int64_t v_row, int64_t keys, float* y, int64_t y_row, int rest) {
  constexpr int U = R * C >= 8 ? 1 : R * C >= 4 ? 2
                                                : 4;
  const Weaver weaver;
  vf acc[U][R][C];
#pragma GCC unroll 4
  for (int u = 0; u < U; u++)
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
      for (int c = 0; c < C; c++) acc[u][r][c] = vf{};
  int64_t j = 0;
  const auto step = [&](int64_t at, int u) __attribute__((always_inline)) {
    vf x[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; c++) {
      if constexpr (Partial) x[c] = load_cache(v + at * v_row, rest);
      else if constexpr (C % woven<T> == 0) x[c] = weaver.part(v + at * v_row, c);
      else x[c] = load_cache(v + at * v_row + c * lanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
      for (int c = 0; c < C; c++) acc[u][r][c] = fma(splat(w[r * w_row + at]), x[c], acc[u][r][c]);
  };
  for (; j + U <= keys; j += U)
#pragma GCC unroll 4
    for (int u = 0; u < U; u++) step(j + u, u);
  for (; j < keys; j++) step(j, 0);
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int c = 0; c < C; c++) {
      vf sum = acc[0][r][c];
#pragma GCC unroll 4
      for (int u = 1; u < U; u++) sum += acc[u][r][c];
      float* const to = y + r * y_row + c * lanes;
      if (Partial) store(to, load(to, rest) + sum, rest);
      else store(to, load(to) + sum);
    }
}

template <int R> constexpr int values_together = R >= 8 ? 2 : R >= 4 ? 4
                                                                     : 8;

// As many columns in one pass as registers hold sums; blocks of keys small enough that a second pass finds them in L1. Rows of floats that four queries and
// more would read in pieces are read whole for two queries at a time: from memory 29 instead of 16 GB/s (in a cache 46 instead of 52); smaller numbers are
// bound by arithmetic, and a second pass would widen them again. Asking for whole rows of the next block beforehand: 12 to 17 GB/s.
template <int R, class T>
void all_values(const float* w, int64_t w_row, const T* v, int64_t v_row, int64_t keys, int64_t width, float* y, int64_t y_row) {
  if constexpr (lanes == 16 && R >= 4 && sizeof(T) == 4) {
    if (width % (8 * lanes) == 0) {
      constexpr int64_t block = 16;
      for (int64_t j = 0; j < keys; j += block)
        for (int r = 0; r < R; r += 2)
          for (int64_t c = 0; c < width; c += 8 * lanes)
            add_values<2, 8, false>(w + r * w_row + j, w_row, v + j * v_row + c, v_row, keys - j < block ? keys - j : block, y + r * y_row + c, y_row, 0);
      return;
    }
  }
  constexpr int most = values_together<R>;
  const int64_t block = width == most * lanes ? 256 : 32;
  for (int64_t j = 0; j < keys; j += block) {
    const int64_t n = keys - j < block ? keys - j : block;
    const T* from = v + j * v_row;
    int64_t c = 0;
    for (; c + most * lanes <= width; c += most * lanes) add_values<R, most, false>(w + j, w_row, from + c, v_row, n, y + c, y_row, 0);
    if constexpr (most > 4)
      for (; c + 4 * lanes <= width; c += 4 * lanes) add_values<R, 4, false>(w + j, w_row, from + c, v_row, n, y + c, y_row, 0);
    if constexpr (most > 2)
      for (; c + 2 * lanes <= width; c += 2 * lanes) add_values<R, 2, false>(w + j, w_row, from + c, v_row, n, y + c, y_row, 0);
    for (; c + lanes <= width; c += lanes) add_values<R, 1, false>(w + j, w_row, from + c, v_row, n, y + c, y_row, 0);
    if (c < width) add_values<R, 1, true>(w + j, w_row, from + c, v_row, n, y + c, y_row, int(width - c));
  }
}

// Four queries on an int8 cache are bound by multiply-adds: 4 of them a byte are 14.8 GB/s at 59 G a second, whatever memory does (11 to 13 reached, bfloat16
// 20 to 24 of 29.6). Digits of q in VNNI need 3 bytes for float32's bits: 21 products a cycle instead of 16 and five conversions a key, not tried.
// Woven loads changed nothing for four queries on int8 (10 to 11), a cheaper sum of lanes neither; bfloat16 21.2 instead of 20.5.
// Two threads are bound by memory, which has two speeds for them: their reads alone came at 33 to 35 or at 55 to 62 GB/s within minutes, and 64 heads of 8192
// in one run at 33 (int8), 36 (floats) and 60 (bfloat16). Whether the pages' place or a neighbour decides was not found out.
// Asking for the scales of int8 keys 128 keys ahead: 16.4 instead of 18.0 GB/s; for all of a part's before its keys, which is done: 24.2 instead of 23.4 (one
// query, 134 MB). Asking for the first 4 KiB of values before the softmax, and of the next keys at its end: 20.7 to 23.1 instead of 23.2.
// One part of an item's keys for all its queries. sums: [rows][D + 2]: values, maximum, total.
struct DecodePart {
  const DecodeProblem& d;
  const Mask& mask;
  int64_t b, g, k0, n;                       // keys [k0, k0 + n) exist
  float* sums;
  int64_t item, from;                        // where they stand: row `from` of the cache's item (a page: of pages, 0)

  ACCELNN_INLINE int64_t row_size() const { return d.p.width + 2; }

  template <int R, class T>
  __attribute__((noinline)) void rows(int64_t first, const T* k, int64_t k_row, const T* v, int64_t v_row) const {
    constexpr int64_t s_row = decode_part + 16;
    alignas(64) float s[R * s_row], q[R * attention_widest];
    const AttentionProblem& p = d.p;
    const int64_t q_row = (p.depth + lanes - 1) / lanes * lanes;
    const float scale = p.scale * log2e;
    const bool keys_woven = woven<T> > 1 && has_width<R, T>(p.depth);
    const int64_t values_woven = woven<T> > 1 && values_together<R> >= woven<T> ? p.width / (woven<T> * lanes) * (woven<T> * lanes) : 0;
    for (int r = 0; r < R; r++) {
      const int64_t h = g * p.repeat + (first + r) / p.queries, i = (first + r) % p.queries;
      const float* from = p.q.as<float>() + b * p.q.stride[0] + h * p.q.stride[1] + i * p.q.stride[2];
      if (keys_woven)
        for (int64_t e = 0; e < p.depth; e++) q[r * q_row + woven_place<T>(e)] = from[e * p.q.stride[3]] * (scale * woven_scale<T>);
      else
        for (int64_t e = 0; e < p.depth; e++) q[r * q_row + e] = from[e * p.q.stride[3]] * scale;
      for (int64_t e = p.depth; e < q_row; e++) q[r * q_row + e] = 0.0f;
      for (int64_t c = 0; c < p.width; c++) sums[(first + r) * row_size() + c] = 0.0f;
    }
    const auto scales_of = [&](const TensorView& t, int64_t* step) {
      *step = t.shape[2] == 1 ? 0 : t.stride[2];
      return t.as<float>() + (t.shape[0] == 1 ? 0 : item * t.stride[0]) + (t.shape[1] == 1 ? 0 : g * t.stride[1]) + from * *step;
    };
    const auto ask_for = [&](const TensorView& t) {
      int64_t step = 0;
      const float* const from = t.absent() ? nullptr : scales_of(t, &step);
      for (int64_t j = 0; j < n && step == 1; j += 16) __builtin_prefetch(from + j, 0, 2);
    };
    if (first == 0) ask_for(d.k_scale), ask_for(d.v_scale);
    all_dots<R>(q, q_row, k + from * k_row, k_row, n, p.depth, s, s_row);
    const int64_t columns = (n + 2 * lanes - 1) / (2 * lanes) * (2 * lanes);
    const auto scale_by = [&](const TensorView& t, float* row) {
      if (t.absent()) return;
      int64_t step, j = 0;
      const float* const from = scales_of(t, &step);
      if (step == 1)
        for (; j + lanes <= n; j += lanes) store(row + j, load(row + j) * load(from + j));
      for (; j < n; j++) row[j] *= from[j * step];
    };
    for (int r = 0; r < R; r++) {
      const int64_t h = g * p.repeat + (first + r) / p.queries, i = (first + r) % p.queries, end = p.end_of(i, p.keys_of(b), p.queries) - k0;
      const int64_t visible = end < 0 ? 0 : end < n ? end
                                                    : n;
      float *const row = s + r * s_row, *const to = sums + (first + r) * row_size() + p.width;
      scale_by(d.k_scale, row);
      if (!mask.absent()) add_mask(mask, mask.offset(b, h) + i * mask.stride[2] + k0 * mask.stride[3], visible, row);
      if (visible < columns) hide(row, visible, columns);
      to[0] = minus_infinity;
      to[1] = weigh(row, columns, &to[0]);
      scale_by(d.v_scale, row);
    }
    all_values<R>(s, s_row, v + from * v_row, v_row, n, p.width, sums + first * row_size(), row_size());
    for (int r = 0; r < R && values_woven; r++) {
      float *const to = sums + (first + r) * row_size(), was[attention_widest];
      std::memcpy(was, to, size_t(values_woven) * sizeof(float));
      for (int64_t c = 0; c < values_woven; c++) to[c] = was[woven_place<T>(c)] * woven_scale<T>;
    }
  }

  template <class T> void run(const Cache& k, const Cache& v) const {
    const T* const keys = reinterpret_cast<const T*>(k.at) + item * k.item + g * k.head;
    const T* const values = reinterpret_cast<const T*>(v.at) + item * v.item + g * v.head;
    int64_t r = 0;
    if constexpr (lanes >= 8)
      for (; r + 8 <= d.rows; r += 8) rows<8>(r, keys, k.row, values, v.row);
    for (; r + 4 <= d.rows; r += 4) rows<4>(r, keys, k.row, values, v.row);
    for (; r + 2 <= d.rows; r += 2) rows<2>(r, keys, k.row, values, v.row);
    if (r < d.rows) rows<1>(r, keys, k.row, values, v.row);
  }
  void run(const Cache& k, const Cache& v) const {
    if (k.dtype == DType::f32) run<float>(k, v);
    else if (k.dtype == DType::bf16) run<uint16_t>(k, v);
    else run<int8_t>(k, v);
  }
};

// Joins the parts of one query, in order.
inline void join_parts(const DecodeProblem& d, const float* parts, int64_t step, float* y, float* lse) {
  const int64_t width = d.p.width;
  float most = minus_infinity, total = 0;
  for (int64_t i = 0; i < d.parts; i++) most = parts[i * step + width] > most ? parts[i * step + width] : most;
  const float shift = most == minus_infinity ? 0.0f : most;
  for (int64_t c = 0; c < width; c++) y[c] = 0.0f;
  for (int64_t i = 0; i < d.parts; i++) {
    const float* from = parts + i * step;
    const vf share = exp2(splat(from[width] - shift));
    total += from[width + 1] * share[0];
    for (int64_t c = 0; c < width; c += lanes) {
      const int n = int(width - c < lanes ? width - c : lanes);
      store(y + c, fma(load(from + c, n), share, load(y + c, n)), n);
    }
  }
  const bool nothing = most == minus_infinity && total == 0.0f;
  const vf norm = splat(nothing ? 0.0f : 1.0f / total);
  for (int64_t c = 0; c < width; c += lanes) {
    const int n = int(width - c < lanes ? width - c : lanes);
    store(y + c, nothing ? vf{} : load(y + c, n) * norm, n);
  }
  if (lse) *lse = nothing ? minus_infinity : most * ln2 + log(splat(total))[0];
}

inline void copy_elements(const TensorView& v, int64_t piece, char* to) {
  const int64_t rows = v.shape[2], columns = v.shape[3], b = piece / v.shape[1], h = piece % v.shape[1], size = int64_t(size_of(v.dtype));
  const char* from = static_cast<const char*>(v.data) + (b * v.stride[0] + h * v.stride[1]) * size;
  to += piece * rows * columns * size;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++, to += size) std::memcpy(to, from + (r * v.stride[2] + c * v.stride[3]) * size, size_t(size));
}

inline Status decode(const Call& call, bool cached) {
  const DecodeProblem d = decode_problem(call, cached);
  const AttentionProblem& p = d.p;
  if (p.items() == 0 || d.rows == 0) return {};
  char* const work = static_cast<char*>(call.work);
  if (d.copy_k) parallel(call, p.items(), p.k.count() * 8, [&](int64_t i) { copy_elements(p.k, i, work + d.k_at); });
  if (d.copy_v) parallel(call, p.items(), p.v.count() * 8, [&](int64_t i) { copy_elements(p.v, i, work + d.v_at); });
  const auto cache = [&](const TensorView& t, bool copied, int64_t at) {
    return copied ? Cache{work + at, t.dtype, t.shape[1] * t.shape[2] * t.shape[3], t.shape[2] * t.shape[3], t.shape[3]}
                  : Cache{static_cast<const char*>(t.data), t.dtype, t.stride[0], t.stride[1], t.stride[2]};
  };
  const Cache k = cache(p.k, d.copy_k, d.k_at), v = cache(p.v, d.copy_v, d.v_at);
  const Mask mask(p.mask);
  float* const sums = reinterpret_cast<float*>(work + d.sums);
  const int64_t size = p.width + 2, step = d.rows * size, moved = p.k.count() * int64_t(size_of(p.k.dtype)) + p.v.count() * int64_t(size_of(p.v.dtype));
  parallel(call, p.items() * d.parts, moved + 2 * p.flops() / 8, [&](int64_t part) {
    const int64_t item = part / d.parts, b = item / p.groups, k0 = part % d.parts * d.part, left = p.keys_of(b) - k0;
    const DecodePart one = {d, mask, b, item % p.groups, k0, left < 0 ? 0 : left < d.part ? left
                                                                                          : d.part,
                            sums + part * step, b, k0};
    if (one.n == 0) {
      for (int64_t i = 0; i < step; i++) one.sums[i] = i % size == p.width ? minus_infinity : 0.0f;
      return;
    }
    one.run(k, v);
  });
  float *const y = call.out[0].as<float>(), *const lse = cached || call.out[1].absent() ? nullptr : call.out[1].as<float>();
  parallel(call, p.items(), d.parts * step * p.items(), [&](int64_t item) {
    for (int64_t r = 0; r < d.rows; r++) {
      const int64_t at = item * d.rows + r;          // [B, G, H / G, L] is [B, H, L]
      join_parts(d, sums + item * d.parts * step + r * size, step, y + at * p.width, lse ? lse + at : nullptr);
    }
  });
  return {};
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
