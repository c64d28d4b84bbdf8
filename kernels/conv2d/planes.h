// conv2d straight on NCHW, for groups of few channels (depthwise above all): neighbours of a row are the lanes, a weight is one number for all of them.
// A band of the group's planes is copied with its borders into L1, columns of one remainder by the stride side by side, so that every tap reads whole
// vectors. Turning such images to channels last and back costs more than their convolution (96 channels, 112x112, stride 2: 479 us turned, 181 so). 3x3 takes
// eight rows of outputs at a time, which share what they load: of two loads in three, the line's end is in the middle.
#pragma once
#include "conv2d/conv2d.h"
#include "conv2d/geometry.h"
#include "lanes.h"
#include "matmul/activation.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct PlaneCall {
  const conv::Geometry& g;
  const conv::Planes& p;
  const int64_t* tap;                   // column s of the kernel: where its vector begins in a row of the band
  const float *w, *bias, *residual;
  float* y;
  int how;
};

// Rows of x into the band (asking for the next band's meanwhile gains nothing): column j of the bordered row stands at j % sw * phase + j / sw. Borders
// are zeros already; what is written behind a row's end are zeros too.
inline void spread_rows(const conv::Geometry& g, const conv::Planes& p, const float* x, int64_t rows, float* to) {
  const int64_t width = g.w, row = p.row, left = g.left;
  if (g.sw == 1) {
    const int rest = int(width % lanes);
    to += p.lead + left;
    for (; rows > 0; rows--, x += width, to += row) {
      int64_t j = 0;
      for (; j + lanes <= width; j += lanes) store(to + j, load(x + j));
      if (rest) store(to + j, load(x + j, rest));
    }
    return;
  }
  if (g.sw == 2) {
    float *even = to + left % 2 * p.phase + left / 2, *odd = to + (left + 1) % 2 * p.phase + (left + 1) / 2;
    for (; rows > 0; rows--, x += width, even += row, odd += row) {
      const auto some = [&](int64_t at) { return at + lanes <= width ? load(x + at) : at < width ? load(x + at, int(width - at))
                                                                                                 : vf{}; };
      for (int64_t j = 0; j < width; j += 2 * lanes) {
        const vf a = some(j), b = some(j + lanes);
        store(even + j / 2, evens(a, b));
        store(odd + j / 2, odds(a, b));
      }
    }
    return;
  }
  for (; rows > 0; rows--, x += width, to += row)
    for (int64_t j = 0; j < width; j++) to[(left + j) % g.sw * p.phase + (left + j) / g.sw] = x[j];
}

// A loaded vector stays in its register: g++ would rather read it again from memory in each product that uses it, and two of three such reads cross a line
// (3x3: half the speed).
// The same for addresses: from one sum g++ would make all others by differences, kept on the stack.
ACCELNN_INLINE void keep_address(const float*& p) { asm("" : "+r"(p)); }
ACCELNN_INLINE void keep_loaded([[maybe_unused]] vf& v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__AVX2__)
  asm("" : "+x"(v));
#elif defined(ACCELNN_NEON)
  asm("" : "+w"(v));
#endif
}

// acc[t] += K x K taps of one channel for T rows of outputs: every vector of x is loaded once for all the rows that see it.
template <int K, int SH, int T> ACCELNN_INLINE void plane_taps(const float* x, int64_t row, const int64_t* tap, const float* w, vf* acc) {
#pragma GCC unroll 32
  for (int i = 0; i < (T - 1) * SH + K; i++, x += row) {
    vf v[K];
    keep_address(x);
#pragma GCC unroll 8
    for (int q = 0; q < K; q++) {
      v[q] = load(x + tap[q]);
      keep_loaded(v[q]);
    }
#pragma GCC unroll 8
    for (int q = 0; q < K; q++)
#pragma GCC unroll 8
      for (int t = 0; t < T; t++) {
        const int r = i - t * SH;
        if (r >= 0 && r < K) acc[t] = fma(v[q], splat(w[r * K + q]), acc[t]);
      }
  }
}
// Any taps, strides and dilations.
template <int T> ACCELNN_INLINE void any_taps(const conv::Geometry& g, const float* x, int64_t row, const int64_t* tap, const float* w, vf* acc) {
  for (int64_t r = 0; r < g.r; r++)
    for (int64_t q = 0; q < g.s; q++) {
      const float* const from = x + r * g.dh * row + tap[q];
      const vf weight = splat(w[r * g.s + q]);
#pragma GCC unroll 8
      for (int t = 0; t < T; t++) acc[t] = fma(load(from + t * g.sh * row), weight, acc[t]);
    }
}

// T output rows from `first` on (of the image; x: the band at their first input row) of output o. K: 0 where taps, strides or dilations are others.
template <int K, int SH, int T> void plane_rows(const PlaneCall& c, const float* x, int64_t image, int64_t o, int64_t first) {
  const conv::Geometry& g = c.g;
  int64_t tap[K > 0 ? K : 1];
  for (int q = 0; q < K; q++) tap[q] = c.tap[q];
  const int64_t row = c.p.row, taps = g.r * g.s, channels = g.cg, columns = g.ow, plane = c.p.plane;
  const float* const w = c.w + o * g.k;
  const int64_t at = ((image * g.o + o) * g.oh + first) * columns;
  const float bias = c.bias ? c.bias[o] : 0.0f;
  const float* const residual = c.residual;             // copies: the stores might overwrite what they are made of
  const bool relu = c.how == activation::relu;
  float* const y = c.y;
  for (int64_t j = 0; j < columns; j += lanes) {
    vf acc[T] = {};
    for (int64_t k = 0; k < channels; k++) {
      if constexpr (K > 0) plane_taps<K, SH, T>(x + k * plane + j, row, tap, w + k * taps, acc);
      else any_taps<T>(g, x + k * plane + j, row, c.tap, w + k * taps, acc);
    }
    const int n = int(conv::at_most(lanes, columns - j));
#pragma GCC unroll 8
    for (int t = 0; t < T; t++) {
      const int64_t to = at + t * columns + j;
      vf v = acc[t];
      if (residual) v += load(residual + to, n);
      v += splat(bias);
      if (relu) v = max(v, vf{});
      if (n == lanes) store(y + to, v);
      else store(y + to, v, n);
      __builtin_prefetch(y + to + T * columns, 1);          // of a large result: 2.2 instead of 2.7 ms (64x224x224)
    }
  }
}

using PlaneRows = void (*)(const PlaneCall&, const float*, int64_t, int64_t, int64_t);
// By the number of rows: 1, 2, 4, 8.
struct PlaneKernel {
  PlaneRows rows[4];
};
template <int K, int SH>
constexpr PlaneKernel plane_kernel = {{plane_rows<K, SH, 1>, plane_rows<K, SH, 2>, plane_rows<K, SH, 4>, plane_rows < K, SH, K == 3 ? 8 : 4 > }};

inline PlaneKernel plane_kernel_for(const conv::Geometry& g) {
  const bool dense = g.r == g.s && g.dh == 1 && g.sh == g.sw && g.sh <= 2;
  if (dense && g.s == 3) return g.sh == 1 ? plane_kernel<3, 1> : plane_kernel<3, 2>;
  if (dense && g.s == 5) return g.sh == 1 ? plane_kernel<5, 1> : plane_kernel<5, 2>;
  if (dense && g.s == 7) return g.sh == 1 ? plane_kernel<7, 1> : plane_kernel<7, 2>;
  return plane_kernel<0, 0>;
}

__attribute__((noinline)) inline void activate_run(float* y, int64_t n, int how) {
  for (int64_t i = 0; i < n; i += lanes) {
    const int some = int(conv::at_most(lanes, n - i));
    store(y + i, activate(load(y + i, some), how), some);
  }
}

inline Status conv2d_planes(const Call& call) {
  const TensorView &x = call.in[0], &w = call.in[1], &bias = call.in[2], &residual = call.in[3], &y = call.out[0];
  const conv::Geometry g = conv::geometry(call, x, w, y);
  const conv::Planes p = conv::planes_plan(g);
  const int64_t units = g.n * g.groups * p.bands;
  if (units == 0 || g.o == 0) return {};
  char* const work = static_cast<char*>(call.work);
  int64_t* const tap = reinterpret_cast<int64_t*>(work);
  for (int64_t q = 0; q < g.s; q++) tap[q] = p.lead + q * g.dw % g.sw * p.phase + q * g.dw / g.sw;
  const PlaneCall c = {g, p, tap, w.as<float>(), bias.absent() ? nullptr : bias.as<float>(), residual.absent() ? nullptr : residual.as<float>(),
                       y.as<float>(), int(call.integer(conv2d_attr::activation))};
  const PlaneKernel kernel = plane_kernel_for(g);
  parallel(call, p.parts, 2 * g.n * g.o * g.pixels * g.k, [&](int64_t part) {
    float* const band = reinterpret_cast<float*>(work + p.part + part * p.slice);
    std::memset(band, 0, size_t(g.cg * p.plane + lanes) * 4);
    for (int64_t unit = part * units / p.parts; unit < (part + 1) * units / p.parts; unit++) {
      const int64_t image = unit / p.bands / g.groups, group = unit / p.bands % g.groups, number = unit % p.bands;
      const int64_t r0 = number * p.rows, r1 = conv::at_most(r0 + p.rows, g.oh), top = r0 * g.sh - g.top;
      const int64_t seen = (r1 - r0 - 1) * g.sh + (g.r - 1) * g.dh + 1;
      for (int64_t k = 0; k < g.cg; k++) {
        const float* const from = x.as<float>() + (image * g.c + group * g.cg + k) * g.h * g.w;
        float* const to = band + k * p.plane;
        const int64_t first = conv::at_most(conv::at_least(-top, 0), seen), last = conv::at_least(conv::at_most(g.h - top, seen), first);
        if (first > 0) std::memset(to, 0, size_t(first * p.row) * 4);
        if (last > first) spread_rows(g, p, from + (top + first) * g.w, last - first, to + first * p.row);
        if (last < seen) std::memset(to + last * p.row, 0, size_t((seen - last) * p.row) * 4);
      }
      for (int64_t o = group * g.og; o < (group + 1) * g.og; o++)
        for (int64_t i = r0; i < r1;) {
          const float* const at = band + (i - r0) * g.sh * p.row;
          const int64_t left = r1 - i;
          const int size = left >= 8 && g.r == 3 && g.s == 3 ? 3 : left >= 4 ? 2
              : left >= 2                                                    ? 1
                                                                             : 0;
          const int64_t rows = 1 << size;
          kernel.rows[size](c, at, image, o, i);
          if (c.how > activation::relu) activate_run(c.y + ((image * g.o + o) * g.oh + i) * g.ow, rows * g.ow, c.how);
          i += rows;
        }
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
