#include "reader.h"
#include <cstring>
#include "array.h"
#include "flow.h"

namespace accelnn {
namespace plan {

namespace {

constexpr uint64_t odd = 0x9E3779B97F4A7C15u;

ACCELNN_INLINE uint64_t stir(uint64_t lane, uint64_t word) {
  const uint64_t x = (lane ^ word) * odd;
  return x << 29 | x >> 35;
}

ACCELNN_INLINE uint64_t word_at(const char* p) {
  uint64_t w;
  __builtin_memcpy(&w, p, sizeof w);
  return w;
}

long long ll(int64_t x) { return static_cast<long long>(x); }

#define FORMAT(condition, ...) ACCELNN_CHECK(condition, format, "damaged or hostile Plan: " __VA_ARGS__)

// UTF-8 without control characters (names are printed to terminals), surrogates and overlong forms.
bool printable(const char* text, int64_t n) {
  const unsigned char* p = reinterpret_cast<const unsigned char*>(text);
  for (int64_t i = 0; i < n;) {
    const unsigned c = p[i++];
    if (c < 0x80) {
      if (c < 0x20 || c == 0x7f) return false;
      continue;
    }
    const int more = c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2
        : c >= 0xf0 && c < 0xf5                                        ? 3
                                                                       : 0;
    if (!more || n - i < more) return false;
    unsigned code = c & (0x3fu >> more);
    for (int k = 0; k < more; k++) {
      if ((p[i] & 0xc0) != 0x80) return false;
      code = code << 6 | (p[i++] & 0x3fu);
    }
    if ((more == 2 && code < 0x800) || (more == 3 && (code < 0x10000 || code > 0x10ffff)) || (code >= 0xd800 && code < 0xe000) ||
        code < 0xa0) return false;
  }
  return true;
}

struct Reader {
  const char* base;
  File& f;
  Array<uint8_t> written;               // of every buffer: some call so far writes it

  Status header(size_t n);
  Status sections();
  Status text(Text t, const char* what, int64_t i);
  Status expression(Expr e, const char* what, int64_t i) { return check_expression(f, e, what, i); }
  Status dims();
  Status buffers();
  Status values();
  Status attrs();
  Status calls();
  Status touch(uint32_t value, int64_t call, bool writes);
  Status ports();
};

Status Reader::header(size_t n) {
  Header h;
  ACCELNN_CHECK(n >= sizeof h, format, "not a Plan: %zu bytes, its header alone has %zu", n, sizeof h);
  memcpy(&h, base, sizeof h);
  ACCELNN_CHECK(!memcmp(h.magic, magic, sizeof magic), format, "not a Plan: it does not begin with '%.8s'", magic);
  ACCELNN_CHECK(h.version == version, format, "Plan of version %u; this library reads version %u", h.version, version);
  ACCELNN_CHECK(h.bytes <= n, format, "Plan is cut short: %zu of %llu bytes are there", n, static_cast<unsigned long long>(h.bytes));
  ACCELNN_CHECK(h.bytes == n, format, "Plan of %llu bytes is followed by %llu more", static_cast<unsigned long long>(h.bytes),
                static_cast<unsigned long long>(n - h.bytes));
  ACCELNN_CHECK(n <= size_t(max_bytes), format, "Plan of %zu bytes: the limit is %lld", n, ll(max_bytes));
  FORMAT(h.n_sections <= max_sections && sizeof h + h.n_sections * sizeof(Section) <= n, "%u sections", h.n_sections);
  ACCELNN_CHECK(checksum(base + sizeof h, n - sizeof h) == h.checksum, format, "Plan is damaged: its checksum does not match its %zu bytes", n);
  f.bytes = n;
  return {};
}

template <class T> Status take(const Section& s, const char* base, int64_t limit, Span<T>* span) {
  FORMAT(s.count <= limit, "section %u has %u elements, the limit is %lld", s.kind, s.count, ll(limit));
  FORMAT(s.bytes == s.count * uint64_t(sizeof(T)), "section %u has %llu bytes for %u elements of %zu", s.kind,
         static_cast<unsigned long long>(s.bytes),
         s.count, sizeof(T));
  span->at = reinterpret_cast<const T*>(base + s.offset);
  span->count = s.count;
  return {};
}

Status Reader::sections() {
  Header h;
  memcpy(&h, base, sizeof h);
  const uint64_t behind_table = sizeof h + h.n_sections * sizeof(Section);
  uint64_t seen = 0;
  for (uint32_t i = 0; i < h.n_sections; i++) {
    Section s;
    memcpy(&s, base + sizeof h + i * sizeof s, sizeof s);
    FORMAT(s.offset % section_alignment == 0 && s.offset >= behind_table, "section %u (kind %u) begins at %llu", i, s.kind,
           static_cast<unsigned long long>(s.offset));
    FORMAT(s.offset <= f.bytes && s.bytes <= f.bytes - s.offset, "section %u (kind %u) reaches behind the file's end", i, s.kind);
    if (s.kind < 64) {
      FORMAT(!(seen >> s.kind & 1), "two sections of kind %u", s.kind);
      seen |= uint64_t(1) << s.kind;
    }
    const auto raw = [&](Span<char>* span) { span->at = base + s.offset; span->count = int64_t(s.bytes); };
    switch (SectionKind(s.kind)) {
      case SectionKind::strings:
        FORMAT(s.bytes <= 1u << 28, "strings of %llu bytes", static_cast<unsigned long long>(s.bytes));
        raw(&f.strings);
        break;
      case SectionKind::weights: raw(&f.weights); break;
      case SectionKind::graph:
        FORMAT(!f.graph.at, "two sections of kind %u", s.kind);
        raw(&f.graph);
        break;
      case SectionKind::numbers: ACCELNN_TRY(take(s, base, 16 * max_count, &f.numbers)); break;
      case SectionKind::dims: ACCELNN_TRY(take(s, base, max_dims, &f.dims)); break;
      case SectionKind::buffers: ACCELNN_TRY(take(s, base, max_count, &f.buffers)); break;
      case SectionKind::values: ACCELNN_TRY(take(s, base, max_count, &f.values)); break;
      case SectionKind::attrs: ACCELNN_TRY(take(s, base, max_count, &f.attrs)); break;
      case SectionKind::operands: ACCELNN_TRY(take(s, base, max_count, &f.operands)); break;
      case SectionKind::calls: ACCELNN_TRY(take(s, base, max_count, &f.calls)); break;
      case SectionKind::blocks: ACCELNN_TRY(take(s, base, max_count, &f.blocks)); break;
      case SectionKind::ports: ACCELNN_TRY(take(s, base, max_ports, &f.ports)); break;
      case SectionKind::flows: raw(&f.flow_section); break;
      case SectionKind::slices: raw(&f.slice_section); break;
      default: FORMAT(s.kind > 64, "section %u is of unknown kind %u", i, s.kind);
    }
  }
  FORMAT((f.blocks.count == 1 || f.flow_section.count) && f.blocks.count && f.blocks[0].first_call == 0 && f.blocks[0].n_calls == f.calls.count,
         "block 0 is not of all %lld calls, or there are others", ll(f.calls.count));
  return {};
}

Status Reader::text(Text t, const char* what, int64_t i) {
  FORMAT(t.offset <= f.strings.count && t.length <= f.strings.count - t.offset && t.length <= max_text, "the name of %s %lld is not in the strings",
         what, ll(i));
  FORMAT(printable(f.strings.at + t.offset, t.length), "the name of %s %lld is not printable UTF-8", what, ll(i));
  return {};
}

Status Reader::dims() {
  for (int64_t i = 0; i < f.dims.count; i++) {
    const Dim& d = f.dims[i];
    ACCELNN_TRY(text(d.name, "dim", i));
    FORMAT(d.lower >= 0 && d.upper >= 0 && d.upper <= max_elements && d.lower <= (d.upper ? d.upper : max_elements),
           "dim %lld is bounded by %lld and %lld",
           ll(i), ll(d.lower), ll(d.upper));
  }
  return {};
}

Status Reader::buffers() {
  int64_t temporaries = 0;
  for (int64_t i = 0; i < f.buffers.count; i++) {
    const Buffer& b = f.buffers[i];
    FORMAT(b.storage <= Storage::constant, "buffer %lld is of unknown storage %u", ll(i), uint32_t(b.storage));
    if (b.storage == Storage::temporary) {
      FORMAT(++temporaries <= max_temporaries, "more than %lld temporaries", ll(max_temporaries));
      FORMAT(b.first <= b.last && b.last < f.calls.count, "temporary %lld lives from call %u to %u of %lld", ll(i), b.first, b.last,
             ll(f.calls.count));
      ACCELNN_TRY(expression(b.bytes, "buffer", i));
    } else if (b.storage == Storage::constant) {
      const uint64_t all = uint64_t(f.weights.count);
      FORMAT(b.offset % section_alignment == 0 && b.offset <= all && b.length <= all - b.offset, "constant %lld is not in the weights", ll(i));
    }
  }
  return written.resize(f.buffers.count);
}

Status Reader::values() {
  for (int64_t i = 0; i < f.values.count; i++) {
    const Value& v = f.values[i];
    FORMAT(v.buffer < f.buffers.count, "value %lld is in buffer %u of %lld", ll(i), v.buffer, ll(f.buffers.count));
    FORMAT(v.dtype < n_dtypes, "value %lld has the unknown dtype %u", ll(i), v.dtype);
    FORMAT(v.rank <= max_rank, "value %lld has rank %u, the limit is %d", ll(i), v.rank, max_rank);
    ACCELNN_TRY(expression(v.offset, "value", i));
    for (int k = 0; k < v.rank; k++) {
      ACCELNN_TRY(expression(v.shape[k], "value", i));
      ACCELNN_TRY(expression(v.stride[k], "value", i));
    }
  }
  return {};
}

Status Reader::attrs() {
  for (int64_t i = 0; i < f.attrs.count; i++) {
    const AttrValue& a = f.attrs[i];
    FORMAT(a.kind <= attr_expression, "attribute %lld is of unknown kind %u", ll(i), a.kind);
    if (a.kind == 2)
      FORMAT(a.value >= 0 && a.value <= f.numbers.count && a.count <= f.numbers.count - a.value, "the list of attribute %lld is not in the numbers",
             ll(i));
    if (a.kind == attr_expression) {
      FORMAT(a.value >= 0 && a.value <= f.numbers.count, "the expression of attribute %lld is not in the numbers", ll(i));
      ACCELNN_TRY(expression({uint32_t(a.value), a.count}, "attribute", i));
    }
  }
  return {};
}

Status Reader::touch(uint32_t value, int64_t call, bool writes) {
  if (value == no_value) return {};
  FORMAT(value < f.values.count, "call %lld names value %u of %lld", ll(call), value, ll(f.values.count));
  const uint32_t at = f.values[value].buffer;
  const Buffer& b = f.buffers[at];
  if (b.storage == Storage::temporary)
    FORMAT(b.first <= call && call <= b.last, "call %lld touches temporary %u, which lives from call %u to %u", ll(call), at, b.first, b.last);
  if (writes) {
    FORMAT(b.storage != Storage::input && b.storage != Storage::constant, "call %lld writes buffer %u, an input or a constant", ll(call), at);
    written[at] = 1;
  } else {
    // What no call has written may hold an earlier run's data: not dangerous, but not a result of this run's inputs either.
    FORMAT(written[at] || f.flow_section.count || (b.storage != Storage::temporary && b.storage != Storage::output),
           "call %lld reads buffer %u before any call writes it", ll(call), at);
  }
  return {};
}

Status Reader::calls() {
  uint64_t next_attr = 0, next_operand = 0;
  for (int64_t i = 0; i < f.calls.count; i++) {
    const CallRecord& c = f.calls[i];
    ACCELNN_TRY(text(c.op, "the op of call", i));
    ACCELNN_TRY(text(c.label, "call", i));
    // One after the other, so that their sum is bounded by the file.
    FORMAT(c.first_attr == next_attr && c.n_attrs <= uint64_t(f.attrs.count) - next_attr, "the attributes of call %lld do not follow those before",
           ll(i));
    next_attr += c.n_attrs;
    const uint64_t n = uint64_t(c.n_in) + c.n_out;
    FORMAT(c.first_operand == next_operand && n <= uint64_t(f.operands.count) - next_operand, "the operands of call %lld do not follow those before",
           ll(i));
    for (uint64_t k = 0; k < n; k++) ACCELNN_TRY(touch(f.operands[int64_t(next_operand + k)], i, k >= c.n_in));
    next_operand += n;
  }
  return {};
}

Status Reader::ports() {
  int64_t n[3] = {0, 0, 0};
  uint32_t before = 0;
  Array<uint8_t> claimed;
  ACCELNN_TRY(claimed.resize(f.buffers.count));
  for (int64_t i = 0; i < f.ports.count; i++) {
    const Port& p = f.ports[i];
    const uint32_t kind = uint32_t(p.kind);
    FORMAT(kind <= 2 && kind >= before, "port %lld is of kind %u: inputs, outputs, states come in this order", ll(i), kind);
    before = kind;
    ACCELNN_TRY(text(p.name, "port", i));
    FORMAT(p.value < f.values.count, "port %lld names value %u of %lld", ll(i), p.value, ll(f.values.count));
    const uint32_t at = f.values[p.value].buffer;
    const Buffer& b = f.buffers[at];
    FORMAT(uint32_t(b.storage) == kind + 1 && b.port == n[kind], "port %lld and buffer %u do not belong together", ll(i), at);
    FORMAT(p.kind != PortKind::output || written[at], "no call writes output %lld", ll(n[kind]));
    claimed[at] = uint8_t(1 + f.values[p.value].dtype);
    n[kind]++;
  }
  for (int64_t i = 0; i < f.buffers.count; i++) {
    const Storage s = f.buffers[i].storage;
    FORMAT(claimed[i] || s == Storage::temporary || s == Storage::constant, "buffer %lld belongs to no port", ll(i));
  }
  for (int64_t i = 0; i < f.values.count; i++) {
    const uint8_t type = claimed[f.values[i].buffer];    // a caller's memory is aligned to its own element and no further
    FORMAT(!type || type == 1 + f.values[i].dtype, "value %lld has another dtype than the port that it lies in", ll(i));
  }
  return {};
}

}  // namespace

Status check_expression(const File& f, Expr e, const char* what, int64_t i) {
  FORMAT(e.terms >= 1 && e.terms <= max_terms && e.offset <= f.numbers.count && 2 * int64_t(e.terms) <= f.numbers.count - e.offset,
         "an expression of %s %lld is not in the numbers", what, ll(i));
  int depth = 0;
  for (uint32_t k = 0; k < e.terms; k++) {
    const int64_t code = f.numbers[e.offset + 2 * k], argument = f.numbers[e.offset + 2 * k + 1];
    FORMAT(code >= 0 && code <= int64_t(Term::min), "an expression of %s %lld has the unknown term %lld", what, ll(i), ll(code));
    FORMAT(Term(code) != Term::dim || (argument >= 0 && argument < f.dims.count), "an expression of %s %lld names dim %lld of %lld", what, ll(i),
           ll(argument), ll(f.dims.count));
    depth += code <= int64_t(Term::dim) ? 1 : -1;
    FORMAT(depth >= 1, "an expression of %s %lld takes more operands than it has", what, ll(i));
  }
  FORMAT(depth == 1, "an expression of %s %lld leaves %d results", what, ll(i), depth);
  return {};
}

uint64_t checksum(const void* bytes, size_t n) {
  const char* p = static_cast<const char*>(bytes);
  constexpr size_t stripe = 32;
  uint64_t a = odd, b = odd * 3, c = odd * 5, d = odd * 7;     // names, not an array: g++ -O2 leaves an array in memory, at a third of the speed
  const auto take = [&](const char* at) __attribute__((always_inline)) {
    a = stir(a, word_at(at));
    b = stir(b, word_at(at + 8));
    c = stir(c, word_at(at + 16));
    d = stir(d, word_at(at + 24));
  };
  size_t left = n;
  for (; left >= stripe; p += stripe, left -= stripe) take(p);
  if (left) {
    char last[stripe] = {};
    memcpy(last, p, left);
    take(last);
  }
  uint64_t h = stir(stir(stir(stir(stir(odd, n), a), b), c), d);
  return stir(h ^ h >> 32, 0);
}

Status read(const void* bytes, size_t n, File* file) {
  *file = File();
  Reader r{static_cast<const char*>(bytes), *file, {}};
  ACCELNN_TRY(r.header(n));
  ACCELNN_TRY(r.sections());
  ACCELNN_TRY(r.dims());
  ACCELNN_TRY(r.buffers());
  ACCELNN_TRY(r.values());
  ACCELNN_TRY(r.attrs());
  ACCELNN_TRY(r.calls());
  if (file->flow_section.count) {
    ACCELNN_CHECK(&flow_code, unsupported, "this program was built without the branches and loops that the Plan has");
    ACCELNN_TRY(flow_code.check(file, r.written.data()));
  }
  return r.ports();
}

Status evaluate(const File& file, Expr e, const int64_t* dims, int64_t* result) {
  const int64_t* at = file.numbers.at + e.offset;
  if (e.terms == 1) {
    *result = Term(at[0]) == Term::dim ? dims[at[1]] : at[1];
    return {};
  }
  int64_t stack[max_terms];
  int depth = 0;
  for (uint32_t k = 0; k < e.terms; k++, at += 2) {
    if (Term(at[0]) == Term::constant || Term(at[0]) == Term::dim) {
      stack[depth++] = Term(at[0]) == Term::dim ? dims[at[1]] : at[1];
      continue;
    }
    const int64_t b = stack[--depth], a = stack[depth - 1];
    int64_t& y = stack[depth - 1];
    bool overflow = false;
    switch (Term(at[0])) {
      case Term::add: overflow = __builtin_add_overflow(a, b, &y); break;
      case Term::sub: overflow = __builtin_sub_overflow(a, b, &y); break;
      case Term::mul: overflow = __builtin_mul_overflow(a, b, &y); break;
      case Term::floordiv:
      case Term::ceildiv:
        ACCELNN_CHECK(b, bound, "a size of this Plan divides by zero for these inputs");
        if ((overflow = a == INT64_MIN && b == -1)) break;
        y = a / b;
        if (a % b) {                    // C truncates toward zero
          const bool negative = (a < 0) != (b < 0);
          if (Term(at[0]) == Term::floordiv) y -= negative;
          else y += !negative;
        }
        break;
      case Term::max: y = a > b ? a : b; break;
      default: y = a < b ? a : b; break;
    }
    ACCELNN_CHECK(!overflow, bound, "a size of this Plan overflows for these inputs");
  }
  *result = stack[0];
  return {};
}

}  // namespace plan
}  // namespace accelnn
