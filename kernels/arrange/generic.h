// Elements moved, never looked at: one body for dtypes of one size. The innermost dim that changes is written in runs, whole untouched dims behind it
// are one unit.
#pragma once
#include "arrange/concat.h"
#include "arrange/flip.h"
#include "arrange/pad.h"
#include "copy/convert.h"
#include "lanes.h"
#include "pool.h"
#include "stream.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace arrange {

constexpr int64_t part_bytes = 1 << 18;

ACCELNN_INLINE void move(char* to, const char* from, int64_t n, bool past) {
  if (past) stream_copy(to, from, n);
  else std::memcpy(to, from, size_t(n));
}

// The output is cut into ranges of bytes, wherever its runs begin.
ACCELNN_APART inline Status concat(const Call& call) {
  const TensorView& y = call.out[0];
  const int axis = int(call.integer(concat_attr::axis));
  int64_t inner = int64_t(size_of(y.dtype)), run[24];
  for (int d = axis + 1; d < y.rank; d++) inner *= y.shape[d];
  int count = 0;
  for (; count < call.n_in && !call.in[count].absent(); count++) run[count] = call.in[count].shape[axis] * inner;
  const int64_t row = y.shape[axis] * inner, bytes = y.count() * int64_t(size_of(y.dtype));
  if (!bytes) return {};
  const bool past = bytes >= stream_bytes;
  parallel(call, (bytes + part_bytes - 1) / part_bytes, 2 * bytes, [&](int64_t part) __attribute__((noinline)) {
    int64_t at = part * part_bytes, o = at / row, within = at % row;
    const int64_t end = bytes - at < part_bytes ? bytes : at + part_bytes;
    int k = 0;
    while (within >= run[k]) within -= run[k++];
    while (at < end) {
      const int64_t left = run[k] - within, n = left < end - at ? left : end - at;
      move(y.as<char>() + at, call.in[k].as<char>() + o * run[k] + within, n, past);
      at += n;
      within = 0;
      if (++k == count) k = 0, o++;
    }
    if (past) finish_past();
  });
  return {};
}

struct Axis {
  int64_t n, out, low, step;
  bool flipped;
};
struct Shape {
  Axis axis[max_rank];
  int rank;                    // the last axis is the one that runs go along
  int64_t unit, rows;          // bytes of an element of it; rows: product of the other axes of the output
  int64_t mode;
};

// Where element i of y's axis comes from; -1: the constant.
ACCELNN_INLINE int64_t source(const Axis& a, int64_t mode, int64_t i) {
  if (a.flipped) return a.n - 1 - i;
  int64_t k = i - a.low;
  switch (mode) {
    case pad_mode::constant:
      if (k < 0) return -1;
      if (a.step > 1) {
        if (k % a.step) return -1;
        k /= a.step;
      }
      return k < a.n ? k : -1;
    case pad_mode::reflect: return k < 0 ? -k : k >= a.n ? 2 * (a.n - 1) - k
                                                         : k;
    case pad_mode::edge: return k < 0 ? 0 : k >= a.n ? a.n - 1
                                                     : k;
    default: return (k %= a.n) < 0 ? k + a.n : k;
  }
}

// Drops untouched dims into their neighbours.
ACCELNN_INLINE Shape shape_of(const TensorView& x, const TensorView& y, const Axis* axes, int64_t mode) {
  Shape s;
  s.rank = 0;
  s.rows = 1;
  s.mode = mode;
  bool joins[max_rank];
  for (int d = 0; d < x.rank; d++) {
    const Axis& a = axes[d];
    const bool still = a.n == a.out && a.low == 0 && a.step == 1 && (!a.flipped || a.n == 1);
    if (still && s.rank && joins[s.rank - 1]) s.axis[s.rank - 1].n *= a.n, s.axis[s.rank - 1].out *= a.n;
    else {
      s.axis[s.rank] = a;
      if (still) s.axis[s.rank].flipped = false;
      joins[s.rank++] = still;
    }
  }
  s.unit = int64_t(size_of(y.dtype));
  if (s.rank && joins[s.rank - 1]) s.unit *= s.axis[--s.rank].n;
  if (!s.rank) s.axis[s.rank++] = {1, 1, 0, 1, false};
  for (int d = 0; d + 1 < s.rank; d++) s.rows *= s.axis[d].out;
  return s;
}

struct Fill {
  char value[8];
  int64_t bytes;               // of one element
};
template <class T> ACCELNN_INLINE void fill_elements(char* to, const Fill& f, int64_t n) {
  T v;
  std::memcpy(&v, f.value, sizeof v);
  T* y = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < n; i++) y[i] = v;
}
ACCELNN_APART inline void fill(char* to, const Fill& f, int64_t bytes) {
  switch (f.bytes) {
    case 1: std::memset(to, f.value[0], size_t(bytes)); break;
    case 2: fill_elements<uint16_t>(to, f, bytes / 2); break;
    case 4: fill_elements<uint32_t>(to, f, bytes / 4); break;
    default: fill_elements<uint64_t>(to, f, bytes / 8);
  }
}

template <class T> void reversed(char* to, const char* from, int64_t n) {
  T* y = reinterpret_cast<T*>(to);
  const T* x = reinterpret_cast<const T*>(from);
  for (int64_t i = 0; i < n; i++) y[i] = x[n - 1 - i];
}
#if defined(__AVX2__)
template <int... i> ACCELNN_INLINE vf backwards_(vf v, Lanes<i...>) { return ACCELNN_SHUFFLE(v, v, (lanes - 1 - i)...); }
template <> inline void reversed<uint32_t>(char* to, const char* from, int64_t n) {        // rows of 56: the compiler's loop leaves eight to go one by one
  float* y = reinterpret_cast<float*>(to);
  const float* x = reinterpret_cast<const float*>(from);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(y + i, backwards_(load(x + n - lanes - i), AllLanes{}));
  const int rest = int(n - i);
  if (!rest) return;
  if (n >= lanes) return store(y + n - lanes, backwards_(load(x), AllLanes{}));
  for (i = 0; i < n; i++) y[i] = x[n - 1 - i];
}
#endif
// y[i] = x[n - 1 - i] in units
ACCELNN_APART inline void reverse(char* to, const char* from, int64_t n, int64_t unit) {
  switch (unit) {
    case 1: return reversed<uint8_t>(to, from, n);
    case 2: return reversed<uint16_t>(to, from, n);
    case 4: return reversed<uint32_t>(to, from, n);
    case 8: return reversed<uint64_t>(to, from, n);
    default:
      for (int64_t i = 0; i < n; i++) std::memcpy(to + i * unit, from + (n - 1 - i) * unit, size_t(unit));
  }
}

// A call of memcpy for each element was half of a reflected row of 56.
ACCELNN_INLINE void copy_unit(char* to, const char* from, int64_t unit) {
  if (unit == 4) std::memcpy(to, from, 4);
  else std::memcpy(to, from, size_t(unit));
}

// Elements [begin, end) of a row, all beside the middle.
ACCELNN_INLINE void write_end(char* to, const char* from, const Shape& s, int64_t begin, int64_t end) {
  const Axis& a = s.axis[s.rank - 1];
  const int64_t u = s.unit;
  if (s.mode != pad_mode::wrap || end - begin < 8) {
    for (int64_t i = begin; i < end; i++) copy_unit(to + i * u, from + source(a, s.mode, i) * u, u);
    return;
  }
  for (int64_t i = begin; i < end;) {
    const int64_t k = source(a, s.mode, i), left = a.n - k, n = left < end - i ? left : end - i;
    std::memcpy(to + i * u, from + k * u, size_t(n * u));
    i += n;
  }
}

// One row: y's elements [0, a.out) of the last axis. What lies in the middle is one run; the ends are a few elements, or runs again.
ACCELNN_APART inline void write_row(char* to, const char* from, const Shape& s, const Fill& f, bool past) {
  const Axis& a = s.axis[s.rank - 1];
  const int64_t u = s.unit;
  if (a.flipped) return reverse(to, from, a.out, u);
  if (a.step > 1) {
    fill(to, f, a.out * u);
    int64_t k = a.low < 0 ? (-a.low + a.step - 1) / a.step : 0;
    for (; k < a.n && a.low + k * a.step < a.out; k++) std::memcpy(to + (a.low + k * a.step) * u, from + k * u, size_t(u));
    return;
  }
  const int64_t first = a.low < 0 ? 0 : a.low < a.out ? a.low
                                                      : a.out;
  const int64_t stop = a.low + a.n, last = stop < first ? first : stop < a.out ? stop
                                                                               : a.out;
  if (s.mode == pad_mode::constant) {
    fill(to, f, first * u);
    fill(to + last * u, f, (a.out - last) * u);
  } else {
    write_end(to, from, s, 0, first);
    write_end(to, from, s, last, a.out);
  }
  if (first < last) move(to + first * u, from + (first - a.low) * u, (last - first) * u, past);
}

#if defined(__AVX512F__)
// Rows of up to 256 4-byte elements that lie one after the other in x and y: the middle by vectors with a mask, then the ends. Three calls of memcpy
// and memset were 13 ns for a row of 16, a call for each row 7.
constexpr int64_t short_elements = 256;
ACCELNN_APART inline void write_short_rows(float* to, const float* from, int64_t rows, const Shape& s, float value) {
  const Axis& a = s.axis[s.rank - 1];
  const int64_t first = a.low, last = a.low + a.n, whole = a.n / lanes * lanes;
  const int rest = int(a.n - whole);
  const bool constant = s.mode == pad_mode::constant, covered = first <= lanes && a.out - last <= lanes && a.out >= lanes;
  for (; rows; rows--, to += a.out, from += a.n) {
    if (a.flipped) {
      reversed<uint32_t>(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from), a.n);
      continue;
    }
    if (constant && covered) {                                         // the middle covers what is too much
      store(to, splat(value));
      store(to + a.out - lanes, splat(value));
    } else {
      for (int64_t i = 0; i < first; i++) to[i] = constant ? value : from[source(a, s.mode, i)];
      for (int64_t i = last; i < a.out; i++) to[i] = constant ? value : from[source(a, s.mode, i)];
    }
    for (int64_t i = 0; i < whole; i += lanes) store(to + first + i, load(from + i));
    if (rest) store(to + first + whole, load(from + whole, rest), rest);
  }
}
#endif

ACCELNN_APART inline Status run(const Call& call, const Shape& s, const Fill& f) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t bytes = y.count() * int64_t(size_of(y.dtype));
  if (!bytes) return {};
  const int64_t row = s.axis[s.rank - 1].out * s.unit, from_row = s.axis[s.rank - 1].n * s.unit;
  const int64_t per_part = row < part_bytes ? part_bytes / row : 1;
  const bool past = bytes >= stream_bytes;
#if defined(__AVX512F__)
  const Axis& along = s.axis[s.rank - 1];
  const bool is_short = s.unit == 4 && along.step == 1 && along.low >= 0 && along.low + along.n <= along.out && along.out <= short_elements;
#else
  constexpr bool is_short = false;
#endif
  float value = 0;
  std::memcpy(&value, f.value, sizeof value);
  parallel(call, (s.rows + per_part - 1) / per_part, 2 * bytes, [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * per_part, end = s.rows - begin < per_part ? s.rows : begin + per_part;
    // `outer`: where the dims before the last but one come from, the same for every row of a plane; -1: from the constant.
    const int plane = s.rank - 2;
    int64_t index[max_rank], rest = begin, outer = 0;
    for (int d = plane; d >= 0; d--) index[d] = rest % s.axis[d].out, rest /= s.axis[d].out;
    const auto locate = [&] {
      int64_t size = plane >= 0 ? s.axis[plane].n : 1;
      outer = 0;
      for (int d = plane - 1; d >= 0 && outer >= 0; d--) {
        const int64_t k = source(s.axis[d], s.mode, index[d]);
        outer = k < 0 ? -1 : outer + k * size;
        size *= s.axis[d].n;
      }
    };
    locate();
    for (int64_t r = begin; r < end; r++) {
      int64_t at = outer;
      if (plane >= 0 && at >= 0) {
        const int64_t k = source(s.axis[plane], s.mode, index[plane]);
        at = k < 0 ? -1 : at + k;
      }
      bool turned = false;
      int64_t rows = 1;                                  // one after the other in x too
      if (is_short && at >= 0 && plane >= 0) {
        const Axis& a = s.axis[plane];
        const int64_t stop = a.low + a.n < a.out ? a.low + a.n : a.out;
        if (!a.flipped && a.step == 1 && index[plane] >= a.low && index[plane] < stop) rows = stop - index[plane] < end - r ? stop - index[plane] : end - r;
        index[plane] += rows - 1;
      }
      for (int d = plane; d >= 0; d--) {
        if (++index[d] < s.axis[d].out) break;
        index[d] = 0;
        turned = true;
      }
      if (turned) locate();
#if defined(__AVX512F__)
      if (at >= 0 && is_short) {
        write_short_rows(reinterpret_cast<float*>(y.as<char>() + r * row), reinterpret_cast<const float*>(x.as<char>() + at * from_row), rows, s, value);
        r += rows - 1;
        continue;
      }
#endif
      if (at < 0) fill(y.as<char>() + r * row, f, row);
      else write_row(y.as<char>() + r * row, x.as<char>() + at * from_row, s, f, past);
    }
    if (past) finish_past();
  });
  return {};
}

template <class T> ACCELNN_INLINE void set_value(Fill* f, double value) {
  T v;
  if constexpr (sizeof(T) == 8) v = T(value);
  else v = narrow<T>(float(value));
  std::memcpy(f->value, &v, sizeof v);
}
template <> ACCELNN_INLINE void set_value<int32_t>(Fill* f, double value) {
  const int32_t v = value >= 2147483647.0 ? INT32_MAX : value <= -2147483648.0 ? INT32_MIN
                                                                               : int32_t(value);
  std::memcpy(f->value, &v, sizeof v);
}
// Any other integer: as near as its range comes.
template <class T> ACCELNN_INLINE void set_whole(Fill* f, double value) {
  constexpr int64_t end = sizeof(T) == 8 ? INT64_MAX : int64_t(T(-1) > T(0) ? uint64_t(T(-1)) : (uint64_t(1) << (8 * sizeof(T) - 1)) - 1);
  constexpr int64_t low = T(-1) > T(0) ? 0 : -end - 1;
  const T v = value >= double(end) ? T(end) : value <= double(low) ? T(low)
                                                                   : T(int64_t(value));
  std::memcpy(f->value, &v, sizeof v);
}
ACCELNN_APART inline Fill fill_of(DType t, double value) {
  Fill f = {{}, int64_t(size_of(t))};
  switch (t) {
    case DType::f32: set_value<float>(&f, value); break;
    case DType::f16: set_value<half>(&f, value); break;
    case DType::bf16: set_value<bfloat>(&f, value); break;
    case DType::i8: set_value<int8_t>(&f, value); break;
    case DType::u8: set_value<uint8_t>(&f, value); break;
    case DType::i32: set_value<int32_t>(&f, value); break;
    case DType::i64: set_value<int64_t>(&f, value); break;
    case DType::boolean: set_value<boolean>(&f, value); break;
    case DType::f64: set_value<double>(&f, value); break;
    case DType::i16: set_whole<int16_t>(&f, value); break;
    case DType::u16: set_whole<uint16_t>(&f, value); break;
    case DType::u32: set_whole<uint32_t>(&f, value); break;
    case DType::u64: set_whole<uint64_t>(&f, value); break;
  }
  return f;
}

inline Status pad(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const Attr &low = call.attrs[pad_attr::low], &step = call.attrs[pad_attr::step];
  Axis axes[max_rank];
  for (int d = 0; d < x.rank; d++) axes[d] = {x.shape[d], y.shape[d], low.list[d], step.n ? step.list[d] : 1, false};
  return run(call, shape_of(x, y, axes, call.integer(pad_attr::mode)), fill_of(x.dtype, call.real(pad_attr::value)));
}

inline Status flip(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const Attr& list = call.attrs[flip_attr::axes];
  Axis axes[max_rank];
  for (int d = 0; d < x.rank; d++) axes[d] = {x.shape[d], y.shape[d], 0, 1, false};
  for (int64_t i = 0; i < list.n; i++) axes[list.list[i]].flipped = true;
  return run(call, shape_of(x, y, axes, pad_mode::constant), {{}, int64_t(size_of(x.dtype))});
}

}  // namespace arrange
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
