// Slow truth: one element after the other, each dtype read into a double or an int64 and written with rules of its own, not those of convert.h.
#include <cmath>
#include <cstring>
#include "copy/cast.h"
#include "copy/copy.h"
#include "every_dtype.h"

namespace accelnn {

namespace {

int64_t offset_of(const TensorView& x, int64_t i) {
  int64_t offset = 0;
  for (int d = x.rank - 1; d >= 0; d--) offset += i % x.shape[d] * x.stride[d], i /= x.shape[d];
  return offset;
}

double half_value(uint16_t h) {
  const int e = h >> 10 & 31, m = h & 1023;
  const double a = e == 31 ? (m ? NAN : INFINITY) : e ? std::ldexp(1024 + m, e - 25)
                                                      : std::ldexp(m, -24);
  return h & 0x8000 ? -a : a;
}
double read_real(const void* p, DType t) {
  double d;
  float f;
  uint16_t h;
  if (t == DType::f64) return std::memcpy(&d, p, 8), d;
  if (t == DType::f32) return std::memcpy(&f, p, 4), f;
  std::memcpy(&h, p, 2);
  if (t == DType::f16) return half_value(h);
  const uint32_t u = uint32_t(h) << 16;
  return std::memcpy(&f, &u, 4), f;
}
int64_t read_whole(const void* p, DType t) {      // u64: its bits
  int16_t s;
  uint16_t v;
  uint32_t u;
  int32_t w;
  int64_t l;
  switch (t) {
    case DType::i8: return *static_cast<const int8_t*>(p);
    case DType::u8: return *static_cast<const uint8_t*>(p);
    case DType::i32: return std::memcpy(&w, p, 4), w;
    case DType::i16: return std::memcpy(&s, p, 2), s;
    case DType::u16: return std::memcpy(&v, p, 2), v;
    case DType::u32: return std::memcpy(&u, p, 4), u;
    case DType::u64:
    case DType::i64: return std::memcpy(&l, p, 8), l;
    default: return *static_cast<const uint8_t*>(p) != 0;
  }
}

// The 16-bit float with `mantissa` stored bits and smallest exponent `low` nearest to x, halves to even.
uint16_t nearest16(double x, int mantissa, int low, int high) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0, infinity = uint16_t((high - low + 2) << mantissa);
  if (x != x) return uint16_t(sign | infinity | 1 << (mantissa - 1));
  const double a = std::fabs(x);
  if (a == 0) return sign;
  if (std::isinf(a)) return sign | infinity;
  int e = std::ilogb(a);
  if (e < low) e = low;
  const double units = std::nearbyint(std::ldexp(a, mantissa - e));      // up to 2^(mantissa + 1): a carry becomes the next exponent
  const int64_t bits = int64_t(units) + (int64_t(e - low) << mantissa);
  return bits >= infinity ? sign | infinity : uint16_t(sign | bits);
}

void write(void* p, DType t, bool real, double x, int64_t i, bool is_unsigned) {
  if (t == DType::f64) {
    const double d = real ? x : is_unsigned ? double(uint64_t(i))
                                            : double(i);
    std::memcpy(p, &d, 8);
    return;
  }
  if (is_real(t)) {
    const float f = real ? float(x) : is_unsigned ? float(uint64_t(i))
                                                  : float(i);
    const double d = real ? x : double(f);             // integers go to 16 bits by way of f32
    const uint16_t h = t == DType::f16 ? nearest16(d, 10, -14, 15) : nearest16(d, 7, -126, 127);
    if (t == DType::f32) std::memcpy(p, &f, 4);
    else std::memcpy(p, &h, 2);
    return;
  }
  if (t == DType::boolean) {
    *static_cast<uint8_t*>(p) = real ? x != 0 : i != 0;
    return;
  }
  if (real) {
    const int bits = int(8 * size_of(t));
    const bool natural = t == DType::u8 || t == DType::u16 || t == DType::u32 || t == DType::u64;
    const double low = natural ? 0 : -std::ldexp(1, bits - 1), end = std::ldexp(1, natural ? bits : bits - 1);
    if (x != x) i = 0;
    else if (x <= low) i = natural ? 0 : int64_t(uint64_t(-1) << (bits - 1));
    else if (x >= end) i = natural ? -1 : int64_t((uint64_t(1) << (bits - 1)) - 1);
    else i = natural ? int64_t(uint64_t(x)) : int64_t(x);
  }
  std::memcpy(p, &i, size_of(t));        // little-endian on every target: the low bytes
}

Status run_copy(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t n = y.count(), bytes = int64_t(size_of(x.dtype));
  for (int64_t i = 0; i < n; i++) std::memcpy(y.as<char>() + i * bytes, x.as<char>() + offset_of(x, i) * bytes, size_t(bytes));
  return {};
}
Status run_cast(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t n = y.count();
  const bool real = is_real(x.dtype);
  for (int64_t i = 0; i < n; i++) {
    const void* from = x.as<char>() + offset_of(x, i) * int64_t(size_of(x.dtype));
    write(y.as<char>() + i * int64_t(size_of(y.dtype)), y.dtype, real, real ? read_real(from, x.dtype) : 0, real ? 0 : read_whole(from, x.dtype),
          x.dtype == DType::u64);
  }
  return {};
}

}  // namespace

#define PUBLISH(dtype)                                                   \
  Status copy_##dtype##_ref(const Call& call);                           \
  Status copy_##dtype##_ref(const Call& call) { return run_copy(call); } \
  Status cast_##dtype##_ref(const Call& call);                           \
  Status cast_##dtype##_ref(const Call& call) { return run_cast(call); }
ACCELNN_EVERY_DTYPE(PUBLISH)
#define SELDOM(dtype, type, bits) PUBLISH(dtype)
ACCELNN_SELDOM_DTYPES(SELDOM)

}  // namespace accelnn
