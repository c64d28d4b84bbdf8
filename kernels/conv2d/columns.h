// The columns of a convolution's matrix product (im2col), gathered straight into the panels of the register tile: for every tap k and output pixel p
// the element  base[tap[k] + pixel offset of p].  16 successive pixels span few elements, at the same distances for every tap: one two-register
// permutation, whose control is made once for all taps, takes them out of two loads, also where the 16 run over ends of rows. So a 10-pixel row
// wastes no lanes.
#pragma once
#include "conv2d/geometry.h"
#include "matmul/gemm.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
inline namespace conv2d_family {      // the names below are common words: another family may use them too

using conv::Lanes;
template <class T> ACCELNN_INLINE T* slice_at(char* work, int64_t offset) { return reinterpret_cast<T*>(work + offset); }

// A band of output rows of one image and group.
struct Unit {
  int64_t image, group, first_row, rows, pixels;
  ACCELNN_INLINE Unit(const conv::Geometry& g, const conv::Band& b, int64_t number)
      : image(number / b.count / g.groups), group(number / b.count % g.groups), first_row(number % b.count * g.oh / b.count),  // bands of nearly equal height
        rows((number % b.count + 1) * g.oh / b.count - first_row),
        pixels(rows * g.ow) {}
};

// `lanes` pixels from number `first` of a group on, of which n exist: read from p + distance[i] - distance[0], written as one whole vector.
// Reads nothing outside of the span of the n elements, so that x can be used in place.
struct Gather {
  enum Kind { whole,
              run,
              shuffle,
              each } kind;
  int n, low, high;           // elements to load into the first and the second register
  int32_t index[lanes];

  ACCELNN_INLINE Gather(const Lanes& group, int first, int count) {
    const int32_t* distance = group.distance + first;
    n = count < lanes ? count : lanes;
    for (int i = 0; i < lanes; i++) index[i] = i < n ? distance[i] - distance[0] : 0;
    const int32_t span = index[n - 1] + 1;
    kind = span == lanes && n == lanes ? whole : span == n ? run
        : span <= 2 * lanes                                ? shuffle
                                                           : each;
    low = span < lanes ? span : lanes;
    high = kind == shuffle ? span - low : 0;
  }
};

template <Gather::Kind kind> ACCELNN_INLINE vf gather(const float* p, const Gather& g) {
  if constexpr (kind == Gather::whole) return load(p);
  if constexpr (kind == Gather::run) return load(p, g.n);
#if defined(__AVX512F__)
  const __m512i index = _mm512_loadu_si512(g.index);
  if constexpr (kind == Gather::shuffle) {
    const __m512 low = reinterpret_cast<__m512>(load(p, g.low)), high = reinterpret_cast<__m512>(load(p + lanes, g.high));
    return reinterpret_cast<vf>(_mm512_permutex2var_ps(low, index, high));
  }
  return reinterpret_cast<vf>(_mm512_mask_i32gather_ps(_mm512_setzero_ps(), __mmask16((1u << g.n) - 1), index, p, 4));
#else
#if defined(__AVX2__)
  const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(g.index));
  if constexpr (kind == Gather::shuffle) {
    const __m256 low = _mm256_permutevar8x32_ps(reinterpret_cast<__m256>(load(p, g.low)), index);
    const __m256 high = _mm256_permutevar8x32_ps(reinterpret_cast<__m256>(load(p + lanes, g.high)), index);
    return reinterpret_cast<vf>(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_cmpgt_epi32(index, _mm256_set1_epi32(lanes - 1)))));
  }
#endif
  vf v = {};
  for (int i = 0; i < g.n; i++) v[i] = p[g.index[i]];
  return v;
#endif
}

// One vector of pixels for many taps: to[k * to_row] .. to[k * to_row + lanes - 1].
template <Gather::Kind kind>
ACCELNN_INLINE void gather_taps(const float* from, const int64_t* tap, int64_t taps, const Gather& g, float* to, int64_t to_row) {
  for (int64_t k = 0; k < taps; k++) store(to + k * to_row, gather<kind>(from + tap[k], g));
}

// 16 pixels (count of them real) for many taps.
inline void pack_columns(const float* base, const int64_t* tap, int64_t taps, const Lanes& group, int64_t count, float* to, int64_t to_row) {
  for (int first = 0; first < conv::group_pixels && first < count; first += lanes) {
    const Gather g(group, first, int(count) - first);
    const float* from = base + group.start + group.distance[first];
    if (g.kind == Gather::whole) gather_taps<Gather::whole>(from, tap, taps, g, to + first, to_row);
    else if (g.kind == Gather::run) gather_taps<Gather::run>(from, tap, taps, g, to + first, to_row);
    else if (g.kind == Gather::shuffle) gather_taps<Gather::shuffle>(from, tap, taps, g, to + first, to_row);
    else gather_taps<Gather::each>(from, tap, taps, g, to + first, to_row);
  }
}

// Copies `channels` planes of x for one band of output rows, with borders of `fill`.
template <class T>
void copy_band(const conv::Geometry& g, const conv::Band& b, const T* x, int64_t channels, int64_t first_row, int64_t rows, T fill, T* to) {
  const int64_t top = first_row * g.sh - g.top, in_rows = (rows - 1) * g.sh + (g.r - 1) * g.dh + 1;
  for (int64_t c = 0; c < channels; c++, x += g.h * g.w) {
    T* row = to + c * b.plane;
    for (int64_t i = 0; i < in_rows; i++, row += b.row) {
      const int64_t from = top + i;
      const bool inside = from >= 0 && from < g.h;
      const int64_t left = inside ? g.left : b.row;
      for (int64_t j = 0; j < left; j++) row[j] = fill;
      if (!inside) continue;
      std::memcpy(row + g.left, x + from * g.w, size_t(g.w) * sizeof(T));
      for (int64_t j = g.left + g.w; j < b.row; j++) row[j] = fill;
    }
  }
}

// to[j * to_row + i] = from[i * from_row + j]
inline __attribute__((noinline)) void transpose(const float* from, int64_t from_row, int64_t rows, int64_t columns, float* to, int64_t to_row) {
  int64_t i = 0;
#if defined(__x86_64__)
  for (; i + 4 <= rows; i += 4) {
    const float* f = from + i * from_row;
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      __m128 a = _mm_loadu_ps(f + j), b = _mm_loadu_ps(f + from_row + j);
      __m128 c = _mm_loadu_ps(f + 2 * from_row + j), d = _mm_loadu_ps(f + 3 * from_row + j);
      _MM_TRANSPOSE4_PS(a, b, c, d);
      float* t = to + j * to_row + i;
      _mm_storeu_ps(t, a), _mm_storeu_ps(t + to_row, b), _mm_storeu_ps(t + 2 * to_row, c), _mm_storeu_ps(t + 3 * to_row, d);
    }
    for (; j < columns; j++)
      for (int q = 0; q < 4; q++) to[j * to_row + i + q] = f[q * from_row + j];
  }
#endif
  for (; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) to[j * to_row + i] = from[i * from_row + j];
}

}  // namespace conv2d_family
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
