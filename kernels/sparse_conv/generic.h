// Tiles of a block-sparse convolution over vec.h: up to 28 pixels against the blocks of one strip. A block costs one load, its offset one more; the
// pixels' words lie side by side, so that every product takes its own from memory as it multiplies.
#pragma once
#include "conv2d_nhwc/turn.h"
#include "matmul/activation.h"
#include "qconv/generic.h"
#include "sparse_conv/tiles.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

constexpr int sconv_vectors = 64 / vector_bytes;        // of a block

#define ACCELNN_EACH(statement)                        \
  _Pragma("GCC unroll 32") for (int i = 0; i < R; i++) \
      _Pragma("GCC unroll 4") for (int j = 0; j < V; j++) statement

// As many sums as registers hold. Maps of 14 and of 7 pixels a line fill a tile with two and four lines; with fewer registers a line is enough.
#if defined(__AVX512F__)
constexpr int sconv_rows_f32 = 28, sconv_lines = 4;
#elif defined(__AVX2__) || defined(ACCELNN_NEON)
constexpr int sconv_rows_f32 = 6, sconv_lines = 1;
#else
constexpr int sconv_rows_f32 = 3, sconv_lines = 1;
#endif
#if defined(__AVX512VNNI__)
constexpr int sconv_rows_bytes = 28;
#elif defined(__AVX512BW__)
constexpr int sconv_rows_bytes = 24;
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr int sconv_rows_bytes = 6;
#elif defined(__AVX2__)
constexpr int sconv_rows_bytes = 4;
#else
constexpr int sconv_rows_bytes = 2;
#endif

// rows [pixel][16] to a plane an output: 16 by 16 where lanes are, with bias, residual and activation on the way.
inline __attribute__((noinline)) void sconv_planes(const float* sums, int pixels, const SconvTile& t) {
  alignas(64) float turned[lanes * lanes];
  for (int i = 0; i < pixels; i += lanes)
    for (int j = 0; j < t.columns; j += lanes) {
      const int n = pixels - i < lanes ? pixels - i : lanes;
      turn_block<false>(turned, lanes, sums + i * sconv_strip + j, sconv_strip);
      for (int k = 0; k < lanes && j + k < t.columns; k++) {
        vf v = load(turned + k * lanes);
        const int64_t at = (j + k) * t.y_row + i;
        if (t.residual) v += load(t.residual + at, n);
        if (t.bias) v += splat(t.bias[j + k]);
        store(t.y + at, activate(v, t.how), n);
      }
    }
}
inline __attribute__((noinline)) void sconv_pixels(const float* sums, int pixels, const SconvTile& t) {
  for (int i = 0; i < pixels; i++)
    for (int j = 0; j < t.columns; j += lanes) {
      const int n = t.columns - j < lanes ? t.columns - j : lanes;
      vf v = load(sums + i * sconv_strip + j);
      if (t.residual) v += load(t.residual + i * t.y_row + j, n);
      if (t.bias) v += load(t.bias + j, n);
      store(t.y + i * t.y_row + j, activate(v, t.how), n);
    }
}

// G lines of L pixels each.
template <int L, int G> void sconv_tile_f32(const SconvTile& t) {
  constexpr int V = sconv_vectors, R = L * G;
  vf sum[R][V];
  ACCELNN_EACH(sum[i][j] = vf{});
  const float *values = static_cast<const float*>(t.values), *x[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) x[g] = reinterpret_cast<const float*>(t.x) + g * t.line;
  const int32_t* const offset = t.offset;
  for (int64_t b = 0; b < t.count; b++, values += 16) {
    const int64_t at = offset[b];
    vf w[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) w[j] = load(values + j * lanes);
    ACCELNN_EACH(sum[i][j] = fma(splat(x[i / L][at + i % L]), w[j], sum[i][j]));
  }
  if (t.y_last && t.columns == sconv_strip && t.how <= activation::relu) {
    if (t.residual) ACCELNN_EACH(sum[i][j] += load(t.residual + i * t.y_row + j * lanes));
    if (t.bias) ACCELNN_EACH(sum[i][j] += load(t.bias + j * lanes));
    if (t.how) ACCELNN_EACH(sum[i][j] = max(sum[i][j], vf{}));
    ACCELNN_EACH(store(t.y + i * t.y_row + j * lanes, sum[i][j]));
    return;
  }
  alignas(64) float part[sconv_most * sconv_strip];     // whole vectors of pixels are read
  ACCELNN_EACH(store(part + i * sconv_strip + j * lanes, sum[i][j]));
  (t.y_last ? sconv_pixels : sconv_planes)(part, R, t);
}

template <int L, int G> void sconv_tile_bytes(const SconvTile& t) {
  constexpr int V = sconv_vectors, R = L * G;
  vi sum[R][V];
  ACCELNN_EACH(sum[i][j] = load_bits(t.start + j * lanes));
  const char* values = static_cast<const char*>(t.values);
  const int32_t *x[G], *const offset = t.offset;
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) x[g] = t.x + g * t.line;
  for (int64_t b = 0; b < t.count; b++, values += 64) {
    const int64_t at = offset[b];
    Bytes w[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) w[j] = take_apart<false>(load_bits(values + j * vector_bytes));
#pragma GCC unroll 32
    for (int i = 0; i < R; i++) {
      const Bytes v = broadcast_bytes<true>(x[i / L] + at + i % L);
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) sum[i][j] = dot4(sum[i][j], v, w[j]);
    }
  }
  ACCELNN_EACH(store_bits(t.sums + i * qconv_columns + j * lanes, sum[i][j]));
}
#undef ACCELNN_EACH

template <int most>
struct SconvHeights {
  using Body = void (*)(const SconvTile&);
  Body one[most + 1], two[most / 2 + 1], four[most / 4 + 1];
};
template <bool bytes, int most>
struct SconvBodies : SconvHeights<most> {
  template <int L, int G> static constexpr typename SconvHeights<most>::Body body() {
    if constexpr (bytes) return sconv_tile_bytes<L, G>;
    else return sconv_tile_f32<L, G>;
  }
  constexpr SconvBodies() : SconvHeights<most>{} { fill<most>(); }
  template <int L> constexpr void fill() {
    this->one[L] = body<L, 1>();
    if constexpr (sconv_lines > 1 && L <= most / 2) this->two[L] = body<L, 2>();
    if constexpr (sconv_lines > 1 && L <= most / 4) this->four[L] = body<L, 4>();
    if constexpr (L > 1) fill<L - 1>();
  }
};
template <bool bytes, int most> constexpr SconvBodies<bytes, most> sconv_bodies;
template <bool bytes, int most> void sconv_tile(int lines, int pixels, const SconvTile& t) {
  const auto& bodies = sconv_bodies<bytes, most>;
  (lines == 1 ? bodies.one[pixels] : lines == 2 ? bodies.two[pixels]
                                                : bodies.four[pixels])(t);
}

// k / words by a multiplication: k + 1/2 is exact and no closer to a multiple of `words` than the rounding, below 2^21.
inline bool sconv_offsets(const int32_t* index, int64_t count, const SconvProblem& p, const int32_t* table, int32_t* to) {
  const uint32_t end = uint32_t(p.taps * p.words);
  const int32_t pitch = int32_t(p.pitch);
  const float tap = 1.0f / float(p.words);
  uint32_t outside = 0;
  for (int64_t b = 0; b < count; b++) {
    const uint32_t bad = uint32_t(index[b]) >= end ? 1 : 0;
    const int32_t k = bad ? 0 : index[b];
    outside |= bad;
    to[b] = k * pitch + table[int32_t((float(k) + 0.5f) * tap)];
  }
  return !outside;
}

// to[j * pitch + i] = from[i * row + j] for i < pixels, j < words. In whole vectors, also where a map's lines are shorter: 14 pixels of 1024 channels take a
// third of the time of 4 x 4 blocks.
inline void sconv_turn(const float* from, int64_t row, int64_t pixels, int64_t words, float* to, int64_t pitch) {
  for (int64_t i = 0; i < pixels; i += lanes)
    for (int64_t j = 0; j < words; j += lanes) {
      const int n = int(conv::at_most(lanes, pixels - i)), m = int(conv::at_most(lanes, words - j));
      const float* const x = from + i * row + j;
      float* const y = to + j * pitch + i;
      if (n == lanes && m == lanes) {
        turn_block<false>(y, pitch, x, row);
        continue;
      }
      alignas(64) float part[lanes * lanes] = {}, turned[lanes * lanes];
      for (int k = 0; k < n; k++) store(part + k * lanes, m == lanes ? load(x + k * row) : load(x + k * row, m));
      turn_block<false>(turned, lanes, part, lanes);
      for (int k = 0; k < m; k++) store(y + k * pitch, load(turned + k * lanes), n);
    }
}

// Pixels x[i * step] for i in [0, n), a pixel being p.words words (channels last) or the same place of as many planes, to columns.
inline void sconv_floats(const SconvProblem& p, const float* x, int64_t step, int64_t n, float* to) {
  const int64_t plane = p.g.h * p.g.w;
  if (p.x_last) return sconv_turn(x, step * p.g.c, n, p.g.c, to, p.pitch);
  for (int64_t c = 0; c < p.g.c; c++) {
    const float* const from = x + c * plane;
    float* const at = to + c * p.pitch;
    if (step == 1)
      for (int64_t i = 0; i < n; i++) at[i] = from[i];
    else
      for (int64_t i = 0; i < n; i++) at[i] = from[i * step];
  }
}
inline void sconv_quads(const SconvProblem& p, const uint8_t* x, int64_t step, int64_t n, uint32_t fill, uint32_t* to) {
  const int64_t c = p.g.c, plane = p.g.h * p.g.w;
  if (p.x_last && c % 4 == 0)
    return sconv_turn(reinterpret_cast<const float*>(x), step * p.words, n, p.words, reinterpret_cast<float*>(to), p.pitch);
  const int64_t next = p.x_last ? 1 : plane, each = step * (p.x_last ? c : 1);
  for (int64_t word = 0; word < p.words; word++) {
    const uint8_t* const from = x + 4 * word * next;
    uint32_t* const at = to + word * p.pitch;
    if (4 * word + 4 <= c && each == 1) {
      const uint8_t *const f1 = from + next, *const f2 = f1 + next, *const f3 = f2 + next;
      for (int64_t i = 0; i < n; i++) at[i] = uint32_t(from[i]) | uint32_t(f1[i]) << 8 | uint32_t(f2[i]) << 16 | uint32_t(f3[i]) << 24;
      continue;
    }
    for (int64_t i = 0; i < n; i++) {
      uint32_t quad = fill;
      for (int64_t r = 0; r < 4 && 4 * word + r < c; r++) quad = (quad & ~(0xffu << 8 * r)) | uint32_t(from[r * next + i * each]) << 8 * r;
      at[i] = quad;
    }
  }
}

inline void sconv_lay_out(const SconvProblem& p, const void* x, int64_t number, int32_t fill, int32_t* to) {
  const conv::Geometry& g = p.g;
  const auto some = [&](int64_t first, int64_t step, int64_t n, int32_t* at) {          // pixels first, first + step, ... of x
    const int64_t from = p.x_last ? first * g.c : first;
    if (p.bytes) sconv_quads(p, static_cast<const uint8_t*>(x) + from, step, n, uint32_t(fill), reinterpret_cast<uint32_t*>(at));
    else sconv_floats(p, static_cast<const float*>(x) + from, step, n, reinterpret_cast<float*>(at));
  };
  if (p.flat) {
    const int64_t first = number * p.width, n = conv::at_most(p.width, g.pixels - first);
    return some(first, 1, n, to);
  }
  const int64_t h = number * p.source_rows - g.top;
  const bool inside = h >= 0 && h < g.h;
  for (int64_t phase = 0; phase < p.phases; phase++) {
    // Column i of the phase is pixel i sw + phase - left of the row.
    const int64_t shift = g.left - phase, first = shift > 0 ? conv::at_most(conv::divide_up(shift, g.sw), p.phase) : 0, reach = g.w + shift;
    const int64_t end = reach > 0 ? conv::at_most(conv::divide_up(reach, g.sw), p.phase) : 0;
    int32_t* const at = to + phase * p.phase;
    const bool any_pixel = inside && first < end;
    const int64_t from = any_pixel ? first : p.phase, until = any_pixel ? end : p.phase;
    for (int64_t word = 0; word < p.words; word++) {
      int32_t* const line = at + word * p.pitch;
      for (int64_t i = 0; i < from; i++) line[i] = fill;
      for (int64_t i = until; i < p.phase; i++) line[i] = fill;
    }
    if (any_pixel) some(h * g.w + first * g.sw - shift, g.sw, end - first, at + first);
  }
}

ACCELNN_INLINE SconvIsa sconv_isa_f32() {
  return {sconv_rows_f32, sconv_lines, sconv_tile<false, sconv_rows_f32>, sconv_offsets, sconv_lay_out, nullptr, nullptr, 0};
}
ACCELNN_INLINE SconvIsa sconv_isa_bytes() {
  return {sconv_rows_bytes, sconv_lines, sconv_tile<true, sconv_rows_bytes>, sconv_offsets, sconv_lay_out, qconv_finish, plain_finish<qconv_narrow>,
          dot4_offset};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
