#include "npy.h"
#include <cerrno>
#include <cstdio>                       // rename
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "alloc.h"
#include "text.h"

namespace accelnn {
namespace npy {

namespace {

struct Type {
  const char* descr;
  DType dtype;
};
constexpr Type types[] = {{"<f4", DType::f32}, {"<f2", DType::f16}, {"|i1", DType::i8}, {"|u1", DType::u8},  // little-endian or bytes
                          {"<i4", DType::i32},
                          {"<i8", DType::i64},
                          {"|b1", DType::boolean},
                          {"<f8", DType::f64},
                          {"<i2", DType::i16},
                          {"<u2", DType::u16},
                          {"<u4", DType::u32},
                          {"<u8", DType::u64}};
constexpr int64_t max_bytes = int64_t(1) << 44;

// The header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. Read strictly, keys in any order.
struct Literal {
  const char* at;
  const char* end;

  void blanks() {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t')) at++;
  }
  bool take(char c) {
    blanks();
    if (at == end || *at != c) return false;
    at++;
    return true;
  }
  bool word(const char* w) {
    blanks();
    const size_t n = strlen(w);
    if (size_t(end - at) < n || memcmp(at, w, n)) return false;
    at += n;
    return true;
  }
  bool text(char* to, size_t room) {    // 'descr', or "descr"
    blanks();
    if (at == end || (*at != '\'' && *at != '"')) return false;
    const char quote = *at++;
    size_t n = 0;
    for (; at < end && *at != quote; at++) {
      if (*at < 0x20 || *at > 0x7e || *at == '\\' || n + 1 == room) return false;
      to[n++] = *at;
    }
    to[n] = 0;
    return at < end && *at++ == quote;
  }
  bool number(int64_t* x) {
    blanks();
    const char* first = at;
    *x = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
      if (__builtin_mul_overflow(*x, 10, x) || __builtin_add_overflow(*x, *at - '0', x)) return false;
    return at > first;
  }
};

Status descr(const char* name, DType* dtype) {
  for (const Type& t : types)
    if (!strcmp(name, t.descr) || (t.descr[0] == '|' && (name[0] == '<' || name[0] == '=') && !strcmp(name + 1, t.descr + 1)) ||
        (t.descr[0] == '<' && name[0] == '=' && !strcmp(name + 1, t.descr + 1))) {
      *dtype = t.dtype;
      return {};
    }
  ACCELNN_CHECK(name[0] != '>', dtype, "npy: '%s' is big-endian; in numpy: x.astype(x.dtype.newbyteorder('<'))", name);
  return fail(Code::dtype, "npy: elements of type '%s' are not supported; floats, integers and b1 are", name);
}

Status literal(Literal p, Header* h) {
  const auto malformed = [] { return fail(Code::format, "npy: the header is malformed"); };
  bool seen[3] = {};
  if (!p.take('{')) return malformed();
  while (!p.take('}')) {
    char key[16], name[24];
    if (!p.text(key, sizeof key) || !p.take(':')) return malformed();
    const int which = !strcmp(key, "descr") ? 0 : !strcmp(key, "fortran_order") ? 1
        : !strcmp(key, "shape")                                                 ? 2
                                                                                : 3;
    if (which == 3 || seen[which]) return malformed();
    seen[which] = true;
    if (which == 0) {
      ACCELNN_CHECK(p.text(name, sizeof name), dtype, "npy: arrays with fields are not supported");
      ACCELNN_TRY(descr(name, &h->dtype));
    } else if (which == 1) {
      ACCELNN_CHECK(!p.word("True"), unsupported, "npy: the array is in Fortran order; in numpy: numpy.ascontiguousarray(x)");
      if (!p.word("False")) return malformed();
    } else {
      if (!p.take('(')) return malformed();
      h->rank = 0;
      while (!p.take(')')) {
        ACCELNN_CHECK(h->rank < max_rank, shape, "npy: an array of more than %d dimensions", max_rank);
        if (!p.number(&h->shape[h->rank++])) return malformed();
        if (!p.take(',')) {
          if (h->rank == 1 || !p.take(')')) return malformed();       // (3) is a number, (3,) a tuple
          break;
        }
      }
    }
    if (!p.take(',')) {
      if (!p.take('}')) return malformed();
      break;
    }
  }
  p.blanks();
  if (p.at != p.end || !seen[0] || !seen[1] || !seen[2]) return malformed();
  return {};
}

float widened(uint16_t bf16) {
  const uint32_t bits = uint32_t(bf16) << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

bool read_all(int fd, void* to, size_t n) {
  for (char* at = static_cast<char*>(to); n;) {
    const ssize_t got = read(fd, at, n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    n -= size_t(got);
  }
  return true;
}

Status load_from(int fd, const char* path, TensorView* view) {
  struct stat info;
  ACCELNN_CHECK(!fstat(fd, &info) && S_ISREG(info.st_mode), format, "%.160s: not a file", path);
  const size_t n = info.st_size < int64_t(longest_header) ? size_t(info.st_size) : longest_header;
  char* start = static_cast<char*>(allocate(longest_header));
  ACCELNN_CHECK(start, memory, "no memory for %zu bytes", longest_header);
  Header h;
  Status s = read_all(fd, start, n) ? parse(start, n, info.st_size, &h) : fail(Code::format, "cannot be read");
  release(start);
  if (!s.ok()) return fail(s.code, "%.100s: %s", path, s.text);

  view->dtype = h.dtype;
  view->rank = h.rank;
  for (int i = 0; i < h.rank; i++) view->shape[i] = h.shape[i];
  view->set_contiguous();
  view->data = allocate(size_t(h.bytes));
  ACCELNN_CHECK(view->data, memory, "%.100s: no memory for %lld bytes", path, static_cast<long long>(h.bytes));
  if (lseek(fd, h.data, SEEK_SET) == h.data && read_all(fd, view->data, size_t(h.bytes))) return {};
  release(view->data);
  view->data = nullptr;
  return fail(Code::format, "%.160s: cannot be read to its end", path);
}

bool write_to(int fd, const TensorView& view) {
  const char* name = "<f4";             // what bf16 becomes
  for (const Type& t : types)
    if (t.dtype == view.dtype) name = t.descr;
  char start[256] = "\x93NUMPY\1";     // version 1.0, the length of the header, the header
  char* text = start + 10;
  constexpr size_t room = sizeof start - 10;
  int n = format(text, room, "{'descr': '%s', 'fortran_order': False, 'shape': (", name);
  for (int i = 0; i < view.rank; i++)
    n += format(text + n, room - size_t(n), i ? " %lld," : "%lld,", static_cast<long long>(view.shape[i]));
  if (view.rank > 1) n--;               // numpy writes (3,) but (3, 4)
  n += format(text + n, room - size_t(n), "), }");
  const int padded = (10 + n + 1 + 63) / 64 * 64 - 10;           // the data begins at a multiple of 64
  format(text + n, room - size_t(n), "%*s\n", padded - n - 1, "");
  start[8] = char(padded);
  start[9] = char(padded >> 8);
  bool ok = write_all(fd, start, size_t(10 + padded));
  const size_t count = size_t(view.count());
  if (view.dtype != DType::bf16) return ok && write_all(fd, view.data, count * size_of(view.dtype));
  float wide[1024];
  for (size_t i = 0; ok && i < count;) {
    size_t k = 0;
    while (k < sizeof wide / sizeof *wide && i < count) wide[k++] = widened(view.as<uint16_t>()[i++]);
    ok = write_all(fd, wide, k * sizeof *wide);
  }
  return ok;
}

}  // namespace

Status parse(const void* start, size_t n, int64_t file_bytes, Header* h) {
  const unsigned char* p = static_cast<const unsigned char*>(start);
  ACCELNN_CHECK(n >= 10 && !memcmp(p, "\x93NUMPY", 6), format, "npy: not a .npy file");
  ACCELNN_CHECK((p[6] == 1 || p[6] == 2) && p[7] == 0, format, "npy: version %d.%d; 1.0 and 2.0 are supported", p[6], p[7]);
  const size_t before = p[6] == 1 ? 10 : 12;
  ACCELNN_CHECK(n >= before, format, "npy: the file is cut short");
  const size_t length = p[6] == 1 ? size_t(p[8]) | size_t(p[9]) << 8 : size_t(p[8]) | size_t(p[9]) << 8 | size_t(p[10]) << 16 | size_t(p[11]) << 24;
  ACCELNN_CHECK(length <= longest_header - before && length <= n - before, format, "npy: the file is cut short, or its header is too long");
  *h = Header();
  const char* text = static_cast<const char*>(start) + before;
  ACCELNN_TRY(literal({text, text + length}, h));
  h->data = int64_t(before + length);
  h->bytes = int64_t(size_of(h->dtype));
  bool empty = false;
  for (int i = 0; i < h->rank; i++) {
    empty |= h->shape[i] == 0;
    ACCELNN_CHECK(!__builtin_mul_overflow(h->bytes, h->shape[i] ? h->shape[i] : 1, &h->bytes) && h->bytes <= max_bytes, shape,
                  "npy: an array with %lld elements along axis %d is too large", static_cast<long long>(h->shape[i]), i);
  }
  if (empty) h->bytes = 0;
  ACCELNN_CHECK(file_bytes - h->data == h->bytes, format, "npy: the shape needs %lld bytes, the file has %lld", static_cast<long long>(h->bytes),
                static_cast<long long>(file_bytes - h->data));
  return {};
}

Status load(const char* path, TensorView* view) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  ACCELNN_CHECK(fd >= 0, format, "%.160s: %s", path, strerror(errno));
  Status s = load_from(fd, path, view);
  close(fd);
  return s;
}

Status save(const char* path, const TensorView& view) {
  char beside[4096];
  const int n = format(beside, sizeof beside, "%s.%ld.tmp", path, static_cast<long>(getpid()));
  ACCELNN_CHECK(n > 0 && n < int(sizeof beside), unsupported, "the path of the output is too long");
  const int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  ACCELNN_CHECK(fd >= 0, unsupported, "%.160s: %s", path, strerror(errno));
  bool ok = write_to(fd, view);
  int why = errno;
  if (close(fd) && ok) ok = false, why = errno;
  if (ok && !rename(beside, path)) return {};
  if (ok) why = errno;
  unlink(beside);
  return fail(Code::unsupported, "%.160s: cannot be written: %s", path, strerror(why));
}

}  // namespace npy
}  // namespace accelnn
