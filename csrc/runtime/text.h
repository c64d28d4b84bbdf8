// Text for people without the C library's printf: that, and the streams below it, is 12 KB of a static program (musl); this is 2.4.
#pragma once
#include <cstdarg>
#include <cstddef>

namespace accelnn {

// snprintf for these and no others (tests/test_cpp.py reads every literal): %% %s %c %d %u %f %g, with l, ll or z before d and u, the flags - and 0,
// a width, a precision for s, f and g (at most 64 digits), either as a star too. Never writes more than `n` bytes, ends them with a zero (unless n is
// 0), gives the length that the whole text has. Floating point is rounded from its exact value, half to even: the same text as glibc's.
int format(char* to, size_t n, const char* text, ...) __attribute__((format(printf, 3, 4), cold));
int vformat(char* to, size_t n, const char* text, va_list arguments) __attribute__((format(printf, 3, 0), cold));

bool write_all(int fd, const void* bytes, size_t n);                 // false: errno says why

}  // namespace accelnn
