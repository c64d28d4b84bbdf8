// Depthwise byte convolutions, over vec.h. Four taps of a channel, one below another, make a quad. Unpacking works within quarters of 16 bytes on x86:
// vector i of four then holds channels 4 i ... 4 i + 3 of every 16, and weights, starts and scales come in that order.
#pragma once
#include "qconv/tiles.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

typedef uint8_t vbytes __attribute__((vector_size(vector_bytes)));
typedef uint16_t vpairs __attribute__((vector_size(vector_bytes)));
ACCELNN_INLINE vbytes bytes_at(const uint8_t* p) { return reinterpret_cast<vbytes>(load_bits(p)); }
#if defined(__AVX512F__)
#define ACCELNN_UNPACK(half, width, a, b) reinterpret_cast<vi>(_mm512_unpack##half##_epi##width(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)))
#elif defined(__AVX2__)
#define ACCELNN_UNPACK(half, width, a, b) reinterpret_cast<vi>(_mm256_unpack##half##_epi##width(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)))
#elif defined(__x86_64__)
#define ACCELNN_UNPACK(half, width, a, b) reinterpret_cast<vi>(_mm_unpack##half##_epi##width(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)))
#endif
ACCELNN_INLINE void quads_of(vbytes a, vbytes b, vbytes c, vbytes d, vi (&q)[4]) {
#if defined(ACCELNN_UNPACK)
  const vi ab = ACCELNN_UNPACK(lo, 8, a, b), cd = ACCELNN_UNPACK(lo, 8, c, d), AB = ACCELNN_UNPACK(hi, 8, a, b), CD = ACCELNN_UNPACK(hi, 8, c, d);
  q[0] = ACCELNN_UNPACK(lo, 16, ab, cd), q[1] = ACCELNN_UNPACK(hi, 16, ab, cd);
  q[2] = ACCELNN_UNPACK(lo, 16, AB, CD), q[3] = ACCELNN_UNPACK(hi, 16, AB, CD);
#else
  for (int n = 0; n < 4; n++)
    for (int i = 0; i < lanes; i++)
      q[n][i] = int32_t(uint32_t(a[4 * n + i]) | uint32_t(b[4 * n + i]) << 8 | uint32_t(c[4 * n + i]) << 16 | uint32_t(d[4 * n + i]) << 24);
#endif
}

// One pass over the window: some of its columns, four of its rows in quads.
struct DepthwisePass {
  const char* quads;          // of the first pixel's first column
  int64_t step, tap_step;     // bytes of quads
  int64_t taps;
  const char* w;
  bool first, last;           // sums come from the start, go to the finish; else both are `held`
  int32_t* held;
};

// U pixels share every load of weights.
template <int U> ACCELNN_INLINE void depthwise_pixels(const DepthwisePass& t, int64_t i, const QconvFinish& f) {
  vi acc[U][4];
  const int32_t* const start = t.first ? f.start : t.held + i * vector_bytes;
#pragma GCC unroll 4
  for (int u = 0; u < U; u++)
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) acc[u][n] = load_bits(start + (t.first ? 0 : u * vector_bytes) + n * lanes);
  const char *q = t.quads + i * t.step, *w = t.w;
  for (int64_t s = 0; s < t.taps; s++, q += t.tap_step, w += 4 * vector_bytes) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
      const Bytes weights = take_apart<false>(load_bits(w + n * vector_bytes));
#pragma GCC unroll 4
      for (int u = 0; u < U; u++) acc[u][n] = dot4(acc[u][n], take_apart<true>(load_bits(q + u * t.step + n * vector_bytes)), weights);
    }
  }
#pragma GCC unroll 4
  for (int u = 0; u < U; u++) {
    if (!t.last) {
#pragma GCC unroll 4
      for (int n = 0; n < 4; n++) store_bits(t.held + (i + u) * vector_bytes + n * lanes, acc[u][n]);
    } else if (!f.plain) {
#pragma GCC unroll 4
      for (int n = 0; n < 4; n++) {
        alignas(64) int32_t turned[lanes];       // its own: an accumulator whose address is taken lives in memory
        store_bits(turned, acc[u][n]);
        for (int k = 0; k < lanes; k += 4) std::memcpy(f.sums + (i + u) * qconv_columns + k * 4 + n * 4, turned + k, 16);
      }
    } else {
#pragma GCC unroll 4
      for (int n = 0; n < 4; n++) acc[u][n] = nearest(to_float(acc[u][n]) * load(f.scale + n * lanes));
      store_narrow<true>(f.y + (i + u) * f.y_row, acc[u], {f.zero, f.relu});
    }
  }
}

// Every column's quads are made once for all pixels whose windows it is in, and wait in L1.
inline void qconv_depthwise(const QconvDepthwise& t) {
  constexpr int64_t most = 64, quad_bytes = 4 * vector_bytes;
#if defined(__AVX512F__) || defined(__aarch64__)
  constexpr int U = 4;
#else
  constexpr int U = 2;
#endif
  alignas(64) char quads[most * quad_bytes];
  alignas(64) int32_t held[qconv_depthwise_pixels * vector_bytes];
  const int64_t chunk = conv::at_most(t.pixels, (most - 10) / t.stride + 1);
  const int64_t taps = conv::at_most(t.taps, (most - 1 - (chunk - 1) * t.stride) / t.dilation + 1);
  for (int j = 0; j < t.columns; j += vector_bytes)
    for (int64_t i = 0; i < t.pixels; i += chunk) {
      QconvFinish f = t.finish;
      f.start += j, f.scale += j, f.y += i * f.y_row + j, f.sums += i * qconv_columns + j;
      const int64_t n = conv::at_most(chunk, t.pixels - i), groups = (t.rows + 3) / 4;
      for (int64_t g = 0; g < groups; g++)
        for (int64_t s = 0; s < t.taps; s += taps) {
          const int64_t some = conv::at_most(taps, t.taps - s), below = t.rows - 1 - 4 * g;      // rows below the first one; what lies lower meets zeros
          const uint8_t* x = t.x + (i * t.stride + s * t.dilation) * t.pixel + 4 * g * t.row_step + j;
          const uint8_t *const x1 = x + conv::at_most(below, 1) * t.row_step, *const x2 = x + conv::at_most(below, 2) * t.row_step;
          const uint8_t* const x3 = x + conv::at_most(below, 3) * t.row_step;
          const int64_t end = (n - 1) * t.stride + (some - 1) * t.dilation + 1;
          for (int64_t e = 0; e < end; e++) {
            vi q[4];
            const int64_t at = e * t.pixel;
            quads_of(bytes_at(x + at), bytes_at(x1 + at), bytes_at(x2 + at), bytes_at(x3 + at), q);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) store_bits(quads + e * quad_bytes + k * vector_bytes, q[k]);
          }
          const DepthwisePass pass = {quads, t.stride * quad_bytes, t.dilation * quad_bytes, some,
                                      t.w + (j / vector_bytes * groups * t.taps + g * t.taps + s) * quad_bytes,
                                      g == 0 && s == 0, g + 1 == groups && s + some == t.taps, held};
          int64_t k = 0;
          for (; k + U <= n; k += U) depthwise_pixels<U>(pass, k, f);
          for (; k < n; k++) depthwise_pixels<1>(pass, k, f);
        }
    }
}

// ---- Windows of 3 x 3. Three columns' quads and the weights stay in registers; a step to the right loads and unpacks one column.

// The quads of a column: bytes of three rows, and zeros.
ACCELNN_INLINE void quads_of_three(const uint8_t* a, const uint8_t* b, const uint8_t* c, vi (&q)[4]) {
  vbytes rows[3] = {bytes_at(a), bytes_at(b), bytes_at(c)};
#if defined(__AVX512F__)
#pragma GCC unroll 3
  for (int i = 0; i < 3; i++) asm("" : "+v"(rows[i]));       // one load, not two as operands of the unpacking
#endif
  quads_of(rows[0], rows[1], rows[2], vbytes{}, q);
}

// One line of a strip: `pixels` windows of `fold` groups, results in whole vectors.
template <int stride> inline void qconv_line(const uint8_t* const (&rows)[3], const char* w, int64_t pixels, const QconvFinish& f) {
  vi weights[3][4], q[3][4];
#pragma GCC unroll 3
  for (int s = 0; s < 3; s++)
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) weights[s][n] = load_bits(w + (4 * s + n) * vector_bytes);
  const uint8_t *a = rows[0], *b = rows[1], *c = rows[2];
  quads_of_three(a, b, c, q[0]);
  if (stride == 1) quads_of_three(a + vector_bytes, b + vector_bytes, c + vector_bytes, q[1]);
  const Narrow how = {f.zero, f.relu};
  uint8_t* y = f.y;
  for (int64_t i = 0; i < pixels; i++, y += f.y_row, a += stride * vector_bytes, b += stride * vector_bytes, c += stride * vector_bytes) {
    if (stride == 2) quads_of_three(a + vector_bytes, b + vector_bytes, c + vector_bytes, q[1]);
    quads_of_three(a + 2 * vector_bytes, b + 2 * vector_bytes, c + 2 * vector_bytes, q[2]);
    vi acc[4];
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
      acc[n] = load_bits(f.start + n * lanes);
#pragma GCC unroll 3
      for (int s = 0; s < 3; s++) acc[n] = dot4(acc[n], take_apart<true>(q[s][n]), take_apart<false>(weights[s][n]));
      acc[n] = nearest(to_float(acc[n]) * load(f.scale + n * lanes));
      if (stride == 1) q[0][n] = q[1][n], q[1][n] = q[2][n];
      else q[0][n] = q[2][n];
    }
    store_narrow<true>(y, acc, how);
  }
}

// Some bytes of a pixel, `space` of them where there are so many to read.
ACCELNN_INLINE void copy_some(uint8_t* to, const uint8_t* from, int64_t bytes, int64_t space, const uint8_t* end) {
  if (space == vector_bytes && from + space <= end) store_bits(to, load_bits(from));
  else if (space == 16 && from + 16 <= end) std::memcpy(to, from, 16);
  else if (space == 32 && from + 32 <= end) std::memcpy(to, from, 32);
  else std::memcpy(to, from, size_t(bytes));
}

// Lines of a map, strip by strip from above: rows of x come into a ring in L1, bordered, a vector a column. With fewer channels than half a vector holds,
// `fold` parts of the strip lie side by side.
inline void qconv_lines(const QconvLines& t) {
  constexpr int64_t most = 56, ring = 4;
  alignas(64) uint8_t held[ring][(most + 3) * vector_bytes];
  alignas(64) uint8_t results[most * vector_bytes];
  const int64_t space = vector_bytes / t.fold, strips = (t.width + most / t.stride_w * t.fold - 1) / (most / t.stride_w * t.fold);
  const bool direct = t.fold == 1 && t.channels == vector_bytes;
  for (int64_t strip = 0; strip < strips; strip++) {
    const int64_t first = t.width * strip / strips, n = t.width * (strip + 1) / strips - first, part = (n + t.fold - 1) / t.fold;
    int64_t next = t.line0 * t.stride_h;             // the first row that is not in the ring
    for (int64_t line = t.line0; line < t.line1; line++) {
      const int64_t above = line * t.stride_h;
      if (next < above) next = above;
      for (; next < above + 3; next++) {
        uint8_t* const to = held[next % ring];
        const int64_t h = next - t.top, columns = (part - 1) * t.stride_w + 3;
        const uint8_t* const from = t.x + h * t.row;
        const bool real = h >= 0 && h < t.h;
        for (int64_t k = 0; k < t.fold; k++) {
          const int64_t left = (first + k * part) * t.stride_w - t.left;      // the column of x in the first place
          int64_t e0 = left < 0 ? conv::at_most(-left, columns) : 0, e1 = conv::at_most(t.w - left, columns);
          if (!real || e1 < e0) e0 = e1 = columns;
          for (int64_t e = 0; e < e0; e++) std::memset(to + e * vector_bytes + k * space, t.x_zero, size_t(space));
          for (int64_t e = e0; e < e1; e++) copy_some(to + e * vector_bytes + k * space, from + (left + e) * t.pixel, t.channels, space, t.x_end);
          for (int64_t e = e1; e < columns; e++) std::memset(to + e * vector_bytes + k * space, t.x_zero, size_t(space));
        }
      }
      QconvFinish f = t.finish;
      uint8_t* const y = f.y + (line * t.width + first) * f.y_row;
      f.y = direct ? y : results;
      if (!direct) f.y_row = vector_bytes;
      const uint8_t* const rows[3] = {held[above % ring], held[(above + 1) % ring], held[(above + 2) % ring]};
      (t.stride_w == 1 ? qconv_line<1> : qconv_line<2>)(rows, t.w_quads, part, f);
      if (direct) continue;
      for (int64_t k = 0; k < t.fold; k++)
        for (int64_t i = 0; i < part && k * part + i < n; i++)
          copy_some(y + (k * part + i) * t.finish.y_row, results + i * vector_bytes + k * space, t.channels, t.channels, results + sizeof results);
    }
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
