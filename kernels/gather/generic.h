// Elements by number. Rows of a few hundred bytes are bound by what memory gives: the first lines of the rows to come are asked for early.
#pragma once
#include "copy/convert.h"
#include "gather/gather.h"
#include "gather/gather_nd.h"
#include "gather/index.h"
#include "gather/scatter.h"
#include "gather/scatter_nd.h"
#include "gather/take.h"
#include "gather/take_grad.h"
#include "pool.h"
#include "stream.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace gather_rows {

using namespace ::accelnn::gather_index;

constexpr int64_t part_bytes = 1 << 17, ahead = 8;       // rows

ACCELNN_INLINE int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high
                                                                                                     : x; }

template <class T> ACCELNN_INLINE bool take_elements(T* y, const T* x, const Index& index, int64_t begin, int64_t end, int64_t n, int64_t skip,
                                                     FirstBad* bad) {
  for (int64_t j = begin; j < end; j++) {
    int64_t i = index[j];
    if (!inside(&i, n)) {
      bad->note(j);
      return false;
    }
    *y++ = i == skip ? T(0) : x[i];
  }
  return true;
}

// Row j of the numbers [begin, end), bytes `row` each.
ACCELNN_APART inline void take_rows(char* y, const char* x, const Index& index, int64_t begin, int64_t end, const Rows& r, int64_t row, int64_t skip,
                                    bool past, FirstBad* bad) {
  switch (row) {
    case 1: take_elements(reinterpret_cast<uint8_t*>(y), reinterpret_cast<const uint8_t*>(x), index, begin, end, r.size, skip, bad); return;
    case 2: take_elements(reinterpret_cast<uint16_t*>(y), reinterpret_cast<const uint16_t*>(x), index, begin, end, r.size, skip, bad); return;
    case 4: take_elements(reinterpret_cast<uint32_t*>(y), reinterpret_cast<const uint32_t*>(x), index, begin, end, r.size, skip, bad); return;
    case 8: take_elements(reinterpret_cast<uint64_t*>(y), reinterpret_cast<const uint64_t*>(x), index, begin, end, r.size, skip, bad); return;
  }
  const int64_t lines = clamp(row, 0, 512);
  for (int64_t j = begin; j < end; j++, y += row) {
    int64_t i = index[j];
    if (!inside(&i, r.size)) return bad->note(j);
    if (j + ahead < end) {
      int64_t next = index[j + ahead];
      if (inside(&next, r.size))
        for (int64_t b = 0; b < lines; b += 64) __builtin_prefetch(x + next * row + b);
    }
    if (i == skip) std::memset(y, 0, size_t(row));
    else if (past) stream_copy(y, x + i * row, row);
    else std::memcpy(y, x + i * row, size_t(row));
  }
}

inline Status take(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const Rows r = rows_of(x, call.integer(take_attr::axis), call.in[1]);
  const Index index(call.in[1]);
  const int64_t row = r.inner * int64_t(size_of(x.dtype)), skip = call.integer(take_attr::skip), bytes = r.outer * r.indices * row;
  const int64_t per_part = row < part_bytes ? part_bytes / (row + 1) + 1 : 1, bands = (r.indices + per_part - 1) / per_part;
  const bool past = bytes >= stream_bytes && row >= 1024;
  FirstBad bad;
  parallel(call, r.outer * bands, 2 * bytes, [&](int64_t part) __attribute__((noinline)) {
    const int64_t o = part / bands, begin = part % bands * per_part, end = clamp(begin + per_part, 0, r.indices);
    take_rows(y.as<char>() + (o * r.indices + begin) * row, x.as<char>() + o * r.size * row, index, begin, end, r, row, skip, past, &bad);
    if (past) finish_past();
  });
  return index_status("take", bad, call.in[1], &r.size, 1);
}

ACCELNN_INLINE void add_row(float* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) store(y + i + u * lanes, load(y + i + u * lanes) + load(x + i + u * lanes));
  for (; i + lanes <= n; i += lanes) store(y + i, load(y + i) + load(x + i));
  if (const int rest = int(n - i)) store(y + i, load(y + i, rest) + load(x + i, rest), rest);
}

// Every part owns some rows of dx and walks through all numbers: a number is 8 bytes, a row hundreds, and nobody waits for anybody.
inline Status take_grad(const Call& call) {
  const TensorView &dy = call.in[0], &dx = call.out[0];
  const int64_t axis = call.integer(take_grad_attr::axis), skip = call.integer(take_grad_attr::skip);
  const Rows r = rows_of(dx, axis, call.in[1]);
  const Index index(call.in[1]);
  FirstBad bad;
  for (int64_t j = 0; j < r.indices; j++) {
    int64_t i = index[j];
    if (!inside(&i, r.size)) {
      bad.note(j);
      break;
    }
  }
  ACCELNN_TRY(index_status("take_grad", bad, call.in[1], &r.size, 1));
  // A band a thread, no more: every one of them walks through all numbers (ten bands of 65536 numbers took a third of the time).
  const int64_t threads = call.pool ? call.pool->threads() : 1, wanted = r.inner >= 16 ? clamp(r.size * r.inner >> 14, 1, threads) : 1;
  const int64_t bands = r.outer >= 32 ? 1 : wanted;
  const int64_t per_band = (r.size + bands - 1) / bands;
  parallel(call, r.outer * bands, 4 * (r.outer * r.indices * r.inner * 3 + dx.count()), [&](int64_t part) __attribute__((noinline)) {
    const int64_t o = part / bands, first = part % bands * per_band, last = clamp(first + per_band, first, r.size);
    float* to = dx.as<float>() + o * r.size * r.inner;
    const float* from = dy.as<float>() + o * r.indices * r.inner;
    const int64_t lines = clamp(r.inner, 0, 64);
    if (first < r.size) std::memset(to + first * r.inner, 0, size_t((last - first) * r.inner) * sizeof *to);
    for (int64_t j = 0; j < r.indices; j++) {
      int64_t i = index[j];
      if (i < 0) i += r.size;
      if (i < first || i >= last || i == skip) continue;
      if (j + ahead < r.indices && r.inner > 1) {                      // rows of the result come in no order
        int64_t next = index[j + ahead];
        next += next < 0 ? r.size : 0;
        for (int64_t b = 0; b < lines; b += 16) __builtin_prefetch(to + next * r.inner + b, 1);
      }
      if (r.inner == 1) to[i] += from[j];
      else add_row(to + i * r.inner, from + j * r.inner, r.inner);
    }
  });
  return {};
}

// The indices of a stretch as numbers in [0, n): all are looked at in one sweep without a branch, then followed without another look.
constexpr int64_t stretch_length = 512;
template <class I> ACCELNN_INLINE bool all_inside(int64_t* to, const I* index, int64_t count, int64_t n) {
  uint64_t wrong = 0;
  for (int64_t j = 0; j < count; j++) {
    const int64_t i = int64_t(index[j]), k = i < 0 ? i + n : i;
    to[j] = k;
    wrong |= uint64_t(k) | uint64_t(n - 1 - k);                    // the sign: below 0, or above n - 1
  }
  return wrong >> 63 == 0;
}
ACCELNN_APART inline bool checked(int64_t* to, const TensorView& index, int64_t first, int64_t count, int64_t n, FirstBad* bad) {
  const bool fine = index.dtype == DType::i64 ? all_inside(to, index.as<int64_t>() + first, count, n)
                                              : all_inside(to, index.as<int32_t>() + first, count, n);
  if (fine) return true;
  for (int64_t j = 0; j < count; j++) {
    int64_t i = Index(index)[first + j];
    if (!inside(&i, n)) {
      bad->note(first + j);
      break;
    }
  }
  return false;
}
template <class T> ACCELNN_INLINE void gather_line(T* y, const T* x, const TensorView& index, int64_t first, const Lines& l, FirstBad* bad) {
  const int64_t step = l.x_stride[l.axis];
  int64_t at[stretch_length];
  for (int64_t begin = 0; begin < l.length; begin += stretch_length) {
    const int64_t n = clamp(l.length - begin, 0, stretch_length);
    if (!checked(at, index, first + begin, n, l.size, bad)) return;
    if (l.along)
      for (int64_t j = 0; j < n; j++) y[begin + j] = x[at[j]];
    else
      for (int64_t j = 0; j < n; j++) y[begin + j] = x[at[j] * step + begin + j];
  }
}
// Rows of a few numbers (the classes of a batch): all numbers of many rows are looked at in one sweep; a row by itself is 9 ns.
constexpr int64_t few_indices = 16;
template <class T> ACCELNN_APART void gather_few(T* y, const T* x, const TensorView& index, int64_t begin, int64_t end, const Lines& l, FirstBad* bad) {
  int64_t at[stretch_length];
  const int64_t rows = stretch_length / l.length;
  for (int64_t line = begin; line < end; line += rows) {
    const int64_t some = clamp(end - line, 0, rows), first = line * l.length;
    if (!checked(at, index, first, some * l.length, l.size, bad)) return;
    const int64_t* place = at;
    for (int64_t r = 0; r < some; r++)
      for (int64_t j = 0; j < l.length; j++) y[first + r * l.length + j] = x[(line + r) * l.x_stride[0] + *place++];
  }
}
template <class T> ACCELNN_APART Status gather_as(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const TensorView& index = call.in[1];
  const Lines l = lines_of(x, index, index, call.integer(gather_attr::axis));
  const int64_t per_part = l.length < 8192 ? 8192 / (l.length + 1) + 1 : 1;
  FirstBad bad;
  if (l.along && l.rank == 2 && l.length > 0 && l.length <= few_indices) {
    parallel(call, (l.lines + per_part - 1) / per_part, 32 * y.count(), [&](int64_t part) __attribute__((noinline)) {
      const int64_t begin = part * per_part, end = clamp(begin + per_part, 0, l.lines);
      gather_few(y.as<T>(), x.as<T>(), index, begin, end, l, &bad);
    });
    return index_status("gather", bad, call.in[1], &l.size, 1);
  }
  parallel(call, (l.lines + per_part - 1) / per_part, 32 * y.count(), [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * per_part, end = clamp(begin + per_part, 0, l.lines);
    for (int64_t line = begin; line < end; line++)
      gather_line(y.as<T>() + line * l.length, x.as<T>() + line_at(l, line).x, index, line * l.length, l, &bad);
  });
  return index_status("gather", bad, call.in[1], &l.size, 1);
}

struct Replace {
  template <class T> static ACCELNN_INLINE T of(T, T b) { return b; }
};
struct Add {
  static ACCELNN_INLINE float of(float a, float b) { return a + b; }
  static ACCELNN_INLINE int32_t of(int32_t a, int32_t b) { return int32_t(uint32_t(a) + uint32_t(b)); }
  static ACCELNN_INLINE int64_t of(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }
};
struct Mul {
  static ACCELNN_INLINE float of(float a, float b) { return a * b; }
  static ACCELNN_INLINE int32_t of(int32_t a, int32_t b) { return int32_t(uint32_t(a) * uint32_t(b)); }
  static ACCELNN_INLINE int64_t of(int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }
};
struct Max {
  template <class T> static ACCELNN_INLINE T of(T a, T b) { return a > b || a != a ? a : b; }
};
struct Min {
  template <class T> static ACCELNN_INLINE T of(T a, T b) { return a < b || a != a ? a : b; }
};

inline void copy_all(const Call& call) {
  const int64_t bytes = call.out[0].count() * int64_t(size_of(call.out[0].dtype)), size = int64_t(1) << 18;
  parallel(call, (bytes + size - 1) / size, 2 * bytes, [&](int64_t part) __attribute__((noinline)) {
    const int64_t at = part * size;
    std::memcpy(call.out[0].as<char>() + at, call.in[0].as<char>() + at, size_t(clamp(bytes - at, 0, size)));
  });
}

// Elements that may meet lie along the axis: a part owns all of it, for some of the dims before and a stretch of the last one.
template <class T, class F> ACCELNN_APART Status scatter_with(const Call& call) {
  const TensorView &index_view = call.in[1], &s = call.in[2], &y = call.out[0];
  copy_all(call);
  if (!index_view.count()) return {};
  const int64_t axis = call.integer(scatter_attr::axis);
  const Lines l = lines_of(y, index_view, s, axis);
  int64_t outer = 1;
  for (int d = 0; d < axis; d++) outer *= index_view.shape[d];
  const int64_t stretch = l.along || outer >= 32 ? l.length : 256, stretches = (l.length + stretch - 1) / stretch;
  const int64_t whole = l.along ? outer : outer * stretches, per_outer = l.lines / (l.along ? l.lines : outer);      // along: a line is an outer
  const int64_t step = l.x_stride[l.axis];
  FirstBad bad;
  parallel(call, whole, 64 * index_view.count(), [&](int64_t part) __attribute__((noinline)) {
    const int64_t o = part / stretches, begin = part % stretches * stretch, end = clamp(begin + stretch, 0, l.length);
    for (int64_t line = o * per_outer; line < (o + 1) * per_outer; line++) {
      const Line at = line_at(l, line);
      T* to = y.as<T>() + at.x;
      const T* from = s.as<T>() + at.s;
      int64_t places[stretch_length];
      for (int64_t j = begin; j < end; j += stretch_length) {
        const int64_t n = clamp(end - j, 0, stretch_length);
        if (!checked(places, index_view, line * l.length + j, n, l.size, &bad)) return;
        if (l.along)
          for (int64_t k = 0; k < n; k++) to[places[k]] = F::of(to[places[k]], from[j + k]);
        else
          for (int64_t k = 0; k < n; k++) {
            T& e = to[places[k] * step + j + k];
            e = F::of(e, from[j + k]);
          }
      }
    }
  });
  return index_status("scatter", bad, index_view, &l.size, 1);
}

template <class T> ACCELNN_APART Status gather_nd_as(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const Slices s = slices_of(x, call.in[1], call.integer(gather_nd_attr::batch));
  const Index index(call.in[1]);
  const int64_t total = s.batches * s.count, per_part = s.inner < 8192 ? 8192 / (s.inner + 1) + 1 : 1;
  FirstBad bad;
  parallel(call, (total + per_part - 1) / per_part, 32 * y.count(), [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * per_part, end = clamp(begin + per_part, 0, total);
    for (int64_t j = begin; j < end; j++) {
      int64_t at = 0;
      const int64_t offset = slice_at(s, index, j, &at);
      if (offset < 0) return bad.note(at);
      if (s.inner == 1) y.as<T>()[j] = x.as<T>()[offset];
      else std::memcpy(y.as<T>() + j * s.inner, x.as<T>() + offset, size_t(s.inner) * sizeof(T));
    }
  });
  return index_status("gather_nd", bad, call.in[1], s.size, s.k);
}

// Slices may meet anywhere: parts own stretches of the slices, and walk through all of them in order.
template <class T, class F> ACCELNN_APART Status scatter_nd_with(const Call& call) {
  const TensorView &from = call.in[2], &y = call.out[0];
  copy_all(call);
  const Slices s = slices_of(y, call.in[1], 0);
  const Index index(call.in[1]);
  const int64_t stretch = 1024;
  FirstBad bad;
  parallel(call, (s.inner + stretch - 1) / stretch, 16 * from.count(), [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * stretch, end = clamp(begin + stretch, 0, s.inner);
    for (int64_t j = 0; j < s.count; j++) {
      int64_t at = 0;
      const int64_t offset = slice_at(s, index, j, &at);
      if (offset < 0) return bad.note(at);
      T* to = y.as<T>() + offset;
      const T* slice = from.as<T>() + j * s.inner;
      for (int64_t i = begin; i < end; i++) to[i] = F::of(to[i], slice[i]);
    }
  });
  return index_status("scatter_nd", bad, call.in[1], s.size, s.k);
}

// T: the element where it is only moved; N: where it is a number.
template <class T> Status scatter_moved(const Call& call) { return scatter_with<T, Replace>(call); }
template <class T> Status scatter_nd_moved(const Call& call) { return scatter_nd_with<T, Replace>(call); }
template <class T> Status gather(const Call& call) { return gather_as<T>(call); }
template <class T> Status gather_nd(const Call& call) { return gather_nd_as<T>(call); }
template <class N> Status scatter_numbers(const Call& call) {
  switch (call.integer(scatter_attr::reduce)) {
    case scatter_reduce::add: return scatter_with<N, Add>(call);
    case scatter_reduce::mul: return scatter_with<N, Mul>(call);
    case scatter_reduce::max: return scatter_with<N, Max>(call);
    case scatter_reduce::min: return scatter_with<N, Min>(call);
    default: return scatter_with<N, Replace>(call);
  }
}
template <class N> Status scatter_nd_numbers(const Call& call) {
  switch (call.integer(scatter_nd_attr::reduce)) {
    case scatter_reduce::add: return scatter_nd_with<N, Add>(call);
    case scatter_reduce::mul: return scatter_nd_with<N, Mul>(call);
    case scatter_reduce::max: return scatter_nd_with<N, Max>(call);
    case scatter_reduce::min: return scatter_nd_with<N, Min>(call);
    default: return scatter_nd_with<N, Replace>(call);
  }
}

}  // namespace gather_rows
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
