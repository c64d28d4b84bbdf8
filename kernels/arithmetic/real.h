// What each kind is for two doubles.
#pragma once
#include <cstring>
#include "arithmetic/arithmetic.h"

namespace accelnn {
namespace arithmetic_function {

ACCELNN_INLINE double power_of_two(int64_t n) {          // a normal number
  const uint64_t bits = uint64_t(n + 1023) << 52;
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// x = n log 2 + r; the series of e^r to r^13: the next term is 4e-18 of it.
inline double exponential(double x) {
  if (x != x) return x;
  if (x > 709.79) return __builtin_inf();
  if (x < -745.2) return 0;
  const double n = __builtin_rint(x * 0x1.71547652b82fep+0), r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  double sum = 1;
  for (int k = 13; k > 0; k--) sum = 1 + sum * r / k;
  const int64_t half = int64_t(n) / 2;                   // in two steps: 2^n itself may not be a normal number
  return sum * power_of_two(half) * power_of_two(int64_t(n) - half);
}

// x = 2^n m, m in [0.7, 1.42): log m = 2 artanh f, f = (m - 1) / (m + 1), f^2 < 0.03.
inline double logarithm(double x) {
  if (x != x || x > 1.7976931348623157e308) return x;
  if (x <= 0) return x == 0 ? -__builtin_inf() : __builtin_nan("");
  const bool tiny = x < 2.2250738585072014e-308;
  const double scaled = tiny ? x * 0x1p54 : x;
  uint64_t bits;
  std::memcpy(&bits, &scaled, sizeof bits);
  const uint64_t shifted = bits - 0x3fe6a09e667f3bcdull;   // sqrt(1/2)
  const int64_t n = int64_t(shifted) >> 52;
  bits -= uint64_t(n) << 52;
  double m;
  std::memcpy(&m, &bits, sizeof m);
  const double f = (m - 1) / (m + 1), s = f * f, e = double(n - (tiny ? 54 : 0));
  double sum = 0;
  for (int k = 23; k > 1; k -= 2) sum = (sum + 1.0 / k) * s;
  return e * 0x1.62e42feep-1 + (2 * f + (2 * f * sum + e * 0x1.a39ef35793c76p-33));
}

template <ArithmeticKind kind> ACCELNN_INLINE auto of(double a, double b) {
  typedef ArithmeticKind K;
  if constexpr (kind == K::add) return a + b;
  else if constexpr (kind == K::sub) return a - b;
  else if constexpr (kind == K::mul) return a * b;
  else if constexpr (kind == K::div) return a / b;
  else if constexpr (kind == K::fmod) return __builtin_fmod(a, b);
  else if constexpr (kind == K::mod) {
    const double r = __builtin_fmod(a, b);
    return r == 0 ? __builtin_copysign(0.0, b) : (r < 0) != (b < 0) ? r + b
                                                                    : r;
  } else if constexpr (kind == K::max) return a > b || a != a ? a : b;
  else if constexpr (kind == K::min) return a < b || a != a ? a : b;
  else if constexpr (kind == K::eq) return a == b;
  else if constexpr (kind == K::ne) return a != b;
  else if constexpr (kind == K::lt) return a < b;
  else if constexpr (kind == K::le) return a <= b;
  else if constexpr (kind == K::gt) return a > b;
  else if constexpr (kind == K::ge) return a >= b;
  else if constexpr (kind == K::neg) return -a;
  else if constexpr (kind == K::abs) return __builtin_fabs(a);
  else if constexpr (kind == K::sign) return a > 0 ? 1.0 : a < 0 ? -1.0
                                                                 : a;
  else if constexpr (kind == K::sqrt) return __builtin_sqrt(a);
  else if constexpr (kind == K::exp) return exponential(a);
  else if constexpr (kind == K::log) return logarithm(a);
  else if constexpr (kind == K::floor) return __builtin_floor(a);
  else if constexpr (kind == K::ceil) return __builtin_ceil(a);
  else return __builtin_rint(a);
}

}  // namespace arithmetic_function
}  // namespace accelnn
