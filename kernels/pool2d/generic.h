// Pooling over planes; the lanes are neighbouring outputs of one row.
#pragma once
#include "lanes.h"
#include "strips.h"
#include "window.h"
#include "avg_pool2d.h"
#include "avg_pool2d_grad.h"
#include "bytes.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace pool2d {

ACCELNN_INLINE vf lanes_of(const float* p, int n) { return n == lanes ? load(p) : load(p, n); }
ACCELNN_INLINE void put(float* p, vf v, int n) {
  if (n == lanes) store(p, v);
  else store(p, v, n);
}
ACCELNN_INLINE void put(int32_t* p, vi v, int n) {
  if (n == lanes) store_bits(p, v);
  else store_ints(p, v, n);
}

struct Pair { vf even, odd; };
// p[0], p[2], ... and p[1], p[3], ...: n of each
ACCELNN_INLINE Pair pairs_of(const float* p, int n) {
  const int low = 2 * n < lanes ? 2 * n : lanes;
  const vf a = lanes_of(p, low), b = 2 * n > lanes ? lanes_of(p + lanes, 2 * n - lanes) : vf{};
  return {evens(a, b), odds(a, b)};
}
// p[0], p[stride], ...: n of them, none behind the last is read. S: the stride where it is 1 or 2, else 0.
template <int S> ACCELNN_INLINE vf strided(const float* p, int64_t stride, int n) {
  if constexpr (S == 1) return lanes_of(p, n);
  if constexpr (S == 2) {
    const int count = 2 * n - 1, low = count < lanes ? count : lanes;
    const vf a = lanes_of(p, low), b = count > lanes ? lanes_of(p + lanes, count - lanes) : vf{};
    return evens(a, b);
  }
  alignas(64) float v[lanes] = {};                   // through memory: a lane with a variable number is a page of code, for strides that are rare
  for (int i = 0; i < n; i++) v[i] = p[i * stride];
  return load(v);
}

// body(at, n) with n = lanes as a constant, then once for the rest.
template <class F> ACCELNN_INLINE void in_lanes(int64_t begin, int64_t end, const F& body) {
  for (; begin + lanes <= end; begin += lanes) body(begin, lanes);
  if (begin < end) body(begin, int(end - begin));
}

// best stays the first maximum, and a NaN once taken.
ACCELNN_INLINE void keep_larger(vf& best, vi& where, vf v, vi at) {
#if defined(__AVX512F__)
  const __m512 b = reinterpret_cast<__m512>(best), x = reinterpret_cast<__m512>(v);          // mask registers: three instructions, not five
  const __mmask16 take = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), x, b, _CMP_NLE_UQ);
  best = reinterpret_cast<vf>(_mm512_mask_mov_ps(b, take, x));
  where = reinterpret_cast<vi>(_mm512_mask_mov_epi32(reinterpret_cast<__m512i>(where), take, reinterpret_cast<__m512i>(at)));
#else
  const vi take = ~(v <= best) & (best == best);
  best = select(take, v, best);
  where = select(take, at, where);
#endif
}

template <bool Index> ACCELNN_INLINE void max_2x2(const Window& g, const float* x, float* y, int32_t* index) {
  for (int64_t oh = 0; oh < g.oh; oh++, y += g.ow, index += Index ? g.ow : 0)
    in_lanes(0, g.ow, [&](int64_t ow, int n) INLINED {
      const int64_t from = 2 * oh * g.w + 2 * ow;
      const Pair top = pairs_of(x + from, n), low = pairs_of(x + from + g.w, n);
      const vi at = ramp() * 2 + int32_t(from);
      vf best = top.even;
      vi where = at;
      keep_larger(best, where, top.odd, at + 1);
      keep_larger(best, where, low.even, at + int32_t(g.w));
      keep_larger(best, where, low.odd, at + int32_t(g.w + 1));
      put(y + ow, best, n);
      if constexpr (Index) put(index + ow, where, n);
    });
}

template <int S, bool Index> __attribute__((noinline)) void max_plane(const Window& g, const float* x, float* y, int32_t* index) {
  for (int64_t oh = 0; oh < g.oh; oh++, y += g.ow, index += index ? g.ow : 0) {
    const int64_t h = g.row(oh);
    const Cut r = cut(h, g.kernel_h, g.h);
    for (int64_t ow = 0; ow < g.inner_begin; ow++) max_at_edge(g, x, oh, ow, y, Index ? index : nullptr);
    in_lanes(g.inner_begin, g.inner_end, [&](int64_t ow, int n) INLINED {
      const int64_t first = (h + r.begin) * g.w + g.column(ow);
      vi where = ramp() * int32_t(g.stride_w) + int32_t(first);
      const vi start = where;
      vf best = strided<S>(x + first, g.stride_w, n);
      for (int64_t i = r.begin; i < r.end; i++)
        for (int64_t j = 0; j < g.kernel_w; j++) {
          const int64_t step = (i - r.begin) * g.w + j;
          keep_larger(best, where, strided<S>(x + first + step, g.stride_w, n), start + int32_t(step));
        }
      put(y + ow, best, n);
      if constexpr (Index)
        if (index) put(index + ow, where, n);
    });
    for (int64_t ow = g.inner_end; ow < g.ow; ow++) max_at_edge(g, x, oh, ow, y, Index ? index : nullptr);
  }
}

// 3x3 at a stride of 2: the last row of a window is the first of the next, so what is found within it is kept, 6 comparisons a vector instead of 9. Rows
// before columns, so that of equal elements the first wins.
constexpr int64_t kept_columns = 256;
template <bool Index> __attribute__((noinline)) void max_3x3(const Window& g, const float* x, float* y, int32_t* index) {
  alignas(64) float kept[kept_columns];
  alignas(64) int32_t kept_at[kept_columns];
  for (int64_t oh = 0; oh < g.oh; oh++) {
    for (int64_t ow = 0; ow < g.inner_begin; ow++) max_at_edge(g, x, oh, ow, y + oh * g.ow, Index ? index + oh * g.ow : nullptr);
    for (int64_t ow = g.inner_end; ow < g.ow; ow++) max_at_edge(g, x, oh, ow, y + oh * g.ow, Index ? index + oh * g.ow : nullptr);
  }
  for (int64_t from = g.inner_begin; from < g.inner_end; from += kept_columns) {
    const int64_t end = from + kept_columns < g.inner_end ? from + kept_columns : g.inner_end;
    for (int64_t oh = 0; oh < g.oh; oh++) {
      const int64_t h = g.row(oh), first = h < 0 ? 0 : h, last = h + 3 < g.h ? h + 3 : g.h;
      in_lanes(from, end, [&](int64_t ow, int n) INLINED {
        const auto row = [&](int64_t i, vf& best, vi& where) INLINED {
          const int64_t at = i * g.w + g.column(ow);
          const Pair p = pairs_of(x + at, n);
          best = p.even, where = ramp() * 2 + int32_t(at);
          const vi start = where;
          keep_larger(best, where, p.odd, start + 1);
          keep_larger(best, where, strided<2>(x + at + 2, 2, n), start + 2);
        };
        vf best, v;
        vi where, at;
        if (oh && h >= 0) best = load(kept + (ow - from)), where = load_bits(kept_at + (ow - from));
        else row(first, best, where);
        v = best, at = where;
        for (int64_t i = first + 1; i < last; i++) {
          row(i, v, at);
          keep_larger(best, where, v, at);
        }
        store(kept + (ow - from), v);
        if constexpr (Index) store_bits(kept_at + (ow - from), at);
        put(y + oh * g.ow + ow, best, n);
        if constexpr (Index) put(index + oh * g.ow + ow, where, n);
      });
    }
  }
}

template <bool Index> ACCELNN_INLINE void max_any(const Window& g, const float* x, float* y, int32_t* index) {
  if (g.tiles_2x2()) max_2x2<Index>(g, x, y, index);
  else if (g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 2 && g.stride_w == 2) max_3x3<Index>(g, x, y, index);
  else if (g.stride_w == 1) max_plane<1, Index>(g, x, y, index);
  else if (g.stride_w == 2) max_plane<2, Index>(g, x, y, index);
  else max_plane<0, true>(g, x, y, index);           // rare: one copy, with or without an index
}

ACCELNN_INLINE Status max_pool2d(const Call& c) {
  const Window g = window_of(c, c.in[0], c.out[0]);
  over_planes(c, g, [&](int64_t p) {
    const float* x = c.in[0].as<float>() + p * g.h * g.w;
    float* y = c.out[0].as<float>() + p * g.oh * g.ow;
    if (c.out[1].absent()) max_any<false>(g, x, y, nullptr);
    else max_any<true>(g, x, y, c.out[1].as<int32_t>() + p * g.oh * g.ow);
  });
  return {};
}

// False: an index is outside the plane, at bad.
ACCELNN_INLINE bool scatter(const Window& g, const float* dy, const int32_t* index, float* dx, int64_t* bad) {
  std::memset(dx, 0, size_t(g.h * g.w) * sizeof *dx);
  const uint64_t pixels = uint64_t(g.h * g.w);
  for (int64_t i = 0; i < g.oh * g.ow; i++) {
    if (uint32_t(index[i]) >= pixels) {
      *bad = i;
      return false;
    }
    dx[index[i]] += dy[i];
  }
  return true;
}

// Tiles do not overlap: dx is written once, in order, instead of cleared and updated one element at a time (which takes 4 times as long).
// False: some index is not in its own tile.
ACCELNN_INLINE bool spread_2x2(const Window& g, const float* dy, const int32_t* index, float* dx) {
  vi lost = {};
  for (int64_t oh = 0; oh < g.oh; oh++, dy += g.ow, index += g.ow) {
    float* row = dx + 2 * oh * g.w;
    in_lanes(0, g.ow, [&](int64_t ow, int n) INLINED {
      const vf d = lanes_of(dy + ow, n);
      const vi place = ramp() * 2 + int32_t(2 * oh * g.w + 2 * ow), k = n == lanes ? load_bits(index + ow) : load_ints(index + ow, n);
      const vi at = vi(vu(k) - vu(place));           // unsigned: k may be anything
      const vi m0 = at == 0, m1 = at == 1, m2 = at == int32_t(g.w), m3 = at == int32_t(g.w + 1);
      lost |= ~(m0 | m1 | m2 | m3) & (ramp() < n);
      const vf none = {};
      const vf top[2] = {select(m0, d, none), select(m1, d, none)}, low[2] = {select(m2, d, none), select(m3, d, none)};
      float* p = row + 2 * ow;
      const int left = 2 * n < lanes ? 2 * n : lanes;
      put(p, zip_low(top[0], top[1]), left);
      put(p + g.w, zip_low(low[0], low[1]), left);
      if (2 * n > lanes) {
        put(p + lanes, zip_high(top[0], top[1]), 2 * n - lanes);
        put(p + g.w + lanes, zip_high(low[0], low[1]), 2 * n - lanes);
      }
    });
    if (g.w > 2 * g.ow) row[g.w - 1] = row[2 * g.w - 1] = 0;
  }
  if (g.h > 2 * g.oh) std::memset(dx + 2 * g.oh * g.w, 0, size_t((g.h - 2 * g.oh) * g.w) * sizeof *dx);
  return !any(lost);
}

ACCELNN_INLINE Status max_pool2d_grad(const Call& c) {
  const Window g = window_of(c, c.out[0], c.in[0]);
  FirstBad wrong;
  over_planes(c, g, [&](int64_t p) {
    const int64_t from = p * g.oh * g.ow;
    const float* dy = c.in[0].as<float>() + from;
    const int32_t* index = c.in[1].as<int32_t>() + from;
    float* dx = c.out[0].as<float>() + p * g.h * g.w;
    int64_t bad;
    if (g.tiles_2x2() && spread_2x2(g, dy, index, dx)) return;
    if (!scatter(g, dy, index, dx, &bad)) wrong.note(from + bad);
  });
  return index_status("max_pool2d_grad", wrong, g, c.in[1].as<int32_t>());
}

ACCELNN_INLINE vf gather(const float* base, vi index, vi valid) {
#if defined(__AVX512F__)
  const __mmask16 mask = _mm512_movepi32_mask(reinterpret_cast<__m512i>(valid));
  return reinterpret_cast<vf>(_mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, reinterpret_cast<__m512i>(index), base, 4));
#elif defined(__AVX2__)
  const __m256 mask = reinterpret_cast<__m256>(valid);
  return reinterpret_cast<vf>(_mm256_mask_i32gather_ps(_mm256_setzero_ps(), base, reinterpret_cast<__m256i>(index), mask, 4));
#else
  vf v = {};
  for (int i = 0; i < lanes; i++)
    if (valid[i]) v[i] = base[index[i]];
  return v;
#endif
}

ACCELNN_INLINE Status max_pool2d_gather(const Call& c) {
  const Window g = window_of(c, c.in[0], c.out[0]);
  const uint32_t pixels = uint32_t(g.h * g.w);
  FirstBad wrong;
  over_planes(c, g, [&](int64_t p) {
    const float* x = c.in[0].as<float>() + p * g.h * g.w;
    const int64_t from = p * g.oh * g.ow, count = g.oh * g.ow;
    const int32_t* index = c.in[1].as<int32_t>() + from;
    float* y = c.out[0].as<float>() + from;
    vi lost = {};
    in_lanes(0, count, [&](int64_t i, int n) INLINED {
      const vi at = n == lanes ? load_bits(index + i) : load_ints(index + i, n);
      const vi valid = vi(vu(at) < pixels) & (ramp() < n);
      lost |= ~valid & (ramp() < n);
      put(y + i, gather(x, at, valid), n);
    });
    if (any(lost))
      for (int64_t i = 0; i < count; i++)
        if (uint32_t(index[i]) >= pixels) {
          wrong.note(from + i);
          break;
        }
  });
  return index_status("max_pool2d_gather", wrong, g, c.in[1].as<int32_t>());
}

// What a window's sum is divided by.
ACCELNN_INLINE float divisor(const Window& g, bool with_pad, Cut r, Cut s) {
  return with_pad ? float(g.kernel_h * g.kernel_w) : float((r.end - r.begin) * (s.end - s.begin));
}

template <int S> ACCELNN_INLINE void avg_plane(const Window& g, bool with_pad, const float* x, float* y) {
  for (int64_t oh = 0; oh < g.oh; oh++, y += g.ow) {
    const int64_t h = g.row(oh);
    const Cut r = cut(h, g.kernel_h, g.h);
    const auto at_edge = [&](int64_t ow) {
      const int64_t w = g.column(ow);
      const Cut s = cut(w, g.kernel_w, g.w);
      float sum = 0;
      for (int64_t i = r.begin; i < r.end; i++)
        for (int64_t j = s.begin; j < s.end; j++) sum += x[(h + i) * g.w + w + j];
      y[ow] = sum / divisor(g, with_pad, r, s);
    };
    for (int64_t ow = 0; ow < g.inner_begin; ow++) at_edge(ow);
    in_lanes(g.inner_begin, g.inner_end, [&](int64_t ow, int n) INLINED {
      const float* p = x + h * g.w + g.column(ow);
      vf sum = {};
      for (int64_t i = r.begin; i < r.end; i++) {
        if (S == 2 && g.kernel_w == 2) {
          const Pair taps = pairs_of(p + i * g.w, n);
          sum = (sum + taps.even) + taps.odd;
        } else {
          for (int64_t j = 0; j < g.kernel_w; j++) sum += strided<S>(p + i * g.w + j, g.stride_w, n);
        }
      }
      put(y + ow, sum / splat(divisor(g, with_pad, r, {0, g.kernel_w})), n);
    });
    for (int64_t ow = g.inner_end; ow < g.ow; ow++) at_edge(ow);
  }
}

// One window over the whole plane: its pixels lie one after the other (512 planes of 7 x 7: 25.7 us window by window).
ACCELNN_INLINE float sum_of_plane(const float* x, int64_t n) {
  vf sum[4] = {};
  strips::by_fours(n, [&](int64_t i, int u, int k) INLINED { sum[u] += strips::zeroed(x + i, k); });
  return strips::total(sum);
}

ACCELNN_INLINE Status avg_pool2d(const Call& c) {
  const Window g = window_of(c, c.in[0], c.out[0]);
  if (g.kernel_h == g.h && g.kernel_w == g.w && g.oh * g.ow == 1 && !g.pad_top && !g.pad_left) {
    over_planes(c, g, [&](int64_t p) { c.out[0].as<float>()[p] = sum_of_plane(c.in[0].as<float>() + p * g.h * g.w, g.h * g.w) / float(g.h * g.w); });
    return {};
  }
  const bool with_pad = c.integer(avg_pool2d_attr::count_include_pad) != 0;
  over_planes(c, g, [&](int64_t p) {
    const float* x = c.in[0].as<float>() + p * g.h * g.w;
    float* y = c.out[0].as<float>() + p * g.oh * g.ow;
    if (g.stride_w == 1) avg_plane<1>(g, with_pad, x, y);
    else if (g.stride_w == 2) avg_plane<2>(g, with_pad, x, y);
    else avg_plane<0>(g, with_pad, x, y);
  });
  return {};
}

// Shares of a stretch of one row of dy, then tap by tap: a pixel gets its sums in the order of oh, stretch, tap.
ACCELNN_INLINE void spread_mean(const Window& g, bool with_pad, const float* dy, float* dx) {
  constexpr int64_t stretch = 256;
  std::memset(dx, 0, size_t(g.h * g.w) * sizeof *dx);
  for (int64_t oh = 0; oh < g.oh; oh++, dy += g.ow) {
    const int64_t h = g.row(oh);
    const Cut r = cut(h, g.kernel_h, g.h);
    for (int64_t from = 0; from < g.ow; from += stretch) {
      const int64_t n = g.ow - from < stretch ? g.ow - from : stretch;
      float share[stretch];
      for (int64_t i = 0; i < n; i++) share[i] = dy[from + i] / divisor(g, with_pad, r, cut(g.column(from + i), g.kernel_w, g.w));
      for (int64_t k = r.begin; k < r.end; k++)
        for (int64_t j = 0; j < g.kernel_w; j++) {
          const int64_t w = g.column(from) + j, room = g.w - 1 - w;             // the tap's column for i = 0; i from 0 .. n whose column is inside
          const int64_t begin = w < 0 ? (-w + g.stride_w - 1) / g.stride_w : 0, inside = room < 0 ? 0 : room / g.stride_w + 1;
          const int64_t end = inside < n ? inside : n;
          float* p = dx + (h + k) * g.w + w;
          if (g.stride_w == 1)
            for (int64_t i = begin; i < end; i++) p[i] += share[i];
          else
            for (int64_t i = begin; i < end; i++) p[i * g.stride_w] += share[i];
        }
    }
  }
}

ACCELNN_INLINE void spread_mean_2x2(const Window& g, const float* dy, float* dx) {
  for (int64_t oh = 0; oh < g.oh; oh++, dy += g.ow) {
    float* row = dx + 2 * oh * g.w;
    in_lanes(0, g.ow, [&](int64_t ow, int n) INLINED {
      const vf d = lanes_of(dy + ow, n) * 0.25f, low = zip_low(d, d), high = zip_high(d, d);
      const int left = 2 * n < lanes ? 2 * n : lanes;
      for (float* p = row + 2 * ow; p <= row + g.w + 2 * ow; p += g.w) {
        put(p, low, left);
        if (2 * n > lanes) put(p + lanes, high, 2 * n - lanes);
      }
    });
    if (g.w > 2 * g.ow) row[g.w - 1] = row[2 * g.w - 1] = 0;
  }
  if (g.h > 2 * g.oh) std::memset(dx + 2 * g.oh * g.w, 0, size_t((g.h - 2 * g.oh) * g.w) * sizeof *dx);
}

ACCELNN_INLINE Status avg_pool2d_grad(const Call& c) {
  const Window g = window_of(c, c.out[0], c.in[0]);
  const bool with_pad = c.integer(avg_pool2d_grad_attr::count_include_pad) != 0;
  over_planes(c, g, [&](int64_t p) {
    const float* dy = c.in[0].as<float>() + p * g.oh * g.ow;
    float* dx = c.out[0].as<float>() + p * g.h * g.w;
    if (g.tiles_2x2()) spread_mean_2x2(g, dy, dx);
    else spread_mean(g, with_pad, dy, dx);
  });
  return {};
}

}  // namespace pool2d
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
