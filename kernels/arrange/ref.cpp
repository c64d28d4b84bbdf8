// Slow truth: the formulas, element by element.
#include <cstring>
#include "arrange/concat.h"
#include "arrange/flip.h"
#include "arrange/pad.h"
#include "copy/convert.h"
#include "every_dtype.h"

namespace accelnn {

namespace {

void constant_of(DType t, double v, char* to) {
  const auto put = [&](auto x) { std::memcpy(to, &x, sizeof x); };
  switch (t) {
    case DType::f32: return put(float(v));
    case DType::f16: return put(narrow_half(float(v)));
    case DType::bf16: return put(narrow_bfloat(float(v)));
    case DType::i8: return put(narrow<int8_t>(float(v)));
    case DType::u8: return put(narrow<uint8_t>(float(v)));
    case DType::i32: return put(int32_t(v));
    case DType::i64: return put(int64_t(v));
    case DType::boolean: return put(uint8_t(v != 0));
    case DType::f64: return put(v);
    case DType::i16: return put(int16_t(v));
    case DType::u16: return put(uint16_t(v));
    case DType::u32: return put(uint32_t(v));
    case DType::u64: return put(uint64_t(v));
  }
}

// source[d](i) for every dim of every element of y; negative: the constant.
template <class F> Status each(const Call& call, double value, const F& source) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t bytes = int64_t(size_of(x.dtype)), count = y.count();
  for (int64_t e = 0; e < count; e++) {
    int64_t rest = e, at = 0, size = 1;
    bool inside = true;
    for (int d = y.rank - 1; d >= 0; d--) {
      const int64_t k = source(d, rest % y.shape[d]);
      rest /= y.shape[d];
      inside = inside && k >= 0;
      at += k * size;
      size *= x.shape[d];
    }
    if (inside) std::memcpy(y.as<char>() + e * bytes, x.as<char>() + at * bytes, size_t(bytes));
    else constant_of(x.dtype, value, y.as<char>() + e * bytes);
  }
  return {};
}

Status pad(const Call& call) {
  const TensorView& x = call.in[0];
  const Attr &low = call.attrs[pad_attr::low], &step = call.attrs[pad_attr::step];
  const int64_t mode = call.integer(pad_attr::mode);
  return each(call, call.real(pad_attr::value), [&](int d, int64_t i) -> int64_t {
    const int64_t n = x.shape[d], s = step.n ? step.list[d] : 1;
    int64_t k = i - low.list[d];
    if (mode == pad_mode::constant) return k >= 0 && k % s == 0 && k / s < n ? k / s : -1;
    while (k < 0 || k >= n) {
      if (mode == pad_mode::reflect) k = k < 0 ? -k : 2 * (n - 1) - k;
      else if (mode == pad_mode::edge) k = k < 0 ? 0 : n - 1;
      else k += k < 0 ? n : -n;
    }
    return k;
  });
}

Status flip(const Call& call) {
  const TensorView& x = call.in[0];
  const Attr& axes = call.attrs[flip_attr::axes];
  return each(call, 0, [&](int d, int64_t i) -> int64_t {
    for (int64_t k = 0; k < axes.n; k++)
      if (axes.list[k] == d) return x.shape[d] - 1 - i;
    return i;
  });
}

Status concat(const Call& call) {
  const TensorView& y = call.out[0];
  const int axis = int(call.integer(concat_attr::axis));
  const int64_t bytes = int64_t(size_of(y.dtype)), count = y.count();
  for (int64_t e = 0; e < count; e++) {
    int64_t index[max_rank] = {}, rest = e, at = 0;
    for (int d = y.rank - 1; d >= 0; d--) index[d] = rest % y.shape[d], rest /= y.shape[d];
    int k = 0;
    while (index[axis] >= call.in[k].shape[axis]) index[axis] -= call.in[k++].shape[axis];
    for (int d = 0; d < y.rank; d++) at = at * call.in[k].shape[d] + index[d];
    std::memcpy(y.as<char>() + e * bytes, call.in[k].as<char>() + at * bytes, size_t(bytes));
  }
  return {};
}

}  // namespace

#define PUBLISH(dtype)                                                   \
  Status concat_##dtype##_ref(const Call& call);                         \
  Status concat_##dtype##_ref(const Call& call) { return concat(call); } \
  Status pad_##dtype##_ref(const Call& call);                            \
  Status pad_##dtype##_ref(const Call& call) { return pad(call); }       \
  Status flip_##dtype##_ref(const Call& call);                           \
  Status flip_##dtype##_ref(const Call& call) { return flip(call); }
ACCELNN_EVERY_DTYPE(PUBLISH)
#define SELDOM(dtype, type, bits) PUBLISH(dtype)
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
