#include "text.h"
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <unistd.h>

namespace accelnn {

namespace {

static_assert(sizeof(long) == 8 && sizeof(size_t) == 8, "l, ll and z are one");

constexpr int before = 310, behind = 1075;                           // digits a double may need around its point, and one more on each side
constexpr int most_digits = 64, longest = before + most_digits + 8;

struct Sink {
  char* to;
  size_t n, at;

  // One copy of each: inlined where they are called, clang's -Oz makes this file twice as large.
  __attribute__((noinline)) void put(const char* from, size_t count) {
    for (; count; count--, at++)
      if (at + 1 < n) to[at] = *from++;
  }
  __attribute__((noinline)) void fill(const char* with, size_t count) {
    while (count--) put(with, 1);
  }
};

__attribute__((noinline)) int unsigned_text(uint64_t v, char* end) {                           // the digits before `end`; how many
  char* at = end;
  do *--at = char('0' + v % 10);
  while (v /= 10);
  return int(end - at);
}

// |x|, finite, as %.<precision>f, or `general` as %.<precision>g. Every digit of x is written out: multiplications and divisions by powers of two, up to
// 2^56 at a time, on a row of decimal digits. A microsecond or so a number, and a quarter of the code of the same with limbs of 10^9.
int real_text(double x, int precision, bool general, char* text) {
  char d[before + behind] = {};
  uint64_t m;
  memcpy(&m, &x, sizeof m);
  int e = int(m >> 52 & 2047);
  m &= (uint64_t(1) << 52) - 1;
  if (e) m |= uint64_t(1) << 52;
  else e = 1;
  e -= 1075;
  for (int i = before; m; m /= 10) d[--i] = char(m % 10);
  while (e) {
    const int k = e > 56 || e < -56 ? 56 : e < 0 ? -e
                                                 : e;
    uint64_t carry = 0;
    if (e > 0) {
      for (int i = before; i-- > 0; carry /= 10) d[i] = char((carry += uint64_t(d[i]) << k) % 10);
      e -= k;
    } else {
      for (int i = 0; i < before + behind; i++) {
        carry = carry * 10 + uint64_t(d[i]);
        d[i] = char(carry >> k);
        carry &= (uint64_t(1) << k) - 1;
      }
      e += k;
    }
  }
  int first = 0;
  while (first < before + behind - 1 && !d[first]) first++;
  if (first == before + behind - 1) first = before - 1;              // zero
  if (precision > most_digits) precision = most_digits;
  if (general && !precision) precision = 1;
  int last = (general ? first : before) + precision;                 // the digits from here on are rounded away
  int up = d[last] > 5;
  if (d[last] == 5) {
    up = d[last - 1] & 1;
    for (int i = last + 1; i < before + behind; i++) up |= d[i];
  }
  if (up) {
    int i = last - 1;
    while (++d[i] > 9) d[i--] = 0;
    if (i < first) first = i;
  }
  const int exponent = before - 1 - first;
  const bool scientific = general && (exponent < -4 || exponent >= precision);
  if (general)
    while (last > first + 1 && !d[last - 1]) last--;
  const int point = scientific ? first + 1 : before;
  char* at = text;
  for (int i = first < point ? first : point - 1; i < last || i < point; i++) {
    if (i == point) *at++ = '.';
    *at++ = char('0' + d[i]);
  }
  if (scientific) {
    const int size = exponent < 0 ? -exponent : exponent;
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    at += size > 99 ? 3 : 2;
    at[-2] = '0';
    unsigned_text(uint64_t(size), at);
  }
  return int(at - text);
}

}  // namespace

int vformat(char* to, size_t n, const char* text, va_list arguments) {
  Sink sink = {to, n, 0};
  while (*text) {
    if (*text != '%') {
      sink.put(text++, 1);
      continue;
    }
    bool left = false, zeros = false, wide = false;
    for (text++; *text == '-' || *text == '0'; text++) (*text == '-' ? left : zeros) = true;
    int numbers[2] = {0, -1};           // width and precision
    for (int& number : numbers) {
      if (&number != numbers) {
        if (*text != '.') break;
        text++;
        number = 0;
      }
      if (*text == '*') {
        number = va_arg(arguments, int);
        text++;
      } else {
        while (*text >= '0' && *text <= '9') number = number * 10 + (*text++ - '0');
      }
    }
    int width = numbers[0], precision = numbers[1];
    if (width < 0) {
      left = true;
      width = -width;
    }
    for (; *text == 'l' || *text == 'z'; text++) wide = true;
    char own[longest];
    const char *word = own, *sign = "";
    size_t length = 1;
    switch (const char kind = *text++) {
      case '%': own[0] = kind; break;
      case 'c': own[0] = char(va_arg(arguments, int)); break;
      case 's':
        word = va_arg(arguments, const char*);
        if (!word) word = "(null)";
        length = strnlen(word, size_t(int64_t(precision < 0 ? -1 : precision)));
        break;
      case 'd':
      case 'u': {
        int64_t v = wide ? va_arg(arguments, int64_t) : va_arg(arguments, int);
        if (kind == 'u' && !wide) v &= 0xffffffff;
        if (kind == 'd' && v < 0) sign = "-";
        length = size_t(unsigned_text(*sign ? 0 - uint64_t(v) : uint64_t(v), own + sizeof own));
        word = own + sizeof own - length;
        break;
      }
      case 'f':
      case 'g': {
        const double x = va_arg(arguments, double);
        if (__builtin_signbit(x)) sign = "-";
        if (x - x == 0) {
          length = size_t(real_text(x, precision < 0 ? 6 : precision, kind == 'g', own));
        } else {
          word = x == x ? "inf" : "nan";
          length = 3;
          zeros = false;
        }
        break;
      }
      default: length = 0, text = "";   // no test lets it come here; what its argument would be, nobody knows
    }
    const size_t used = length + (*sign != 0), room = size_t(width) > used ? size_t(width) - used : 0;
    const size_t blanks = zeros && !left ? 0 : room;
    if (!left) sink.fill(" ", blanks);
    sink.put(sign, *sign != 0);
    sink.fill("0", room - blanks);
    sink.put(word, length);
    if (left) sink.fill(" ", blanks);
  }
  if (n) to[sink.at < n ? sink.at : n - 1] = 0;
  return int(sink.at);
}

int format(char* to, size_t n, const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  const int length = vformat(to, n, text, arguments);
  va_end(arguments);
  return length;
}

bool write_all(int fd, const void* bytes, size_t n) {
  for (const char* at = static_cast<const char*>(bytes); n;) {
    const ssize_t now = write(fd, at, n);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return false;
    at += now;
    n -= size_t(now);
  }
  return true;
}

}  // namespace accelnn
