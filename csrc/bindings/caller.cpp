// Eager calls. The first call of an op with operands of these shapes, strides and dtypes asks Python (shape rule, lowering, attributes) and the op's
// table (check, select, workspace); the answer is kept, and the next such call makes its outputs and runs the row: 0.3 us instead of 8.
#include <unordered_map>
#include "alloc.h"
#include "pool.h"
#include "tensor.h"
#include <structmember.h>

namespace accelnn {

namespace {

constexpr int most = 32, most_outputs = 8;      // operands, results
constexpr size_t most_answers = 1024;           // of an op; then all are forgotten

struct Hooks {                                  // of accelnn.core.questions
  PyObject *slow, *resolve, *tape, *mixed;
} hooks;

// What a call of the op leads to: a kernel on the operands (as they are, or in another window), or just another window on the first one.
struct Answer {
  uint64_t hash;
  std::vector<TensorView> key;                  // data null; rank -1 for None
  py::object names;                             // of the attributes: a tuple, or null
  std::vector<py::object> values;
  py::tuple specs;                              // of the outputs, for Python
  py::object attrs;                             // keeps the slots alive
  const Table* table = nullptr;                 // null: a window
  const Row* row = nullptr;
  Call call = {};
  std::vector<int> source;                      // kernel operand -> argument, -1: absent
  std::vector<TensorView> in, out;
  std::vector<int64_t> offset;                  // bytes from the argument's data
  size_t work = 0;
  bool unlocks = false;
};
using Answers = std::unordered_multimap<uint64_t, std::shared_ptr<Answer>>;

struct Caller {
  PyObject ob_base;
  vectorcallfunc entry;
  PyObject* name;
  Answers* answers;
  std::shared_ptr<Answer>* last;
};

struct Arguments {
  PyObject* const* at;
  Py_ssize_t n, n_attrs;
  PyObject* names;
  const View* view[most];
};

constexpr int64_t long_call = 1 << 14;          // elements; below it, giving the interpreter's lock up and taking it again costs more than it gains

ACCELNN_INLINE void mix(uint64_t* h, uint64_t x) { *h = (*h ^ x) * 0x9e3779b97f4a7c15ull; }

// Values that may be compared: anything else (a list that may change, a number that equals one of another type) is never kept.
bool hash_values(const Arguments& a, uint64_t* h) {
  for (Py_ssize_t i = 0; i < a.n_attrs; i++) {
    PyObject* v = a.at[a.n + i];
    if (!PyLong_Check(v) && !PyUnicode_Check(v) && !PyFloat_CheckExact(v) && !PyTuple_CheckExact(v) && v != Py_None) return false;
    Py_hash_t x = PyLong_Check(v) ? Py_hash_t(PyLong_AsLongLong(v)) : PyObject_Hash(v);
    if (x == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    mix(h, uint64_t(x));
  }
  return true;
}

bool hash_of(const Arguments& a, uint64_t* hash) {
  uint64_t h = uint64_t(a.n);
  for (Py_ssize_t i = 0; i < a.n; i++) {
    if (!a.view[i]) {
      mix(&h, 1);
      continue;
    }
    const TensorView& t = a.view[i]->t;
    mix(&h, uint64_t(t.dtype) << 8 | uint64_t(t.rank));
    for (int d = 0; d < t.rank; d++) mix(&h, uint64_t(t.shape[d]) * 31 + uint64_t(t.stride[d]));
  }
  *hash = h ^ h >> 29;
  return hash_values(a, hash);
}

bool same_window(const TensorView& a, const TensorView& b) {
  if (a.rank != b.rank || a.dtype != b.dtype) return false;
  for (int d = 0; d < a.rank; d++)
    if (a.shape[d] != b.shape[d] || a.stride[d] != b.stride[d]) return false;
  return true;
}

bool same_value(PyObject* a, PyObject* b) {
  if (a == b) return true;
  if (Py_TYPE(a) != Py_TYPE(b)) return false;
  if (PyFloat_CheckExact(a)) {                  // 0.0 == -0.0, but not here
    const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return !memcmp(&x, &y, sizeof x);
  }
  if (PyTuple_CheckExact(a)) {
    if (PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(a); i++)
      if (!same_value(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i))) return false;
    return true;
  }
  const int equal = (PyLong_Check(a) || PyUnicode_Check(a)) ? PyObject_RichCompareBool(a, b, Py_EQ) : 0;
  if (equal < 0) PyErr_Clear();
  return equal == 1;
}

bool answers(const Answer& x, const Arguments& a, uint64_t hash) {
  if (x.hash != hash || x.key.size() != size_t(a.n) || x.values.size() != size_t(a.n_attrs)) return false;
  for (Py_ssize_t i = 0; i < a.n; i++)
    if (a.view[i] ? !same_window(a.view[i]->t, x.key[size_t(i)]) : x.key[size_t(i)].rank >= 0) return false;
  for (Py_ssize_t i = 0; i < a.n_attrs; i++)
    if (!same_value(PyTuple_GET_ITEM(a.names, i), PyTuple_GET_ITEM(x.names.ptr(), i)) || !same_value(a.at[a.n + i], x.values[size_t(i)].ptr())) return false;
  return true;
}

std::shared_ptr<Answer> find(Caller* c, const Arguments& a, uint64_t hash) {
  if (*c->last && answers(**c->last, a, hash)) return *c->last;
  const auto range = c->answers->equal_range(hash);
  for (auto i = range.first; i != range.second; ++i)
    if (answers(*i->second, a, hash)) return *c->last = i->second;
  return nullptr;
}

void keep(Caller* c, const Arguments& a, uint64_t hash, const std::shared_ptr<Answer>& x) {
  x->hash = hash;
  for (Py_ssize_t i = 0; i < a.n; i++) x->key.push_back(a.view[i] ? a.view[i]->t : absent_view());
  for (TensorView& t : x->key) t.data = nullptr;
  x->names = py::reinterpret_borrow<py::object>(a.names);
  for (Py_ssize_t i = 0; i < a.n_attrs; i++) x->values.push_back(py::reinterpret_borrow<py::object>(a.at[a.n + i]));
  if (c->answers->size() >= most_answers) c->answers->clear();
  c->answers->emplace(hash, x);
  *c->last = x;
}

// Which argument operand `i` of the kernel is a window of; -1: of none (a copy in another order was made), or one cannot tell: two arguments that
// share memory today need not do so tomorrow.
int source_of(const Arguments& a, const View& v, int i) {
  if (i < int(a.n) && a.view[i] && a.view[i]->storage == v.storage) return i;
  int found = -1;
  for (int k = 0; k < int(a.n); k++) {
    if (!a.view[k] || a.view[k]->storage != v.storage) continue;
    if (found >= 0) return -1;
    found = k;
  }
  return found;
}

// What Python says of this call: ((operand, ...), attributes, output specs, op number), or a window: ((operand,), (shape, stride, offset), specs, -1).
struct Question {
  std::shared_ptr<Answer> answer = std::make_shared<Answer>();
  py::tuple operands;
  bool lasting = true;                          // every operand is a window of an argument
};

py::tuple arguments(const Arguments& a) {
  py::tuple t(size_t(a.n));
  for (Py_ssize_t i = 0; i < a.n; i++) t[size_t(i)] = py::reinterpret_borrow<py::object>(a.at[i]);
  return t;
}
py::dict attributes(const Arguments& a) {
  py::dict d;
  for (Py_ssize_t i = 0; i < a.n_attrs; i++) d[py::handle(PyTuple_GET_ITEM(a.names, i))] = py::handle(a.at[a.n + i]);
  return d;
}

Question resolve(Caller* c, const Arguments& a) {
  const py::tuple said = py::handle(hooks.resolve)(py::handle(c->name), arguments(a), attributes(a));
  Question q;
  Answer& x = *q.answer;
  q.operands = said[0];
  x.specs = said[2];
  const int number = said[3].cast<int>();
  const auto add_operand = [&](const View& v) {
    const int from = source_of(a, v, int(x.in.size()));
    q.lasting &= from >= 0;
    x.source.push_back(from);
    x.in.push_back(v.t);
    x.offset.push_back(from < 0 ? 0 : static_cast<char*>(v.t.data) - static_cast<char*>(a.view[from]->t.data));
  };
  if (number < 0) {
    const View &source = view_of(q.operands[0]), &window = view_of(said[1]);
    add_operand(source);
    x.offset[0] += static_cast<char*>(window.t.data) - static_cast<char*>(source.t.data);
    x.out.push_back(window.t);
    return q;
  }
  x.table = all_tables[number];
  const Op& op = *x.table->op;
  const Attrs& attrs = *said[1].cast<const Attrs*>();
  x.attrs = said[1];
  const int n = int(q.operands.size());
  if (n < op.min_in || n > op.max_in || op.max_in > most)
    refuse(Code::shape, std::string(op.name) + ": " + std::to_string(op.min_in) + ".." + std::to_string(op.max_in) + " inputs, not " + std::to_string(n));
  for (int i = 0; i < op.max_in; i++) {
    if (i < n && !q.operands[size_t(i)].is_none()) {
      add_operand(view_of(q.operands[size_t(i)]));
      continue;
    }
    x.source.push_back(-1);
    x.in.push_back(absent_view());
    x.offset.push_back(0);
  }
  if (int(x.specs.size()) > op.max_out || op.max_out > most_outputs) refuse(Code::shape, std::string(op.name) + ": too many outputs");
  x.call = {x.in.data(), op.max_in, nullptr, op.max_out, attrs.slots.data(), nullptr, nullptr};
  return q;
}

View output(const TensorView& like) { return empty_view(like.shape, like.rank, like.dtype); }

struct Outputs {                                // of one call, until they are Tensors
  View made[most_outputs];
  TensorView view[most_outputs];
};
union Operands {                                // not constructed: that would cost as much as a small kernel
  TensorView at[most];
  Operands() {}
};

// The first time: outputs from the specs, then what the table says of the call.
void settle(Answer* x, Outputs* o) {
  require_sound_environment();
  int64_t elements = x->in.empty() || x->in[0].absent() ? 0 : x->in[0].count();
  for (int i = 0; i < x->table->op->max_out; i++) {
    o->view[i] = absent_view();
    if (i < int(x->specs.size())) {
      const py::tuple spec = x->specs[size_t(i)];
      TensorView t;
      shape_from(spec[0], &t);
      o->made[i] = empty_view(t.shape, t.rank, DType(spec[1].cast<int>()));
      o->view[i] = o->made[i].t;
      elements += o->view[i].count();
    }
    x->out.push_back(o->view[i]);
  }
  x->call.out = x->out.data();
  require(x->table->op->check(x->call));
  require(select(*x->table, x->call, caps(), &x->row));
  x->work = x->table->op->workspace(x->call, *x->row);
  x->unlocks = elements >= long_call;
}

Status run_row(const Answer& x, Call call) {
  call.pool = pool();
  if (x.work && !(call.work = allocate(x.work))) return fail(Code::memory, "%s: no memory for a workspace of %zu bytes", x.table->op->name, x.work);
  const Status s = x.row->run(call);
  if (x.work) release(call.work);
  return s;
}

void run(const Answer& x, const TensorView* in, const TensorView* out) {
  Call call = x.call;
  call.in = in;
  call.out = out;
  if (!x.unlocks) return require(run_row(x, call));
  Status s;
  {
    py::gil_scoped_release unlocked;
    s = run_row(x, call);
  }
  require(s);
}

// A Tensor, or a tuple of them.
PyObject* wrap(const Answer& x, Outputs* o) {
  const Py_ssize_t n = PyTuple_GET_SIZE(x.specs.ptr());
  if (n == 1) return new_tensor(std::move(o->made[0]), PyTuple_GET_ITEM(x.specs.ptr(), 0));
  PyObject* all = PyTuple_New(n);
  for (Py_ssize_t i = 0; all && i < n; i++) {
    PyObject* y = new_tensor(std::move(o->made[i]), PyTuple_GET_ITEM(x.specs.ptr(), i));
    if (y) PyTuple_SET_ITEM(all, i, y);
    else Py_CLEAR(all);
  }
  return all;
}

PyObject* forward(Caller* c, const Arguments& a) {
  Outputs o;
  uint64_t hash = 0;
  const bool comparable = hash_of(a, &hash);
  std::shared_ptr<Answer> x = comparable ? find(c, a, hash) : nullptr;
  if (!x) {
    const Question q = resolve(c, a);
    x = q.answer;
    if (!x->table) {
      o.made[0] = view_of(q.operands[0]);
      o.made[0].t = x->out[0];
    } else {
      settle(x.get(), &o);
      run(*x, x->in.data(), o.view);
    }
    for (auto* views : {&x->in, &x->out})
      for (TensorView& t : *views) t.data = nullptr;
    if (comparable && q.lasting) keep(c, a, hash, x);
    return wrap(*x, &o);
  }
  if (!x->table) {
    o.made[0] = *a.view[x->source[0]];
    void* data = static_cast<char*>(o.made[0].t.data) + x->offset[0];
    o.made[0].t = x->out[0];
    o.made[0].t.data = data;
    return wrap(*x, &o);
  }
  Operands in;
  for (size_t i = 0; i < x->in.size(); i++) {
    in.at[i] = x->in[i];
    if (x->source[i] >= 0) in.at[i].data = static_cast<char*>(a.view[x->source[i]]->t.data) + x->offset[i];
  }
  for (size_t i = 0; i < x->out.size(); i++) {
    o.view[i] = x->out[i];
    if (o.view[i].absent()) continue;
    o.made[i] = output(x->out[i]);
    o.view[i].data = o.made[i].t.data;
  }
  run(*x, in.at, o.view);
  return wrap(*x, &o);
}

PyObject* call(PyObject* self, PyObject* const* args, size_t flags, PyObject* names) {
  Caller* c = reinterpret_cast<Caller*>(self);
  Arguments a;
  a.at = args;
  a.n = PyVectorcall_NARGS(flags);
  a.names = names;
  a.n_attrs = names ? PyTuple_GET_SIZE(names) : 0;
  try {
    bool plain = !tracing() && a.n <= most, taped = false;
    for (Py_ssize_t i = 0; plain && i < a.n; i++) {
      a.view[i] = nullptr;
      if (args[i] == Py_None) continue;
      if (!is_tensor(args[i]) || !as_tensor(args[i])->view || !is_view(as_tensor(args[i])->view)) {
        plain = false;
        break;
      }
      const TensorObject& t = *as_tensor(args[i]);
      a.view[i] = &reinterpret_cast<ViewObject*>(t.view)->v;
      taped |= t.requires_grad || (t.node && t.node != Py_None);
    }
    if (!plain) return py::handle(hooks.slow)(py::handle(c->name), arguments(a), attributes(a)).release().ptr();
    PyObject* made = forward(c, a);
    if (!made || !taped || mode.no_grad) return made;
    const py::object y = py::reinterpret_steal<py::object>(made);
    py::handle(hooks.tape)(py::handle(c->name), arguments(a), attributes(a), PyTuple_Check(made) ? y : py::make_tuple(y));
    return py::object(y).release().ptr();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

PyObject* make_caller(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* name = nullptr;
  if (!PyArg_ParseTuple(args, "U", &name)) return nullptr;
  Caller* c = reinterpret_cast<Caller*>(type->tp_alloc(type, 0));
  if (!c) return nullptr;
  c->entry = call;
  c->name = Py_NewRef(name);
  c->answers = new Answers;
  c->last = new std::shared_ptr<Answer>;
  return reinterpret_cast<PyObject*>(c);
}

void drop_caller(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Caller* c = reinterpret_cast<Caller*>(self);
  Py_XDECREF(c->name);
  delete c->answers;
  delete c->last;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef caller_members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Caller, entry), READONLY, nullptr},
                                {"__name__", T_OBJECT, offsetof(Caller, name), READONLY, nullptr},
                                {}};

PyObject* operators[int(Operator::count_)];

}  // namespace

// Integers (but those of pixels) and float64 have operators of their own: ops/arithmetic.py.
static bool has_own_operators(PyObject* tensor) {
  PyObject* const view = as_tensor(tensor)->view;
  if (!view || !is_view(view)) return false;
  const DType t = reinterpret_cast<ViewObject*>(view)->v.t.dtype;
  return t == DType::i32 || t == DType::i64 || is_seldom(t);
}

PyObject* call_operator(Operator op, PyObject* a, PyObject* b) {
  PyObject* const caller = operators[int(op)];
  PyObject* args[] = {a, b};
  if (is_tensor(a) && is_tensor(b) && !has_own_operators(a) && !has_own_operators(b)) return call(caller, args, 2, nullptr);
  return PyObject_CallFunctionObjArgs(hooks.mixed, reinterpret_cast<Caller*>(caller)->name, a, b, nullptr);
}

void bind_caller(py::module_& m) {
  PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make_caller)},
                         {Py_tp_dealloc, reinterpret_cast<void*>(drop_caller)},
                         {Py_tp_members, caller_members},
                         {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                         {0, nullptr}};
  PyType_Spec spec = {"accelnn._C.Caller", int(sizeof(Caller)), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL, slots};
  const py::object type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  m.attr("Caller") = type;
  // tensor: the class of results. slow(name, inputs, attrs): for traces and operands that are no tensors. resolve(name, inputs, attrs): see Question.
  // tape(name, inputs, attrs, outputs) puts a call on the tape. mixed(name, a, b): an operator with a number. operators: in Operator's order.
  m.def("connect", [](const py::type& tensor, py::object slow, py::object resolve, py::object tape, py::object mixed, const py::list& callers) {
    if (callers.size() != size_t(Operator::count_)) throw py::value_error("connect: a caller for each operator expected");
    tensor_class = reinterpret_cast<PyTypeObject*>(py::object(tensor).release().ptr());
    hooks = {slow.release().ptr(), resolve.release().ptr(), tape.release().ptr(), mixed.release().ptr()};
    for (size_t i = 0; i < callers.size(); i++) operators[i] = py::object(callers[i]).release().ptr();
  });
}

}  // namespace accelnn
