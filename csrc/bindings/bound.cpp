// A prepared call: op, shapes, strides and attributes are checked and the row is chosen once; each call brings addresses alone.
// For callers whose memory belongs to another library (accelnn/torch): turning a tensor into a View costs more than a small product.
#include <cstring>
#include <memory>
#include <string>
#include <vector>
#include "bound.h"
#include <structmember.h>                 // PyMemberDef's constants; after Python.h
#include "alloc.h"
#include "pool.h"

namespace accelnn {

struct Prepared {
  const Table* table = nullptr;
  const Row* row = nullptr;
  Attrs attrs;
  std::vector<TensorView> views;          // max_in inputs, then max_out outputs, absent where left out
  std::vector<int> given;                 // those of them that take an address, in order
  size_t workspace = 0;
  bool unlocked = false;
};

namespace {

constexpr int max_operands = 32;
constexpr int64_t long_call = 1 << 14;    // elements of all operands, from which giving the interpreter's lock up costs less than holding it

// (shape, strides or None, dtype number), or None for an operand that is left out.
TensorView read_spec(py::handle spec) {
  if (spec.is_none()) return absent_view();
  const auto parts = py::cast<py::tuple>(spec);
  if (parts.size() != 3) refuse(Code::shape, "an operand is (shape, strides or None, dtype) or None");
  TensorView v;
  shape_from(parts[0], &v);
  const int dtype = parts[2].cast<int>();
  if (dtype < 0 || dtype >= n_dtypes) refuse(Code::dtype, "unknown dtype number " + std::to_string(dtype));
  v.dtype = DType(dtype);
  v.set_contiguous();
  int64_t reach = 1;
  if (!parts[1].is_none()) {
    TensorView strides;
    shape_from(parts[1], &strides);
    if (strides.rank != v.rank) refuse(Code::shape, "as many strides as dimensions are needed");
    for (int i = 0; i < v.rank; i++) v.stride[i] = strides.shape[i];
  }
  for (int i = 0; i < v.rank; i++) {
    int64_t step = 0;
    if (v.shape[i] < 0 || v.stride[i] < 0) refuse(Code::shape, "negative sizes or strides");
    if (v.shape[i] && (__builtin_mul_overflow(v.shape[i] - 1, v.stride[i], &step) || __builtin_add_overflow(reach, step, &reach)))
      refuse(Code::shape, "the operand is too large");
  }
  if (reach > INT64_MAX / 16) refuse(Code::shape, "the operand is too large");
  return v;
}

void read_operands(const char* what, const py::tuple& specs, int least, int most, Prepared* p) {
  const int n = int(specs.size());
  if (n < least || n > most)
    refuse(Code::shape, std::string(p->table->op->name) + ": " + std::to_string(least) + ".." + std::to_string(most) + what + std::to_string(n));
  for (int i = 0; i < most; i++) {
    p->views.push_back(i < n ? read_spec(specs[size_t(i)]) : absent_view());
    if (!p->views.back().absent()) p->given.push_back(int(p->views.size()) - 1);
  }
}

Call call_on(const Prepared& p, const TensorView* views) {
  const Op& op = *p.table->op;
  return {views, op.max_in, views + op.max_in, op.max_out, p.attrs.slots.data(), nullptr, nullptr};
}

std::unique_ptr<Prepared> prepare(int number, const py::tuple& inputs, const py::dict& attrs, const py::tuple& outputs) {
  require_sound_environment();
  if (number < 0 || number >= n_all_tables) refuse(Code::attribute, "no op with number " + std::to_string(number));
  auto p = std::make_unique<Prepared>();
  p->table = all_tables[number];
  const Op& op = *p->table->op;
  if (op.max_in + op.max_out > max_operands) refuse(Code::unsupported, std::string(op.name) + ": too many operands for a prepared call");
  p->attrs = make_attrs(number, attrs);
  read_operands(" inputs, not ", inputs, op.min_in, op.max_in, p.get());
  read_operands(" outputs, not ", outputs, 1, op.max_out, p.get());
  // Addresses that nothing is at, one after the other: what is wrong with shapes and attributes is said here and not at the first call.
  std::vector<TensorView> placed = p->views;
  uintptr_t next = alignment;
  int64_t elements = 0;
  for (const int i : p->given) {
    placed[size_t(i)].data = reinterpret_cast<void*>(next);
    const Extent e = extent_of(placed[size_t(i)]);
    const uintptr_t room = uintptr_t(e.end - e.begin) / alignment * alignment + 2 * alignment;
    if (__builtin_add_overflow(next, room, &next)) refuse(Code::shape, "the operands are too large");
    elements += placed[size_t(i)].count();
  }
  const Call call = call_on(*p, placed.data());
  require(op.check(call));
  require(select(*p->table, call, caps(), &p->row));
  p->workspace = op.workspace(call, *p->row);
  p->unlocked = elements >= long_call;
  return p;
}

// `views` is the caller's own copy, so that one Bound serves any number of threads. check() is asked again, because memory that overlaps shows only
// now.
Status run(const Prepared& p, const TensorView* views) {
  Call call = call_on(p, views);
  ACCELNN_TRY(p.table->op->check(call));
  call.pool = pool();
  if (p.workspace) {
    call.work = allocate(p.workspace);
    ACCELNN_CHECK(call.work, memory, "%s: no memory for a workspace of %zu bytes", p.table->op->name, p.workspace);
  }
  Status s = p.row->run(call);
  if (p.workspace) release(call.work);
  return s;
}

void call(const Prepared& p, PyObject* const* args, size_t n) {
  void* addresses[max_operands] = {};
  for (size_t i = 0; i < n && i < size_t(max_operands); i++) {
    addresses[i] = PyLong_AsVoidPtr(args[i]);
    if (!addresses[i] && PyErr_Occurred()) throw py::error_already_set();
  }
  run_prepared(p, addresses, n);
}

// A plain CPython type, called by vectorcall: 0.2 us with four addresses and a product of 2 x 16 x 16.
struct BoundObject {
  PyObject_HEAD
      vectorcallfunc vectorcall;
  Prepared* prepared;
};

PyObject* bound_vectorcall(PyObject* self, PyObject* const* args, size_t n, PyObject* names) {
  return guarded([&]() -> PyObject* {
    if (names && PyTuple_GET_SIZE(names)) refuse(Code::attribute, "a prepared call takes addresses, and none by name");
    call(*reinterpret_cast<BoundObject*>(self)->prepared, args, size_t(PyVectorcall_NARGS(n)));
    Py_RETURN_NONE;
  });
}

PyObject* bound_new(PyTypeObject* type, PyObject* args, PyObject* names) {
  static const char* const words[] = {"op", "inputs", "attrs", "outputs", nullptr};
  int op = 0;
  PyObject *inputs = nullptr, *attrs = nullptr, *outputs = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, names, "iO!O!O!:Bound", const_cast<char**>(words), &op, &PyTuple_Type, &inputs, &PyDict_Type, &attrs, &PyTuple_Type,
                                   &outputs))
    return nullptr;
  return guarded([&]() -> PyObject* {
    auto p = prepare(op, py::reinterpret_borrow<py::tuple>(inputs), py::reinterpret_borrow<py::dict>(attrs), py::reinterpret_borrow<py::tuple>(outputs));
    PyObject* self = type->tp_alloc(type, 0);
    if (!self) return nullptr;
    reinterpret_cast<BoundObject*>(self)->vectorcall = bound_vectorcall;
    reinterpret_cast<BoundObject*>(self)->prepared = p.release();
    return self;
  });
}

void bound_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<BoundObject*>(self)->prepared;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* bound_row(PyObject* self, void*) { return PyUnicode_FromString(reinterpret_cast<BoundObject*>(self)->prepared->row->name); }
PyObject* bound_workspace(PyObject* self, void*) { return PyLong_FromSize_t(reinterpret_cast<BoundObject*>(self)->prepared->workspace); }

PyObject* sample(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 2) return PyErr_Format(PyExc_TypeError, "sample(address, bytes)");
  const void* from = PyLong_AsVoidPtr(args[0]);
  const Py_ssize_t bytes = PyLong_AsSsize_t(args[1]);
  return PyErr_Occurred() ? nullptr : PyLong_FromUnsignedLongLong(sample_of(from, bytes));
}

// Every word of it, as fast as memory: eight products at a time, which do not wait for each other.
uint64_t mixed(const char* from, int64_t bytes) {
  constexpr int chains = 8;
  constexpr int64_t word = 8, step = chains * word;
  uint64_t found[chains] = {1, 2, 3, 4, 5, 6, 7, 8}, all = uint64_t(bytes);
  int64_t i = 0;
  for (; i + step <= bytes; i += step)
    for (int k = 0; k < chains; k++) {
      uint64_t w;
      std::memcpy(&w, from + i + k * word, sizeof w);
      found[k] = (found[k] ^ w) * 0x9E3779B97F4A7C15u;
      found[k] ^= found[k] >> 32;
    }
  for (; i < bytes; i++) found[0] = (found[0] ^ uint8_t(from[i])) * 0x9E3779B97F4A7C15u;
  for (const uint64_t m : found) all = (all ^ m) * 0x9E3779B97F4A7C15u ^ (all >> 29);
  return all;
}

// Of large memory sixteen parts, by as many threads as there are: a convolution's 9.4 MB of weights cost as much as its products on two threads.
PyObject* fingerprint(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 2) return PyErr_Format(PyExc_TypeError, "fingerprint(address, bytes)");
  constexpr int64_t parts = 16, large = 1 << 20;
  struct {
    const char* from;
    int64_t bytes;
    uint64_t found[parts + 1];
  } work = {static_cast<const char*>(PyLong_AsVoidPtr(args[0])), PyLong_AsSsize_t(args[1]), {}};
  if (PyErr_Occurred()) return nullptr;
  if (!work.from || work.bytes < large) return PyLong_FromUnsignedLongLong(mixed(work.from, work.from ? work.bytes : 0));
  const auto part = [](void* context, int64_t i) {
    auto& w = *static_cast<decltype(work)*>(context);
    const int64_t begin = w.bytes * i / parts, end = w.bytes * (i + 1) / parts;
    w.found[i] = mixed(w.from + begin, end - begin);
  };
  if (Pool* const p = pool()) {
    p->run(parts, part, &work);
  } else {
    for (int64_t i = 0; i < parts; i++) part(&work, i);
  }
  work.found[parts] = uint64_t(work.bytes);
  return PyLong_FromUnsignedLongLong(mixed(reinterpret_cast<const char*>(work.found), sizeof work.found));
}

}  // namespace

// A fingerprint: 32 words, evenly spaced, first and last among them. The loads do not wait for each other.
uint64_t sample_of(const void* from, int64_t bytes) {
  constexpr int64_t words = 32, word = 4;
  uint64_t mixed = 0;
  for (int64_t i = 0; from && bytes >= word && i < words; i++) {
    uint32_t w;
    std::memcpy(&w, static_cast<const char*>(from) + (bytes / word - 1) * i / (words - 1) * word, sizeof w);
    mixed = mixed * 0x9E3779B97F4A7C15u + w;
  }
  return mixed;
}

void run_prepared(const Prepared& p, void* const* addresses, size_t n) {
  if (n != p.given.size())
    refuse(Code::shape, std::string(p.table->op->name) + ": " + std::to_string(p.given.size()) + " addresses expected, not " + std::to_string(n));
  TensorView views[max_operands];
  for (size_t i = 0; i < p.views.size(); i++) views[i] = p.views[i];
  for (size_t i = 0; i < n; i++) {
    TensorView& v = views[p.given[i]];
    v.data = addresses[i];
    if (!v.data && v.count()) refuse(Code::bound, std::string(p.table->op->name) + ": operand " + std::to_string(i) + " has no memory");
  }
  if (!p.unlocked) return require(run(p, views));
  Status s;
  {
    py::gil_scoped_release unlocked;
    s = run(p, views);
  }
  require(s);
}

static PyTypeObject* bound_type = nullptr;

const Prepared* prepared_of(PyObject* bound) {
  if (bound_type && Py_TYPE(bound) == bound_type) return reinterpret_cast<BoundObject*>(bound)->prepared;
  PyErr_SetString(PyExc_TypeError, "a Bound expected");
  return nullptr;
}

void bind_bound(py::module_& m) {
  static PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(BoundObject, vectorcall), READONLY, nullptr}, {}};
  static PyGetSetDef fields[] = {{"row", bound_row, nullptr, "Name of the row that runs.", nullptr},
                                 {"workspace", bound_workspace, nullptr, "Bytes that a call takes from the allocator.", nullptr},
                                 {}};
  static PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>("A prepared call of an op: bound(address, ...), inputs then outputs, those given at the start. "
                                                              "The caller keeps the memory alive and as large as the shapes and strides say.")},
                                {Py_tp_new, reinterpret_cast<void*>(bound_new)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(bound_dealloc)},
                                {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_members, members},
                                {Py_tp_getset, fields},
                                {0, nullptr}};
  static PyType_Spec spec = {"accelnn._C.Bound", sizeof(BoundObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  bound_type = reinterpret_cast<PyTypeObject*>(type);
  m.attr("Bound") = py::reinterpret_steal<py::object>(type);
  static PyMethodDef functions[] = {{"sample", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(sample)), METH_FASTCALL,
                                     "sample(address, bytes): a number that changes when memory is rewritten as a whole."},
                                    {"fingerprint", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(fingerprint)), METH_FASTCALL,
                                     "fingerprint(address, bytes): a number that changes when any of it does (64 bits)."},
                                    {}};
  if (PyModule_AddFunctions(m.ptr(), functions)) throw py::error_already_set();
}

}  // namespace accelnn
