// Calls any op by number and lists the tables: no line here knows a particular op.
#include <malloc.h>
#include <algorithm>
#include <array>
#include <string>
#include <vector>
#include "view.h"
#include "alloc.h"
#include "pool.h"
#include "pointwise/pointwise.h"

namespace accelnn {

namespace {

const Table& table_at(int op) {
  if (op < 0 || op >= n_all_tables) refuse(Code::attribute, "no op with number " + std::to_string(op));
  return *all_tables[op];
}

constexpr int max_operands = 32;

struct Question {                         // a Call with the memory it points to
  std::array<TensorView, max_operands> in, out;
  Call call;
};

void ask(const Op& op, const py::tuple& inputs, const Attrs& attrs, Question* q) {
  const int n = int(inputs.size());
  if (n < op.min_in || n > op.max_in || op.max_in > max_operands)
    refuse(Code::shape, std::string(op.name) + ": " + std::to_string(op.min_in) + ".." + std::to_string(op.max_in) + " inputs, not " + std::to_string(n));
  for (int i = 0; i < op.max_in; i++) {
    PyObject* o = i < n ? PyTuple_GET_ITEM(inputs.ptr(), i) : Py_None;
    q->in[size_t(i)] = o == Py_None ? absent_view() : view_of(o).t;
  }
  q->call = {q->in.data(), op.max_in, q->out.data(), op.max_out, attrs.slots.data(), nullptr, pool()};
}

constexpr int64_t long_call = 1 << 14;    // elements; below it, giving the lock up and taking it again costs more than it gains

std::string find_environment_problem() {
  if (caps_problem()) return caps_problem();
  const std::string force = caps().force ? caps().force : "";
  for (size_t at = 0; at < force.size();) {
    const size_t end = std::min(force.find(',', at), force.size());
    const std::string item = force.substr(at, end - at), op = item.substr(0, item.find(':'));
    at = end + 1;
    const Table* table = find_table(all_tables, n_all_tables, op.c_str());
    if (!table) return "ACCELNN_KERNEL=" + item + ": there is no op '" + op + "'; expected op:row[,op:row], see: accelnn kernels";
    const std::string row = item.size() > op.size() ? item.substr(op.size() + 1) : "";
    std::string rows;
    bool known = false;
    for (int i = 0; i < table->n_rows; i++) {
      const std::string name = table->rows[i]->name, tail = "_" + row;
      known |= name == row || (name.size() > tail.size() && !name.compare(name.size() - tail.size(), tail.size(), tail));
      rows += (i ? ", " : "") + name;
    }
    if (!known) return "ACCELNN_KERNEL=" + item + ": " + op + " has no row '" + row + "'; its rows are " + rows;
  }
  return "";
}

void run(const Table& table, Question* q) {
  require_sound_environment();
  int64_t elements = 0;
  for (int i = 0; i < table.op->max_out; i++)
    if (!q->out[size_t(i)].absent()) elements += q->out[size_t(i)].count();
  if (q->call.n_in && !q->in[0].absent()) elements += q->in[0].count();
  if (elements < long_call) return require(execute(table, q->call, caps()));
  Status s;
  {
    py::gil_scoped_release unlocked;
    s = execute(table, q->call, caps());
  }
  require(s);
}

// outputs: a tuple of (shape, dtype number), or None for one that nobody reads
py::tuple call(int number, const py::tuple& inputs, const Attrs& attrs, const py::tuple& outputs) {
  const Table& table = table_at(number);
  Question q;
  ask(*table.op, inputs, attrs, &q);
  if (int(outputs.size()) > table.op->max_out) refuse(Code::shape, std::string(table.op->name) + ": too many outputs");
  py::tuple made(outputs.size());
  for (int i = 0; i < table.op->max_out; i++) {
    q.out[size_t(i)] = absent_view();
    if (i >= int(outputs.size())) continue;
    PyObject* spec = PyTuple_GET_ITEM(outputs.ptr(), i);
    if (spec == Py_None) {
      made[size_t(i)] = py::none();
      continue;
    }
    TensorView t;
    shape_from(PyTuple_GET_ITEM(spec, 0), &t);
    View v = empty_view(t.shape, t.rank, DType(PyLong_AsLong(PyTuple_GET_ITEM(spec, 1))));
    q.out[size_t(i)] = v.t;
    made[size_t(i)] = py::cast(std::move(v));
  }
  run(table, &q);
  return made;
}

void fill_outputs(const Op& op, const py::tuple& outputs, Question* q) {
  for (int i = 0; i < op.max_out; i++) {
    const bool given = i < int(outputs.size()) && !outputs[size_t(i)].is_none();
    q->out[size_t(i)] = given ? view_of(outputs[size_t(i)]).t : absent_view();
  }
}

// The same into memory that is already there.
void call_into(int number, const py::tuple& inputs, const Attrs& attrs, const py::tuple& outputs) {
  const Table& table = table_at(number);
  Question q;
  ask(*table.op, inputs, attrs, &q);
  fill_outputs(*table.op, outputs, &q);
  for (const py::handle o : outputs)
    if (!o.is_none() && !view_of(o).storage->writable) refuse(Code::aliasing, std::string(table.op->name) + ": an output is read-only");
  run(table, &q);
}

py::list explain(int number, const py::tuple& inputs, const Attrs& attrs, const py::tuple& outputs, uint32_t isa_bits, const char* force) {
  const Table& table = table_at(number);
  Question q;
  ask(*table.op, inputs, attrs, &q);
  fill_outputs(*table.op, outputs, &q);
  require(table.op->check(q.call));
  Caps c = caps();
  c.isa &= isa_bits;
  if (*force) c.force = force;
  py::list rows;
  for (int i = 0; i < table.n_rows; i++) {
    const char* why = why_not(table, *table.rows[i], q.call, c);
    rows.append(py::make_tuple(table.rows[i]->name, why ? py::object(py::str(why)) : py::none()));
  }
  return rows;
}

// One row by its name, whatever the dispatcher would choose: for contract tests and benchmarks. Returns why the row cannot take the call, or None.
py::object run_row(int number, const std::string& name, const py::tuple& inputs, const Attrs& attrs, const py::tuple& outputs, bool threads) {
  const Table& table = table_at(number);
  Question q;
  ask(*table.op, inputs, attrs, &q);
  fill_outputs(*table.op, outputs, &q);
  if (!threads) q.call.pool = nullptr;
  require(table.op->check(q.call));
  const Row* row = nullptr;
  for (int i = 0; i < table.n_rows; i++)
    if (name == table.rows[i]->name) row = table.rows[i];
  if (!row) refuse(Code::kernel, std::string(table.op->name) + ": no row " + name);
  const Row* const alone[] = {row};
  const Table only = {table.op, alone, 1};
  Caps c = caps();
  static const uint32_t detected = detect_isa();       // cpuid is a trap in a virtual machine: 25 us
  c.isa = detected;
  const std::string force = std::string(table.op->name) + ":" + row->name;
  c.force = force.c_str();
  if (const char* why = why_not(only, *row, q.call, c)) return py::str(why);
  require(execute(only, q.call, c));
  return py::none();
}

constexpr const char* exactness_words[] = {"reference", "exact", "gamma_k", "ulps"};

py::list list_rows(int op) {
  const Table& table = table_at(op);
  py::list rows;
  for (int k = 0; k < table.n_rows; k++) {
    const Row& r = *table.rows[k];
    rows.append(py::dict(py::arg("name") = r.name, py::arg("isa") = r.isa, py::arg("dtype") = name_of(r.dtype),
                         py::arg("exactness") = exactness_words[int(r.exactness)],
                         py::arg("device") = r.device == Device::cpu ? "cpu" : "cuda", py::arg("tile") = py::make_tuple(r.tile_m, r.tile_n),
                         py::arg("runs_here") = r.run && (r.isa & caps().isa) == r.isa));
  }
  return rows;
}

py::list list_device_rows(int op) {
  table_at(op);
  py::list rows;
  for (const DeviceRow* r = all_device_rows[op]; r->name; r++)
    rows.append(py::dict(py::arg("name") = r->name, py::arg("where") = r->where ? r->where : "", py::arg("dtype") = name_of(r->dtype),
                         py::arg("exactness") = exactness_words[int(r->exactness)]));
  return rows;
}

py::list list_ops(bool with_rows) {
  static const char* const kinds[] = {"integer", "real", "integers"};
  py::list ops;
  for (int i = 0; i < n_all_tables; i++) {
    const Op& op = *all_tables[i]->op;
    py::list attrs;
    for (int k = 0; k < op.n_attrs; k++) {
      const AttrDef& a = op.attrs[k];
      attrs.append(py::dict(py::arg("name") = a.name, py::arg("kind") = kinds[int(a.kind)], py::arg("default") = a.otherwise));
    }
    py::dict entry(py::arg("number") = i, py::arg("name") = op.name, py::arg("min_in") = op.min_in, py::arg("max_in") = op.max_in,
                   py::arg("max_out") = op.max_out, py::arg("attrs") = attrs);
    if (with_rows) entry["rows"] = list_rows(i);
    ops.append(entry);
  }
  return ops;
}

py::dict machine() {
  py::dict levels;
  for (int i = 0; i < n_isa_levels; i++) levels[isa_levels[i].name] = isa_levels[i].bits;
  const AllocatorStats memory = allocator_stats();
  py::dict d(py::arg("cpu") = py::str(cpu_name()), py::arg("isa") = caps().isa, py::arg("detected") = detect_isa(), py::arg("levels") = levels,
             py::arg("l1") = caps().l1, py::arg("l2") = caps().l2, py::arg("l3") = caps().l3, py::arg("threads") = thread_count());
  d["problem"] = environment_problem().empty() ? py::object(py::none()) : py::str(environment_problem());
  d["memory"] = py::dict(py::arg("live") = memory.live, py::arg("cached") = memory.cached, py::arg("system_calls") = memory.system_calls);
  return d;
}

}  // namespace

Attrs make_attrs(int op, const py::dict& given) {
  const Op& o = *table_at(op).op;
  Attrs a;
  a.slots.resize(size_t(o.n_attrs));
  a.lists.resize(size_t(o.n_attrs));
  size_t used = 0;
  for (int i = 0; i < o.n_attrs; i++) {
    const AttrDef& def = o.attrs[i];
    Attr& slot = a.slots[size_t(i)];
    const bool present = given.contains(def.name);
    used += present;
    const py::object value = present ? py::object(given[def.name]) : py::none();
    switch (def.kind) {
      case AttrKind::integer:
        slot = {};
        slot.i = present ? value.cast<int64_t>() : int64_t(def.otherwise);
        break;
      case AttrKind::real:
        slot = {};
        slot.f = present ? value.cast<double>() : def.otherwise;
        break;
      case AttrKind::integers:
        if (present) a.lists[size_t(i)] = value.cast<std::vector<int64_t>>();
        slot.list = a.lists[size_t(i)].data();
        slot.n = int64_t(a.lists[size_t(i)].size());
    }
  }
  if (used != given.size()) refuse(Code::attribute, std::string(o.name) + ": unknown attribute in " + std::string(py::str(given)));
  return a;
}

const std::string& environment_problem() {
  static const std::string problem = find_environment_problem();
  return problem;
}

void require_sound_environment() {
  if (!environment_problem().empty()) refuse(Code::kernel, environment_problem());
}

void bind_ops(py::module_& m) {
  py::class_<Attrs>(m, "Attrs", "The attributes of a call, packed for one op.").def(py::init(&make_attrs), py::arg("op"), py::arg("values"));
  m.def("call", &call, py::arg("op"), py::arg("inputs"), py::arg("attrs"), py::arg("outputs"));
  m.def("call_into", &call_into, py::arg("op"), py::arg("inputs"), py::arg("attrs"), py::arg("outputs"));
  m.def("explain", &explain, py::arg("op"), py::arg("inputs"), py::arg("attrs"), py::arg("outputs"), py::arg("isa") = ~0u, py::arg("force") = "");
  m.def("run_row", &run_row, py::arg("op"), py::arg("row"), py::arg("inputs"), py::arg("attrs"), py::arg("outputs"), py::arg("threads") = true);
  m.def("ops", &list_ops, py::arg("rows") = true, "Every op with its attributes and rows, as the C++ preprocessor expanded them.");
  m.def("rows", &list_rows, py::arg("op"), "The rows of one op, by its number.");
  m.def("device_rows", &list_device_rows, py::arg("op"), "Its rows for devices that are no processors.");
  m.def("opcodes", [] {
    py::list l;
    for (int i = 0; i < n_opcodes; i++) l.append(py::make_tuple(opcodes[i].name, opcodes[i].operands));
    return l;
  });
  m.def("machine", &machine);
  m.def("set_threads", &set_thread_count, py::arg("n"));
  // Addresses of GOMP_parallel and omp_get_max_threads, or 0 and 0: pool.h.
  const auto borrow = [](uintptr_t parallel, uintptr_t most) {
    borrow_team(reinterpret_cast<TeamParallel>(parallel), reinterpret_cast<TeamMost>(most));
  };
  m.def("borrow_team", borrow, py::arg("parallel"), py::arg("most"));
  m.def("release_cached_memory", [] {
    release_cached();
#ifdef __GLIBC__
    malloc_trim(0);                       // glibc keeps freed blocks of up to 32 MB otherwise
#endif
  });
}

}  // namespace accelnn
