// Largest elements and sorted rows.
#pragma once
#include "copy/convert.h"
#include "lanes.h"
#include "order/argmax.h"
#include "order/topk.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace order_rows {

struct Axis { int64_t outer, n, inner; };
ACCELNN_INLINE Axis axis_of(const TensorView& x, int64_t axis) {
  Axis a = {1, x.shape[axis], 1};
  for (int d = 0; d < axis; d++) a.outer *= x.shape[d];
  for (int d = int(axis) + 1; d < x.rank; d++) a.inner *= x.shape[d];
  return a;
}

template <class T> ACCELNN_INLINE int64_t arg_scalar(const T* x, int64_t n, int64_t step, bool least, bool last) {
  int64_t at = 0;
  T best = x[0];
  for (int64_t a = 1; a < n; a++) {
    const T v = x[a * step];
    const bool ahead = least ? v < best : v > best, same = v == best || (v != v && best != best);
    if (ahead || (v != v && best == best) || (last && same && !(best != best && v == v))) best = v, at = a;
  }
  return at;
}

// best stays the first one, and a NaN once taken.
ACCELNN_INLINE void keep_larger(vf& best, vi& where, vf v, vi at) {
#if defined(__AVX512F__)
  const __m512 b = reinterpret_cast<__m512>(best), x = reinterpret_cast<__m512>(v);
  const __mmask16 take = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(b, b, _CMP_ORD_Q), x, b, _CMP_NLE_UQ);
  best = reinterpret_cast<vf>(_mm512_mask_mov_ps(b, take, x));
  where = reinterpret_cast<vi>(_mm512_mask_mov_epi32(reinterpret_cast<__m512i>(where), take, reinterpret_cast<__m512i>(at)));
#else
  const vi take = ~(v <= best) & (best == best);
  best = select(take, v, best);
  where = select(take, at, where);
#endif
}
// Of two winners the larger, and of equal ones the one that stands further in front.
ACCELNN_INLINE bool beats(float a, int32_t i, float b, int32_t j) {
  if (a != a || b != b) return a != a && (b == b || i < j);
  return a > b || (a == b && i < j);
}

ACCELNN_INLINE vi smaller(vi a, vi b) { return a < b ? a : b; }
template <int step> ACCELNN_INLINE vi min_across(vi v) {
  v = smaller(v, as_bits(rotate<step>(as_float(v))));
  if constexpr (step > 1) return min_across<step / 2>(v);
  return v;
}

// One row; sign: the smallest is the largest of the negated.
inline int64_t arg_row(const float* x, int64_t n, vi sign) {
  constexpr int chains = 4;                          // a comparison waits for the one before it
  const vf first = as_float(as_bits(splat(x[0])) ^ sign);
  vf best[chains];
  vi where[chains];
  for (int u = 0; u < chains; u++) best[u] = first, where[u] = vi{};
  vi at = ramp();
  int64_t i = 0;
  for (; i + chains * lanes <= n; i += chains * lanes)
#pragma GCC unroll 4
    for (int u = 0; u < chains; u++) {
      keep_larger(best[u], where[u], as_float(as_bits(load(x + i + u * lanes)) ^ sign), at);
      at += lanes;
    }
  for (; i < n; i += lanes) {
    const int rest = n - i < lanes ? int(n - i) : lanes;
    const vf v = select(ramp() < rest, as_float(as_bits(load(x + i, rest)) ^ sign), first);
    keep_larger(best[0], where[0], v, at);
    at += lanes;
  }
  vi unordered = {};
  for (int u = 0; u < chains; u++) unordered |= best[u] != best[u];
  if (any(unordered)) {
    float top = best[0][0];
    int32_t place = where[0][0];
    for (int u = 0; u < chains; u++)
      for (int k = 0; k < lanes; k++)
        if (beats(best[u][k], where[u][k], top, place)) top = best[u][k], place = where[u][k];
    return place;
  }
  const int used = n > chains * lanes ? chains : 1;                // short rows: one vector
  vf top = best[0];
  for (int u = 1; u < used; u++) top = larger(top, best[u]);
  top = max_across(top);
  vi place = select(best[0] == top, where[0], splat(INT32_MAX));
  for (int u = 1; u < used; u++) place = smaller(place, select(best[u] == top, where[u], splat(INT32_MAX)));
  return min_across<lanes / 2>(place)[0];
}

// A row of one vector: its maximum, then the first lane that equals it, or the first NaN.
ACCELNN_INLINE int64_t arg_short(const float* x, int n, vi sign) {
  const vf given = load(x, n), first = splat(x[0]);
  const vf v = as_float(as_bits(select(ramp() < n, given, first)) ^ sign);
  const vi lost = v != v;
  const vi best = any(lost) ? lost : v == max_across(v);
#if defined(__AVX512F__)
  return __builtin_ctz(_mm512_movepi32_mask(reinterpret_cast<__m512i>(best)));
#else
  return min_across<lanes / 2>(select(best, ramp(), splat(INT32_MAX)))[0];
#endif
}

template <class T> Status argmax(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const Axis a = axis_of(x, call.integer(argmax_attr::axis));
  const bool least = call.integer(argmax_attr::least) != 0, last = call.integer(argmax_attr::last) != 0;
  int64_t* to = y.as<int64_t>();
  constexpr bool vectors = Kind<T>::real;
  const bool fast = vectors && !last && a.n < INT32_MAX;
  const vi sign = splat(int32_t(least ? INT32_MIN : 0));
  const int64_t width = fast && a.inner > 1 ? lanes : 1, columns = (a.inner + width - 1) / width, items = a.outer * columns;
  const int64_t per_part = a.n * width < 16384 ? 16384 / (a.n * width + 1) + 1 : 1;
  parallel(call, (items + per_part - 1) / per_part, 4 * x.count(), [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * per_part, end = items - begin < per_part ? items : begin + per_part;
    for (int64_t item = begin; item < end; item++) {
      const int64_t o = item / columns, i = item % columns * width;
      const T* from = x.as<T>() + o * a.n * a.inner + i;
      if constexpr (vectors) {
        if (fast && a.inner == 1 && a.n <= lanes) {
          to[o] = arg_short(from, int(a.n), sign);
          continue;
        }
        if (fast && a.inner == 1) {
          to[o] = arg_row(from, a.n, sign);
          continue;
        }
        if (fast && a.inner > 1) {
          const int rest = a.inner - i < lanes ? int(a.inner - i) : lanes;
          vf best = as_float(as_bits(load(from, rest)) ^ sign);
          vi where = {}, at = {};
          for (int64_t k = 1; k < a.n; k++) {
            at += 1;
            keep_larger(best, where, as_float(as_bits(load(from + k * a.inner, rest)) ^ sign), at);
          }
          for (int k = 0; k < rest; k++) to[o * a.inner + i + k] = where[k];
          continue;
        }
      }
      to[o * a.inner + i] = arg_scalar(from, a.n, a.inner, least, last);
    }
  });
  return {};
}

// Keys: unsigned numbers in the order of the elements.
ACCELNN_INLINE uint32_t key_of(float x) {
  const uint32_t b = bits_of(x + 0.0f);              // -0 + 0 = 0
  return x != x ? 0xffffffffu : b >> 31 ? ~b
                                        : b | 0x80000000u;
}
ACCELNN_INLINE uint32_t key_of(int32_t x) { return uint32_t(x) ^ 0x80000000u; }
ACCELNN_INLINE uint32_t key_of(int8_t x) { return key_of(int32_t(x)); }
ACCELNN_INLINE uint32_t key_of(uint8_t x) { return key_of(int32_t(x)); }
ACCELNN_INLINE uint64_t key_of(int64_t x) { return uint64_t(x) ^ (uint64_t(1) << 63); }
// With the place behind it: all are different, and ascending order is the order that is asked for.
template <class T> ACCELNN_INLINE uint64_t placed_key(T x, int64_t place, uint32_t turn) {
  return uint64_t(key_of(x) ^ turn) << 32 | uint64_t(place);
}

// Keys that belong among the k first are few after the first elements: a sorted list of k, and whole vectors are passed over by one comparison.
ACCELNN_INLINE void insert(uint64_t* list, int64_t length, uint64_t key) {
  int64_t j = length - 1;
  for (; j > 0 && list[j - 1] > key; j--) list[j] = list[j - 1];
  list[j] = key;
}
// Is there, among four vectors, one that may belong before `edge`?
ACCELNN_INLINE bool none_before(const float* x, float edge, bool largest) {
  const vf e = splat(edge);
  vi found = {};
#pragma GCC unroll 4
  for (int u = 0; u < 4; u++) {
    const vf v = load(x + u * lanes);
    found |= largest ? ~(v <= e) : ~(v >= e);        // NaN on either side: look closer
  }
  return !any(found);
}
template <class T> void few(const T* x, int64_t n, uint64_t* list, int64_t k, bool largest) {
  const uint32_t turn = largest ? 0xffffffffu : 0;
  list[0] = placed_key(x[0], 0, turn);
  int64_t i = 1;
  for (; i < k; i++) insert(list, i + 1, placed_key(x[i], i, turn));
  while (i < n) {
    if constexpr (Kind<T>::real) {
      if (n - i >= 4 * lanes && none_before(x + i, x[uint32_t(list[k - 1])], largest)) {
        i += 4 * lanes;
        continue;
      }
    }
    const int64_t stop = n - i < 4 * lanes ? n : i + 4 * lanes;
    for (; i < stop; i++) {
      const uint64_t key = placed_key(x[i], i, turn);
      if (key < list[k - 1]) insert(list, k, key);
    }
  }
}

// Three passes of 11 bits over the upper half, lowest first; each keeps the order of equal digits, so places stay ascending among equal elements.
inline uint64_t* radix_sort(uint64_t* from, uint64_t* to, int64_t n) {
  constexpr int bits = 11, passes = 3;
  uint32_t count[passes][1 << bits] = {};
  for (int64_t i = 0; i < n; i++) {
    const uint64_t key = from[i] >> 32;
    for (int p = 0; p < passes; p++) count[p][key >> (bits * p) & ((1 << bits) - 1)]++;
  }
  for (int p = 0; p < passes; p++) {
    uint32_t* c = count[p];
    const int shift = 32 + bits * p;
    if (int64_t(c[from[0] >> shift & ((1 << bits) - 1)]) == n) continue;      // one digit: bytes need one pass
    uint32_t sum = 0;
    for (int d = 0; d < 1 << bits; d++) {
      const uint32_t m = c[d];
      c[d] = sum;
      sum += m;
    }
    for (int64_t i = 0; i < n; i++) to[c[from[i] >> shift & ((1 << bits) - 1)]++] = from[i];
    uint64_t* other = from;
    from = to;
    to = other;
  }
  return from;
}

// Short rows: an element's place is how many come before it, counted in vectors. n^2 / lanes comparisons, no branch: 100 floats take a third of a radix
// sort, whose counters alone are 24 KB.
constexpr int64_t rank_most = 256;
template <class T> void rank_sort(int64_t* places, const T* x, int64_t n, uint32_t turn) {
  alignas(64) uint32_t key[rank_most + lanes];
  alignas(64) int32_t before[rank_most + lanes];
  for (int64_t i = 0; i < n; i++) key[i] = (key_of(x[i]) ^ turn) ^ 0x80000000u;              // signed order, for the comparison
  for (int64_t i = n; i < n + lanes; i++) key[i] = 0;
  for (int64_t i = 0; i < n; i += lanes) {
    vi mine, count = {};
    std::memcpy(&mine, key + i, sizeof mine);
    int64_t j = 0;
    for (; j < i; j++) count -= splat(int32_t(key[j])) <= mine;                              // equal ones further in front come first
    for (; j < i + lanes && j < n; j++) {
      const vi other = splat(int32_t(key[j]));
      count -= (other < mine) | ((other == mine) & (ramp() > int32_t(j - i)));
    }
    for (; j < n; j++) count -= splat(int32_t(key[j])) < mine;
    std::memcpy(before + i, &count, sizeof count);
  }
  for (int64_t i = 0; i < n; i++) places[before[i]] = i;
}

struct Wide { uint64_t key, place; };
inline Wide* merge_sort(Wide* from, Wide* to, int64_t n) {
  for (int64_t run = 1; run < n; run *= 2) {
    for (int64_t at = 0; at < n; at += 2 * run) {
      int64_t a = at, a_end = at + run < n ? at + run : n, b = a_end, b_end = a_end + run < n ? a_end + run : n;
      for (int64_t i = at; i < b_end; i++) {
        const bool left = a < a_end && (b >= b_end || from[a].key <= from[b].key);
        to[i] = left ? from[a++] : from[b++];
      }
    }
    Wide* other = from;
    from = to;
    to = other;
  }
  return from;
}

template <class T> Status topk(const Call& call) {
  const TensorView& in = call.in[0];
  const int64_t n = in.shape[in.rank - 1], k = call.out[0].shape[in.rank - 1], rows = n ? in.count() / n : 0;
  if (!k || !rows) return {};
  const bool largest = call.integer(topk_attr::largest) != 0;
  const bool by_list = sizeof(T) < 8 && k <= topk_few;
  const int64_t parts = topk_parts(rows, n, !by_list);
  // About k log(n / k) elements come into the list, and each pushes half of it along.
  const int64_t pushes = by_list ? k * (64 - __builtin_clzll(uint64_t(n / k))) : 0;
  parallel(call, parts, rows * (by_list ? n * 16 + pushes * k * 16 : n * 128), [&](int64_t part) __attribute__((noinline)) {
    for (int64_t r = rows * part / parts; r < rows * (part + 1) / parts; r++) {
      const T* x = in.as<T>() + r * n;
      T* values = call.out[0].as<T>() + r * k;
      int64_t* places = call.out[1].as<int64_t>() + r * k;
      if constexpr (sizeof(T) == 8) {
        Wide* area = static_cast<Wide*>(call.work) + part * 2 * n;
        for (int64_t i = 0; i < n; i++) area[i] = {largest ? ~key_of(x[i]) : key_of(x[i]), uint64_t(i)};
        const Wide* sorted = merge_sort(area, area + n, n);
        for (int64_t j = 0; j < k; j++) places[j] = int64_t(sorted[j].place);
      } else if (k == n && n <= rank_most) {
        rank_sort(places, x, n, largest ? 0xffffffffu : 0);
      } else if (by_list) {
        uint64_t list[topk_few];
        few(x, n, list, k, largest);
        for (int64_t j = 0; j < k; j++) places[j] = int64_t(uint32_t(list[j]));
      } else {
        uint64_t* area = static_cast<uint64_t*>(call.work) + part * 2 * n;
        for (int64_t i = 0; i < n; i++) area[i] = placed_key(x[i], i, largest ? 0xffffffffu : 0);
        const uint64_t* sorted = radix_sort(area, area + n, n);
        for (int64_t j = 0; j < k; j++) places[j] = int64_t(uint32_t(sorted[j]));
      }
      for (int64_t j = 0; j < k; j++) values[j] = x[places[j]];
    }
  });
  return {};
}

}  // namespace order_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
