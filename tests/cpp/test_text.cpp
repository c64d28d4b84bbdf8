// format against the C library's snprintf: same text, same length, never a byte too many.
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>
#include "check.h"
#include "text.h"

using accelnn::format;

static long long n_equal = 0;

// In a buffer of its own size, so that AddressSanitizer sees the byte behind it.
#define SAME(n, ...)                                                                                              \
  do {                                                                                                            \
    const size_t n_ = (n);                                                                                        \
    std::vector<char> ours_(n_, '#'), theirs_(n_, '#');                                                           \
    const int a_ = format(ours_.data(), n_, __VA_ARGS__), b_ = snprintf(theirs_.data(), n_, __VA_ARGS__);         \
    n_equal++;                                                                                                    \
    if (a_ != b_ || (n_ && strcmp(ours_.data(), theirs_.data()))) {                                               \
      printf("%s:%d: %s of %zu: %d '%s', expected %d '%s'\n", __FILE__, __LINE__, #__VA_ARGS__, n_, a_,           \
             n_ ? ours_.data() : "", b_, n_ ? theirs_.data() : "");                                               \
      exit(1);                                                                                                    \
    }                                                                                                             \
  } while (0)

#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wformat-overflow"

static void integers() {
  const long long corners[] = {0, 1, -1, 9, 10, -10, 99, 100, 12345, INT_MAX, INT_MIN, UINT_MAX, int64_t(UINT_MAX) + 1, LLONG_MAX, LLONG_MIN, LLONG_MIN + 1};
  for (const long long v : corners) {
    const int i = int(v);
    const unsigned u = unsigned(v);
    const unsigned long long w = static_cast<unsigned long long>(v);
    SAME(64, "%d|%u|%ld|%lld|%lu|%llu|%zu", i, u, long(v), v, static_cast<unsigned long>(v), w, size_t(v));
    SAME(200, "%4d|%-4d|%04d|%20d|%-20d|%020d|", i, i, i, i, i, i);
    SAME(200, "%5u|%-5u|%05u|%-12u|%012u|", u, u, u, u, u);
    SAME(200, "%4lld|%-4lld|%-5lld:|%25lld|%-25lld|%025lld|%30zu", v, v, v, v, v, v, size_t(v));
    for (const int width : {0, 1, 7, 30, -7, -30}) SAME(200, "%*d|%*lld|%-*d|%*u", width, i, width, v, width, i, width, u);
  }
}

static void words() {
  const char* long_word = "a word that is longer than any width used here";
  for (const char* s : {"", "x", "six ch", "twenty-four characters !", long_word}) {
    SAME(400, "%s", s);
    SAME(400, "%%%s%%", s);
    SAME(400, "[%-6s|%-24s|%24s|%-32s]", s, s, s, s);
    SAME(400, "[%.0s|%.1s|%.8s|%.24s|%.60s|%.160s]", s, s, s, s, s, s);
    SAME(400, "[%-22.22s|%22.5s]", s, s);
    for (const int n : {-3, -1, 0, 1, 3, 7, 30}) SAME(400, "[%.*s|%*s|%-*s|%*.*s]", n, s, n, s, n, s, n, n, s);
  }
  SAME(64, "%c%c|%3c|%-3c|", 'a', 'z', 'b', 'c');
  SAME(64, "100%%");
  SAME(8, "%c", 0);
  const char unended[3] = {'a', 'b', 'c'};
  SAME(64, "%.3s|%.*s", unended, 2, unended);
  const char* none = nullptr;
  char out[32];
  CHECK(format(out, sizeof out, "[%s]", none) == 8 && !strcmp(out, "[(null)]"));
}

static void cut() {
  for (size_t n = 0; n <= 80; n++) {
    SAME(n, "plain text, no conversion");
    SAME(n, "%s[%lld, %-8d%8s%10.4g|%.1f", "f32", 123456789012ll, -5, "right", 3.14159, 2.25);
    SAME(n, "%080d", 7);
    SAME(n, "%*s|%-70s|", 40, "", "wide");
  }
  CHECK(format(nullptr, 0, "%d", 12345) == 5);
  char far[9] = "########";             // what lies behind the zero stays
  CHECK(format(far, 4, "abcdefgh") == 8 && !strcmp(far, "abc") && !strcmp(far + 4, "####"));
}

static void real(double x) {
  SAME(500, "%g|%10.4g|%.1f|%.0f|%f", x, x, x, x, x);
}
static void reals() {
  const double corners[] = {0.0, 1, 0.5, 1.5, 2.5, 0.25, 0.35, 0.05, 0.15, 0.95, 9.95, 99.95, 999.95, 9999, 9999.5, 99995, 0.0001, 0.00001,
                            0.00009999, 0.000099995,
                            0.1, 1e5, 1e6, 999999, 999999.5, 1e15, 1e16, 1e22, 1e23, 1e100, 1e-100, 123456.789, 1e-5, 1.0 / 3, FLT_MAX, FLT_MIN, FLT_TRUE_MIN,
                            DBL_MAX, DBL_MIN, DBL_TRUE_MIN, DBL_EPSILON, 4503599627370495.5, 9007199254740993.0, INFINITY, NAN};
  for (const double x : corners)
    for (const double y : {x, -x}) {
      real(y);
      SAME(2000, "%10g|%-12g|%012g|%20.4g|%-20.4g|%020.4g|%8.1f|%-8.1f|%08.1f|", y, y, y, y, y, y, y, y, y);
      for (const int precision : {-1, 0, 1, 2, 3, 4, 6, 9, 15, 16, 17, 40, 64}) SAME(2000, "%.*g|%.*f|%14.*g", precision, y, precision, y, precision, y);
    }
  for (int e = -330; e <= 308; e++)     // the powers of ten and their neighbours
    for (const double x : {pow(10, e), nextafter(pow(10, e), 0), nextafter(pow(10, e), INFINITY)}) SAME(500, "%g|%.17g|%10.4g|%.1f", x, x, x, x);
  for (int i = -4000; i <= 4000; i++) SAME(100, "%.1f|%.2f|%.3g", i / 16.0, i / 16.0, i / 16.0);      // ties, among others
}

static uint64_t state = 1;
static uint64_t random_bits() {                       // splitmix64
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}
static void random_reals(int floats, int doubles) {
  char ours[512], theirs[512];
  for (int i = 0; i < floats + doubles; i++) {
    const uint64_t bits = random_bits();
    const uint32_t half = uint32_t(bits);
    double x;
    float f;
    memcpy(&x, &bits, sizeof x);
    memcpy(&f, &half, sizeof f);
    if (i % 2) f = float(int32_t(half)) * 0x1p-26f;   // and of the sizes that networks give
    if (i < floats) x = double(f);
    const int a = format(ours, sizeof ours, "%10.4g|%.1f", x, x), b = snprintf(theirs, sizeof theirs, "%10.4g|%.1f", x, x);
    if (a != b || strcmp(ours, theirs)) printf("%a: '%s', expected '%s'\n", x, ours, theirs);
    CHECK(a == b && !strcmp(ours, theirs));
  }
}

static void writing() {
  int ends[2];
  CHECK(!pipe(ends));
  std::string sent(1 << 20, 'a'), got;                // more than a pipe holds: many writes
  for (size_t i = 0; i < sent.size(); i++) sent[i] = char(i * 7);
  const pid_t child = fork();
  if (!child) {
    close(ends[0]);
    _exit(accelnn::write_all(ends[1], sent.data(), sent.size()) ? 0 : 1);
  }
  close(ends[1]);
  char part[5000];
  for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) got.append(part, size_t(n));
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && !status && got == sent);
  close(ends[0]);
  CHECK(!accelnn::write_all(-1, "x", 1) && accelnn::write_all(-1, "", 0));
}

int main(int argc, char**) {
  const bool quick = argc > 1;                        // under ThreadSanitizer, which has nothing to see here
  integers();
  words();
  cut();
  reals();
  random_reals(quick ? 2000 : 100'000, quick ? 500 : 5000);
  writing();
  n_checks += int(n_equal);
  return passed("text");
}
