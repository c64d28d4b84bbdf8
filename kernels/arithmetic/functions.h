// What each kind is, for two integers or bools.
#pragma once
#include "arithmetic/real.h"

namespace accelnn {
namespace arithmetic_function {

template <class T> struct Unsigned { typedef uint64_t type; };
template <> struct Unsigned<int32_t> { typedef uint32_t type; };
template <> struct Unsigned<uint32_t> { typedef uint32_t type; };
template <> struct Unsigned<int16_t> { typedef uint32_t type; };
template <> struct Unsigned<uint16_t> { typedef uint32_t type; };
template <> struct Unsigned<int8_t> { typedef uint32_t type; };
template <> struct Unsigned<uint8_t> { typedef uint32_t type; };

template <class T> constexpr bool is_signed = T(-1) < T(1);
template <class T> ACCELNN_INLINE bool negative(T x) { return is_signed<T> && x < T(1) && x != 0; }

template <class T> ACCELNN_INLINE T quotient(T a, T b) {
  if (b == 0) return 0;
  return is_signed<T> && b == T(-1) ? T(typename Unsigned<T>::type(0) - typename Unsigned<T>::type(a)) : T(a / b);      // the least number / -1 would trap
}
template <class T> ACCELNN_INLINE T left_over(T a, T b) { return b == 0 || (is_signed<T> && b == T(-1)) ? T(0) : T(a % b); }

template <ArithmeticKind kind, class T> ACCELNN_INLINE auto of(T a, T b) {
  typedef typename Unsigned<T>::type U;
  constexpr int64_t bits = int64_t(8 * sizeof(T));
  if constexpr (kind == ArithmeticKind::add) return T(U(a) + U(b));
  else if constexpr (kind == ArithmeticKind::sub) return T(U(a) - U(b));
  else if constexpr (kind == ArithmeticKind::mul) return T(U(a) * U(b));
  else if constexpr (kind == ArithmeticKind::div) return quotient(a, b);
  else if constexpr (kind == ArithmeticKind::fmod) return left_over(a, b);
  else if constexpr (kind == ArithmeticKind::mod) {
    const T r = left_over(a, b);
    return r != 0 && negative(r) != negative(b) ? T(r + b) : r;
  } else if constexpr (kind == ArithmeticKind::pow) {
    if (negative(b)) return a == 1 || (a == T(-1) && b % 2 == 0) ? T(1) : a == T(-1) ? T(-1)
                                                                                     : T(0);
    U result = 1, base = U(a);
    for (uint64_t e = uint64_t(b); e; e >>= 1) {
      if (e & 1) result *= base;
      base *= base;
    }
    return T(result);
  } else if constexpr (kind == ArithmeticKind::max) return a > b ? a : b;
  else if constexpr (kind == ArithmeticKind::min) return a < b ? a : b;
  else if constexpr (kind == ArithmeticKind::bit_and) return T(a & b);
  else if constexpr (kind == ArithmeticKind::bit_or) return T(a | b);
  else if constexpr (kind == ArithmeticKind::bit_xor) return T(a ^ b);
  else if constexpr (kind == ArithmeticKind::shift_left) return int64_t(b) < 0 || int64_t(b) >= bits ? T(0) : T(U(a) << int64_t(b));
  else if constexpr (kind == ArithmeticKind::shift_right) return int64_t(b) < 0 || int64_t(b) >= bits ? (negative(a) ? T(-1) : T(0)) : T(a >> int64_t(b));
  else if constexpr (kind == ArithmeticKind::eq) return a == b;
  else if constexpr (kind == ArithmeticKind::ne) return a != b;
  else if constexpr (kind == ArithmeticKind::lt) return a < b;
  else if constexpr (kind == ArithmeticKind::le) return a <= b;
  else if constexpr (kind == ArithmeticKind::gt) return a > b;
  else if constexpr (kind == ArithmeticKind::ge) return a >= b;
  else if constexpr (kind == ArithmeticKind::neg) return T(U(0) - U(a));
  else if constexpr (kind == ArithmeticKind::abs) return negative(a) ? T(U(0) - U(a)) : a;
  else if constexpr (kind == ArithmeticKind::sign) return T(negative(a) ? -1 : a != 0);
  else if constexpr (T(2) == T(1)) return !a;                  // bool
  else return T(~a);
}

}  // namespace arithmetic_function
}  // namespace accelnn
