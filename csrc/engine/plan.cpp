// The Plan's half of executor.h: what holds for every machine and every input shape.
#include "executor.h"
#include "text.h"
#include <sys/mman.h>

namespace accelnn {

using plan::PortKind;
using plan::Term;

namespace {

constexpr int64_t worth_huge_pages = int64_t(4) << 20;
constexpr int64_t max_names = int64_t(1) << 26;
const char* const kind_names[] = {"input", "output", "state"};

long long ll(int64_t x) { return static_cast<long long>(x); }

}  // namespace

ShapeText describe(const PortInfo& p) {
  ShapeText s;
  int at = format(s.text, sizeof s.text, "%s[", name_of(p.dtype));
  const auto room = [&] { return sizeof s.text - size_t(at); };
  for (int i = 0; i < p.rank && at < int(sizeof s.text) - 32; i++) {
    if (p.shape[i] >= 0) at += format(s.text + at, room(), "%s%lld", i ? ", " : "", ll(p.shape[i]));
    else at += format(s.text + at, room(), "%s%.24s", i ? ", " : "", p.dim_name[i] ? p.dim_name[i] : "?");
  }
  format(s.text + at, room(), "]");
  return s;
}

Status Plan::open(const void* bytes, size_t n, const Table* const* tables, int n_tables, Keep keep, Plan** result) {
  *result = nullptr;
  ACCELNN_CHECK(bytes, format, "no Plan: its bytes are a null pointer");
  Plan* p = create<Plan>();
  ACCELNN_CHECK(p, memory, "no memory for a Plan");
  Status s = [&]() -> Status {
    if (keep == Keep::copy || reinterpret_cast<uintptr_t>(bytes) % plan::section_alignment) {
      p->own_ = allocate(n);
      ACCELNN_CHECK(p->own_, memory, "no memory for a Plan of %zu bytes", n);
      memcpy(p->own_, bytes, n);
      bytes = p->own_;
    }
    ACCELNN_TRY(plan::read(bytes, n, &p->file_));
    return p->build(tables, n_tables, keep);
  }();
  if (!s.ok()) return close(p), s;
  *result = p;
  return {};
}

void Plan::close(Plan* p) { destroy(p); }

Plan::~Plan() {
  release(own_);
  release(own_weights_);
}

Status Plan::build(const Table* const* tables, int n_tables, Keep keep) {
  weights_ = file_.weights.at;
  mapped_ = keep == Keep::mapped && !own_;
  settled_ = (keep != Keep::borrow && keep != Keep::mapped) || own_ || file_.weights.count <= worth_huge_pages;
  ACCELNN_TRY(dims_.resize(file_.dims.count));
  ACCELNN_TRY(dim_source_.resize(file_.dims.count));
  ACCELNN_TRY(ports_.resize(file_.ports.count));
  ACCELNN_TRY(calls_.resize(file_.calls.count));
  ACCELNN_TRY(copy_names());
  ACCELNN_TRY(resolve_calls(tables, n_tables));
  return describe_ports();
}

void Plan::settle() const {
  if (__atomic_exchange_n(&settled_, true, __ATOMIC_ACQ_REL)) return;
  char* const room = static_cast<char*>(allocate(size_t(file_.weights.count)));
  if (!room) return;                    // then they stay in small pages
  constexpr int64_t step = int64_t(2) << 20, page = int64_t(1) << 16;      // the largest that Arm has
  for (int64_t at = 0; at < file_.weights.count; at += step) {
    const int64_t n = file_.weights.count - at < step ? file_.weights.count - at : step;
    const char* const from = file_.weights.at + at;
    memcpy(room + at, from, size_t(n));
    if (!mapped_) continue;             // else the process would hold them twice. A Run that still reads there finds the file's bytes again.
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(from) + page - 1) & -uintptr_t(page), end = reinterpret_cast<uintptr_t>(from + n) & -uintptr_t(page);
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  own_weights_ = room;
  __atomic_store_n(&weights_, static_cast<const char*>(room), __ATOMIC_RELEASE);
}

// The file's names end nowhere; C and format want a zero.
Status Plan::copy_names() {
  int64_t total = 1;
  for (const plan::Dim& d : file_.dims) total += d.name.length + 1;
  for (const plan::Port& p : file_.ports) total += p.name.length + 1;
  for (const plan::CallRecord& c : file_.calls) total += c.label.length + (c.label.length != 0);
  ACCELNN_CHECK(total <= max_names, format, "Plan with %lld bytes of names", ll(total));
  ACCELNN_TRY(names_.resize(total));
  char* at = names_.data() + 1;
  const auto keep = [&](plan::Text t) -> const char* {
    if (!t.length) return names_.data();
    char* name = at;
    memcpy(name, file_.strings.at + t.offset, t.length);
    at += t.length + 1;
    return name;
  };
  for (int64_t i = 0; i < dims_.size(); i++) dims_[i] = {keep(file_.dims[i].name), file_.dims[i].lower, file_.dims[i].upper};
  for (int64_t i = 0; i < ports_.size(); i++) ports_[i].info.name = keep(file_.ports[i].name);
  for (int64_t i = 0; i < calls_.size(); i++) calls_[i].label = keep(file_.calls[i].label);
  return {};
}

Status Plan::resolve_calls(const Table* const* tables, int n_tables) {
  for (int64_t i = 0; i < calls_.size(); i++) {
    const plan::CallRecord& c = file_.calls[i];
    CallPlan& call = calls_[i];
    char name[64];
    const int length = int(c.op.length < sizeof name - 1 ? c.op.length : sizeof name - 1);
    memcpy(name, file_.strings.at + c.op.offset, size_t(length));
    name[length] = 0;
    call.table = c.op.length < sizeof name ? find_table(tables, n_tables, name) : nullptr;
    ACCELNN_CHECK(call.table, unsupported, "call %lld (%.60s): this program was built without op '%s'", ll(i),
                  call.label, name);
    const Op& op = *call.table->op;
    ACCELNN_CHECK(c.n_in >= uint32_t(op.min_in) && c.n_in <= uint32_t(op.max_in) && c.n_out >= 1 && c.n_out <= uint32_t(op.max_out), format,
                  "call %lld: %s with %u inputs and %u outputs; it takes %d to %d, and gives up to %d", ll(i), op.name, c.n_in, c.n_out, op.min_in,
                  op.max_in, op.max_out);
    const uint32_t* operands = file_.operands.at + c.first_operand;
    for (uint32_t k = 0; k < uint32_t(op.min_in); k++)
      ACCELNN_CHECK(operands[k] != plan::no_value, format, "call %lld: input %u of %s is left out, but not optional", ll(i), k, op.name);
    ACCELNN_CHECK(operands[c.n_in] != plan::no_value, format, "call %lld: the first output of %s is left out", ll(i), op.name);
    call.first_view = uint32_t(n_views_);
    n_views_ += op.max_in + op.max_out;
    ACCELNN_CHECK(n_views_ <= plan::max_count, format, "Plan with more than %lld operands", ll(plan::max_count));

    ACCELNN_CHECK(c.n_attrs == uint32_t(op.n_attrs), format, "call %lld: %s with %u attributes, expected %d", ll(i), op.name, c.n_attrs, op.n_attrs);
    for (uint32_t k = 0; k < c.n_attrs; k++) {
      const plan::AttrValue& a = file_.attrs[c.first_attr + k];
      const AttrKind kind = a.kind == plan::attr_expression ? AttrKind::integer : AttrKind(a.kind);
      ACCELNN_CHECK(kind == op.attrs[k].kind, format, "call %lld: attribute %s of %s is of kind %u, expected %d", ll(i), op.attrs[k].name, op.name,
                    a.kind, int(op.attrs[k].kind));
    }
  }
  return {};
}

Status Plan::describe_ports() {
  Array<uint8_t> written, found;
  ACCELNN_TRY(written.resize(file_.buffers.count));
  ACCELNN_TRY(found.resize(dims_.size()));
  for (const plan::CallRecord& c : file_.calls)
    for (uint32_t k = 0; k < c.n_out; k++) {
      const uint32_t v = file_.operands[c.first_operand + c.n_in + k];
      if (v != plan::no_value) written[file_.values[v].buffer] = 1;
    }
  for (int64_t i = 0; i < ports_.size(); i++) {
    const plan::Port& record = file_.ports[i];
    const plan::Value& v = file_.values[record.value];
    PortRecord& port = ports_[i];
    PortInfo& info = port.info;
    port.kind = record.kind;
    port.value = record.value;
    port.buffer = v.buffer;
    n_ports_[int(record.kind)]++;
    info.dtype = DType(v.dtype);
    info.rank = v.rank;
    info.written = written[v.buffer] || record.kind == PortKind::output;
    for (int k = 0; k < v.rank; k++) {
      const plan::Expr e = v.shape[k];
      const int64_t* terms = file_.numbers.at + e.offset;
      bool fixed = true;
      for (uint32_t t = 0; t < e.terms; t++) fixed &= Term(terms[2 * t]) != Term::dim;
      info.shape[k] = -1;
      if (fixed) ACCELNN_TRY(plan::evaluate(file_, e, nullptr, &info.shape[k]));
      ACCELNN_CHECK(!fixed || (info.shape[k] >= 0 && info.shape[k] <= plan::max_elements), format, "%s '%.60s' has a size of %lld",
                    kind_names[int(port.kind)], info.name, ll(info.shape[k]));
      if (fixed || e.terms != 1) continue;
      const int64_t d = terms[1];
      info.dim_name[k] = dims_[d].name;
      if (port.kind != PortKind::output && !found[d]) {
        found[d] = 1;
        dim_source_[d] = {uint32_t(i), uint32_t(k)};
      }
    }
  }
  for (int64_t d = 0; d < dims_.size(); d++)
    ACCELNN_CHECK(found[d], format, "dim '%.60s' stands alone in no input's shape, so nothing tells its size", dims_[d].name);
  return {};
}

const TensorView* Plan::given(int port, const TensorView* inputs, const TensorView* outputs, const TensorView* states) const {
  const int i = port - first_port(ports_[port].kind);
  const TensorView* views = ports_[port].kind == PortKind::input ? inputs : ports_[port].kind == PortKind::output ? outputs
                                                                                                                  : states;
  return views ? views + i : nullptr;
}

Status Plan::evaluate_dims(const TensorView* inputs, const TensorView* states, int64_t* dims) const {
  for (int64_t d = 0; d < dims_.size(); d++) {
    const DimSource from = dim_source_[d];
    const PortRecord& port = ports_[from.port];
    const TensorView* view = given(int(from.port), inputs, nullptr, states);
    ACCELNN_CHECK(view, shape, "%s '%.60s' is needed: its shape gives dim '%.40s'", kind_names[int(port.kind)], port.info.name, dims_[d].name);
    ACCELNN_CHECK(view->rank == port.info.rank, shape, "%s '%.60s' is %s, expected %s", kind_names[int(port.kind)], port.info.name,
                  describe(*view).text, describe(port.info).text);
    const int64_t size = dims[d] = view->shape[from.axis];
    const int64_t upper = dims_[d].upper ? dims_[d].upper : plan::max_elements;
    ACCELNN_CHECK(size >= dims_[d].lower && size <= upper, bound, "%s '%.60s' is %s: dim '%.40s' is %lld, allowed are %lld to %lld",
                  kind_names[int(port.kind)], port.info.name, describe(*view).text, dims_[d].name, ll(size), ll(dims_[d].lower), ll(upper));
  }
  return {};
}

Status Plan::evaluate_port(int i, const int64_t* dims, TensorView* view) const {
  const PortRecord& port = ports_[i];
  const plan::Value& v = file_.values[port.value];
  view->data = nullptr;
  view->dtype = port.info.dtype;
  view->rank = port.info.rank;
  int64_t count = int64_t(size_of(view->dtype));
  for (int k = 0; k < view->rank; k++) {
    int64_t& size = view->shape[k];
    ACCELNN_TRY(plan::evaluate(file_, v.shape[k], dims, &size));
    ACCELNN_CHECK(size >= 0 && !__builtin_mul_overflow(count, size ? size : 1, &count) && count <= plan::max_bytes, bound,
                  "%s '%.60s' would have %lld elements along axis %d: not possible", kind_names[int(port.kind)], port.info.name, ll(size), k);
  }
  view->set_contiguous();
  return {};
}

Status Plan::same_port(int i, const TensorView& expected, const TensorView& view) const {
  const PortRecord& port = ports_[i];
  const char* kind = kind_names[int(port.kind)];
  ACCELNN_CHECK(view.dtype == expected.dtype, dtype, "%s '%.60s' is %s, expected %s", kind, port.info.name, describe(view).text,
                describe(port.info).text);
  ACCELNN_CHECK(same_shape(view, expected), shape, "%s '%.50s' is %s, expected %s%s%s", kind, port.info.name, describe(view).text,
                describe(port.info).text, dims_.size() ? ", here " : "", dims_.size() ? describe(expected).text : "");
  ACCELNN_CHECK(view.contiguous(), unsupported, "%s '%.60s' is not contiguous: copy it first", kind, port.info.name);
  return {};
}

Status Plan::shapes(const TensorView* inputs, const TensorView* states, TensorView* outputs) const {
  Array<int64_t> dims;
  ACCELNN_TRY(dims.resize(dims_.size()));
  ACCELNN_TRY(evaluate_dims(inputs, states, dims.data()));
  for (int i = 0; i < total_ports(); i++) {
    TensorView view;
    ACCELNN_TRY(evaluate_port(i, dims.data(), &view));
    const TensorView* has = given(i, inputs, nullptr, states);
    if (ports_[i].kind == PortKind::output) outputs[i - first_port(PortKind::output)] = view;
    else if (has) ACCELNN_TRY(same_port(i, view, *has));
  }
  return {};
}

Status Plan::smallest(int64_t at_least, TensorView* inputs) const {
  Array<int64_t> dims;
  ACCELNN_TRY(dims.resize(dims_.size()));
  for (int64_t d = 0; d < dims_.size(); d++) {
    dims[d] = dims_[d].lower > at_least ? dims_[d].lower : at_least;
    if (dims_[d].upper && dims[d] > dims_[d].upper) dims[d] = dims_[d].upper;
  }
  for (int i = 0; i < n(PortKind::input); i++) ACCELNN_TRY(evaluate_port(i, dims.data(), inputs + i));
  return {};
}

}  // namespace accelnn
