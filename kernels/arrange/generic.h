// Elements moved, never looked at: one body for dtypes of one size. The innermost dim that changes is written in runs, whole untouched dims behind it
// are one unit.
#pragma once
#include "arrange/concat.h"
#include "arrange/flip.h"
#include "arrange/pad.h"
#include "copy/convert.h"
#include "copy/stream.h"
#include "pool.h"

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
    if (past) stream_end();
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

// One row: y's elements [0, a.out) of the last axis. What lies in the middle is one run; the ends are a few elements, or runs again.
ACCELNN_APART inline void write_row(char* to, const char* from, const Shape& s, const Fill& f, bool past) {
  const Axis& a = s.axis[s.rank - 1];
  const int64_t u = s.unit;
  if (a.flipped) return reverse(to, from, a.out, u);
  if (s.mode == pad_mode::wrap) {
    for (int64_t i = 0; i < a.out;) {
      const int64_t k = source(a, s.mode, i), left = a.n - k, n = left < a.out - i ? left : a.out - i;
      move(to + i * u, from + k * u, n * u, past);
      i += n;
    }
    return;
  }
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
    for (int64_t i = 0; i < first; i++) copy_unit(to + i * u, from + source(a, s.mode, i) * u, u);
    for (int64_t i = last; i < a.out; i++) copy_unit(to + i * u, from + source(a, s.mode, i) * u, u);
  }
  if (first < last) move(to + first * u, from + (first - a.low) * u, (last - first) * u, past);
}

ACCELNN_APART inline Status run(const Call& call, const Shape& s, const Fill& f) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t bytes = y.count() * int64_t(size_of(y.dtype));
  if (!bytes) return {};
  const int64_t row = s.axis[s.rank - 1].out * s.unit, from_row = s.axis[s.rank - 1].n * s.unit;
  const int64_t per_part = row < part_bytes ? part_bytes / row : 1;
  const bool past = bytes >= stream_bytes;
  parallel(call, (s.rows + per_part - 1) / per_part, 2 * bytes, [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * per_part, end = s.rows - begin < per_part ? s.rows : begin + per_part;
    int64_t index[max_rank], rest = begin;
    for (int d = s.rank - 2; d >= 0; d--) index[d] = rest % s.axis[d].out, rest /= s.axis[d].out;
    for (int64_t r = begin; r < end; r++) {
      int64_t at = 0, size = 1;
      for (int d = s.rank - 2; d >= 0 && at >= 0; d--) {
        const int64_t k = source(s.axis[d], s.mode, index[d]);
        at = k < 0 ? -1 : at + k * size;
        size *= s.axis[d].n;
      }
      for (int d = s.rank - 2; d >= 0; d--) {
        if (++index[d] < s.axis[d].out) break;
        index[d] = 0;
      }
      if (at < 0) fill(y.as<char>() + r * row, f, row);
      else write_row(y.as<char>() + r * row, x.as<char>() + at * from_row, s, f, past);
    }
    if (past) stream_end();
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
