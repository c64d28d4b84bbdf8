// What each kind is, for one pair of elements.
#pragma once
#include "integer/integer.h"

namespace accelnn {
namespace integer_function {

template <class T> struct Unsigned { typedef uint64_t type; };
template <> struct Unsigned<int32_t> { typedef uint32_t type; };
template <> struct Unsigned<int8_t> { typedef uint32_t type; };
template <> struct Unsigned<uint8_t> { typedef uint32_t type; };

template <class T> ACCELNN_INLINE T quotient(T a, T b) {
  if (b == 0) return 0;
  return T(-1) < T(0) && b == T(-1) ? T(typename Unsigned<T>::type(0) - typename Unsigned<T>::type(a)) : T(a / b);      // the least number / -1 would trap
}
template <class T> ACCELNN_INLINE T left_over(T a, T b) { return b == 0 || (T(-1) < T(0) && b == T(-1)) ? T(0) : T(a % b); }

template <IntegerKind kind, class T> ACCELNN_INLINE auto of(T a, T b) {
  typedef typename Unsigned<T>::type U;
  constexpr int64_t bits = int64_t(8 * sizeof(T));
  constexpr bool is_signed = T(-1) < T(0);
  if constexpr (kind == IntegerKind::add) return T(U(a) + U(b));
  else if constexpr (kind == IntegerKind::sub) return T(U(a) - U(b));
  else if constexpr (kind == IntegerKind::mul) return T(U(a) * U(b));
  else if constexpr (kind == IntegerKind::div) return quotient(a, b);
  else if constexpr (kind == IntegerKind::fmod) return left_over(a, b);
  else if constexpr (kind == IntegerKind::mod) {
    const T r = left_over(a, b);
    return r != 0 && ((r < 0) != (b < 0)) ? T(r + b) : r;
  } else if constexpr (kind == IntegerKind::pow) {
    if (is_signed && b < 0) return a == 1 || (a == T(-1) && b % 2 == 0) ? T(1) : a == T(-1) ? T(-1)
                                                                                            : T(0);
    U result = 1, base = U(a);
    for (uint64_t e = uint64_t(b); e; e >>= 1) {
      if (e & 1) result *= base;
      base *= base;
    }
    return T(result);
  } else if constexpr (kind == IntegerKind::max) return a > b ? a : b;
  else if constexpr (kind == IntegerKind::min) return a < b ? a : b;
  else if constexpr (kind == IntegerKind::bit_and) return T(a & b);
  else if constexpr (kind == IntegerKind::bit_or) return T(a | b);
  else if constexpr (kind == IntegerKind::bit_xor) return T(a ^ b);
  else if constexpr (kind == IntegerKind::shift_left) return int64_t(b) < 0 || int64_t(b) >= bits ? T(0) : T(U(a) << int64_t(b));
  else if constexpr (kind == IntegerKind::shift_right) return int64_t(b) < 0 || int64_t(b) >= bits ? (a < 0 ? T(-1) : T(0)) : T(a >> int64_t(b));
  else if constexpr (kind == IntegerKind::eq) return a == b;
  else if constexpr (kind == IntegerKind::ne) return a != b;
  else if constexpr (kind == IntegerKind::lt) return a < b;
  else if constexpr (kind == IntegerKind::le) return a <= b;
  else if constexpr (kind == IntegerKind::gt) return a > b;
  else if constexpr (kind == IntegerKind::ge) return a >= b;
  else if constexpr (kind == IntegerKind::neg) return T(U(0) - U(a));
  else if constexpr (kind == IntegerKind::abs) return a < 0 ? T(U(0) - U(a)) : a;
  else if constexpr (kind == IntegerKind::sign) return T(a > 0 ? 1 : a < 0 ? -1
                                                                           : 0);
  else if constexpr (T(2) == T(1)) return !a;                  // bool
  else return T(~a);
}

}  // namespace integer_function
}  // namespace accelnn
