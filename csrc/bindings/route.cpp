// Calls on another library's tensors with no line of Python between: what the call was prepared for is compared, and then it runs.
// The tensors are read through DLPack's C exchange table (v1.2; torch 2.13 has it). Asking for the same through Python attributes, a torch layer's call
// with next to nothing to compute took 5.6 us instead of 3.7 (nn.Linear: 5.3). It takes 3.1, the product alone 0.3: results are made by what Inductor's
// programs use (0.46 us, the tensor's new() 0.85), and the route of a weight is found here (0.3 less than by Python). Of the rest nn.Module's __call__ takes
// 0.8, the five watched states 0.25, is_neg 0.1. Not done: results used again once nobody refers to them (a view without autograd keeps the memory and
// not the Python object), a __call__ of the layer's own (torch.fx and torch.jit put theirs into nn.Module), DLPack's allocator (it makes a tensor, takes
// it apart and puts it together again).
// Knows no op and no library by name; accelnn/torch says what to ask.
#include <cstring>
#include <memory>
#include <vector>
#include "bound.h"
#include <structmember.h>                 // after Python.h
#include "dlpack_abi.h"

namespace accelnn {

namespace {

// What routes ask, once a process (accelnn.torch sets it).
struct Questions {
  dlpack::FromPyObject read = nullptr;
  PyObject *types = nullptr, *watch = nullptr, *grad_enabled = nullptr, *empty = nullptr;
  PyObject *strided = nullptr, *dtype = nullptr;           // strided(sizes, strides, dtype) makes a result; null: the tensor's own new(*sizes)
  PyObject *held = nullptr, *level_of = nullptr;           // {address of a weight: what has its route}; whose level must be below zero
  PyObject *is_neg = nullptr, *requires_grad = nullptr, *version = nullptr, *create = nullptr, *route = nullptr, *level = nullptr;      // names
};
Questions ask;

constexpr size_t most_operands = 4, most_entries = 64;

// Operands as they come: the first in any memory, the others (weights) only where they were when the call was prepared.
struct Entry {
  struct Source {
    int rank = -1;                        // -1: None
    int64_t shape[max_rank], stride[max_rank];
    const void* data = nullptr;           // null: anywhere
  };
  Source source[most_operands];
  size_t n = 0;
  long long version = 0;                  // of the second operand
  long flag = 0;                          // the caller's: entries of one flag do not answer for another
  uint64_t sample = 0;
  int64_t sample_bytes = 0;               // of the second operand's memory; 0: not asked
  const void* instead = nullptr;          // an address that stands for the second operand's (a packed copy)
  py::object bound, owner, shape, stride;  // the prepared call, who keeps `instead` alive, sizes and strides of the result
  bool large = false;                     // the result comes from ask.empty, not from the tensor's own new()
};

struct RouteObject {
  PyObject_HEAD
      vectorcallfunc vectorcall;
  std::vector<std::shared_ptr<Entry>>* entries;
};

bool truth(PyObject* result, bool* failed) {
  const int is = result ? PyObject_IsTrue(result) : -1;
  Py_XDECREF(result);
  *failed |= is < 0;
  return is > 0;
}

bool known_type(PyObject* o) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(ask.types); i++)
    if (reinterpret_cast<PyObject*>(Py_TYPE(o)) == PyTuple_GET_ITEM(ask.types, i)) return true;
  return false;
}

bool is_like(const Entry::Source& s, const dlpack::Tensor& t) {
  return s.rank == t.ndim && (!s.data || s.data == t.data) && !std::memcmp(s.shape, t.shape, size_t(s.rank) * sizeof(int64_t)) &&
      !std::memcmp(s.stride, t.strides, size_t(s.rank) * sizeof(int64_t));
}

// Null without an error: not as prepared.
std::shared_ptr<Entry> find(const RouteObject& route, PyObject* const* operands, size_t n, long flag, const void** first) {
  bool failed = false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(ask.watch); i++)       // modes, transforms
    if (truth(PyObject_CallNoArgs(PyTuple_GET_ITEM(ask.watch, i)), &failed) || failed) return nullptr;
  const bool grad = truth(PyObject_CallNoArgs(ask.grad_enabled), &failed);
  dlpack::Tensor t[most_operands];
  for (size_t i = 0; i < n; i++) {
    if (operands[i] == Py_None) continue;
    if (!known_type(operands[i]) || ask.read(operands[i], &t[i])) return nullptr;
    if (t[i].device.type != dlpack::cpu || !dlpack::is_f32(t[i].dtype) || t[i].ndim > max_rank) return nullptr;
    if (grad && truth(PyObject_GetAttr(operands[i], ask.requires_grad), &failed)) return nullptr;
  }
  // A view may carry a negation that nobody has carried out; the others are where they were, and were asked then.
  if (truth(PyObject_CallMethodNoArgs(operands[0], ask.is_neg), &failed) || failed) return nullptr;
  PyObject* counter = PyObject_GetAttr(operands[1], ask.version);
  if (!counter) return nullptr;
  const long long version = PyLong_AsLongLong(counter);
  Py_DECREF(counter);
  for (const std::shared_ptr<Entry>& e : *route.entries) {
    bool fits = e->n == n && e->flag == flag && e->version == version;
    for (size_t i = 0; fits && i < n; i++) fits = operands[i] == Py_None ? e->source[i].rank < 0 : is_like(e->source[i], t[i]);
    if (!fits) continue;
    if (e->sample_bytes && sample_of(t[1].data, e->sample_bytes) != e->sample) return nullptr;
    *first = static_cast<char*>(t[0].data) + t[0].byte_offset;
    return e;
  }
  return nullptr;
}

// route(x, weight, ..., flag): the result, or None where anything is not as it was when a call was prepared.
PyObject* route_vectorcall(PyObject* self, PyObject* const* args, size_t many, PyObject*) {
  return guarded([&]() -> PyObject* {
    const size_t n = size_t(PyVectorcall_NARGS(many)) - 1;
    const void* first = nullptr;
    if (n < 2 || n > most_operands || !ask.read) Py_RETURN_NONE;
    const std::shared_ptr<Entry> e = find(*reinterpret_cast<RouteObject*>(self), args, n, PyLong_AsLong(args[n]), &first);
    if (!e) {
      PyErr_Clear();                      // a layout that DLPack cannot say: the caller's own way finds the words
      Py_RETURN_NONE;
    }
    py::object y;
    if (e->large) {
      PyObject* const two[] = {args[0], e->shape.ptr()};
      y = py::reinterpret_steal<py::object>(PyObject_Vectorcall(ask.empty, two, 2, nullptr));
    } else if (ask.strided) {
      PyObject* const three[] = {e->shape.ptr(), e->stride.ptr(), ask.dtype};
      y = py::reinterpret_steal<py::object>(PyObject_Vectorcall(ask.strided, three, 3, nullptr));
    } else {
      PyObject* list[max_rank + 1] = {args[0]};
      const Py_ssize_t rank = PyTuple_GET_SIZE(e->shape.ptr());
      for (Py_ssize_t i = 0; i < rank; i++) list[i + 1] = PyTuple_GET_ITEM(e->shape.ptr(), i);
      y = py::reinterpret_steal<py::object>(PyObject_VectorcallMethod(ask.create, list, size_t(rank) + 1, nullptr));
    }
    dlpack::Tensor t;
    if (!y || ask.read(y.ptr(), &t)) return nullptr;
    void* addresses[most_operands + 1];
    size_t given = 0;
    addresses[given++] = const_cast<void*>(first);
    for (size_t i = 1; i < n; i++)
      if (e->source[i].rank >= 0) addresses[given++] = const_cast<void*>(i == 1 && e->instead ? e->instead : e->source[i].data);
    addresses[given++] = t.data;
    const Prepared* p = prepared_of(e->bound.ptr());
    run_prepared(*p, addresses, given);   // `e` keeps the call and the packed copy alive, whatever other threads do to the route meanwhile
    return y.release().ptr();
  });
}

// add(operands, bound, shape, version, flag, large, sample_bytes, address, owner): what the next call like this one may do.
PyObject* route_add(PyObject* self, PyObject* args) {
  PyObject *operands = nullptr, *bound = nullptr, *shape = nullptr, *address = nullptr, *owner = nullptr;
  auto e = std::make_shared<Entry>();
  long long sample_bytes = 0;
  int large = 0;
  PyTypeObject* const tuple = &PyTuple_Type;
  if (!PyArg_ParseTuple(args, "O!OO!LlpLOO:add", tuple, &operands, &bound, tuple, &shape, &e->version, &e->flag, &large, &sample_bytes, &address, &owner))
    return nullptr;
  if (!prepared_of(bound)) return nullptr;
  e->n = size_t(PyTuple_GET_SIZE(operands));
  if (!ask.read || e->n < 2 || e->n > most_operands || PyTuple_GET_SIZE(shape) > max_rank) Py_RETURN_NONE;
  for (size_t i = 0; i < e->n; i++) {
    dlpack::Tensor t;
    Entry::Source& s = e->source[i];
    if (PyTuple_GET_ITEM(operands, i) == Py_None) continue;
    if (ask.read(PyTuple_GET_ITEM(operands, i), &t)) return nullptr;
    if (t.ndim > max_rank || t.byte_offset) Py_RETURN_NONE;
    s.rank = t.ndim;
    std::memcpy(s.shape, t.shape, size_t(t.ndim) * sizeof(int64_t));
    std::memcpy(s.stride, t.strides, size_t(t.ndim) * sizeof(int64_t));
    if (i && !t.data) Py_RETURN_NONE;     // empty: not worth a route
    s.data = i ? t.data : nullptr;
  }
  e->large = large != 0;
  e->sample_bytes = sample_bytes;
  if (sample_bytes) e->sample = sample_of(e->source[1].data, sample_bytes);
  e->instead = PyLong_AsVoidPtr(address);
  if (!e->instead && PyErr_Occurred()) return nullptr;
  e->bound = py::reinterpret_borrow<py::object>(bound);
  e->owner = py::reinterpret_borrow<py::object>(owner);
  e->shape = py::reinterpret_borrow<py::object>(shape);
  const Py_ssize_t rank = PyTuple_GET_SIZE(shape);
  e->stride = py::reinterpret_steal<py::object>(PyTuple_New(rank));
  long long step = 1;
  for (Py_ssize_t i = rank; e->stride && i-- > 0;) {
    PyTuple_SET_ITEM(e->stride.ptr(), i, PyLong_FromLongLong(step));
    const long long size = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, i));
    step *= size > 1 ? size : 1;
  }
  if (PyErr_Occurred()) return nullptr;
  auto& entries = *reinterpret_cast<RouteObject*>(self)->entries;
  if (entries.size() < most_entries) entries.push_back(std::move(e));    // lengths that never repeat go the caller's own way
  Py_RETURN_NONE;
}

void route_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<RouteObject*>(self)->entries;
  type->tp_free(self);
  Py_DECREF(type);
}

// routed(x, weight, ..., flag): by the route of that weight, if it has one.
PyObject* routed(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n < 3 || !ask.held) Py_RETURN_NONE;
  PyObject* key = PyLong_FromVoidPtr(args[1]);
  PyObject* const held = key ? PyDict_GetItemWithError(ask.held, key) : nullptr;
  Py_XDECREF(key);
  if (!held && PyErr_Occurred()) return nullptr;
  if (!held) Py_RETURN_NONE;
  const auto route = py::reinterpret_steal<py::object>(PyObject_GetAttr(held, ask.route));
  const auto level = py::reinterpret_steal<py::object>(PyObject_GetAttr(ask.level_of, ask.level));
  if (!route || !level) return nullptr;
  if (Py_TYPE(route.ptr())->tp_dealloc != route_dealloc || PyLong_AsLong(level.ptr()) >= 0) Py_RETURN_NONE;
  return route_vectorcall(route.ptr(), args, size_t(n), nullptr);
}

PyObject* route_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) return nullptr;
  reinterpret_cast<RouteObject*>(self)->vectorcall = route_vectorcall;
  reinterpret_cast<RouteObject*>(self)->entries = new std::vector<std::shared_ptr<Entry>>;
  return self;
}

// routes(exchange capsule, types, watch, grad_enabled, empty, (strided or None, dtype), (held, name of its route), (owner, name of its level)):
// False where the table is of another major version.
PyObject* set_questions(PyObject*, PyObject* args) {
  PyObject *capsule = nullptr, *types = nullptr, *watch = nullptr, *grad = nullptr, *empty = nullptr;
  PyObject *strided = nullptr, *dtype = nullptr, *held = nullptr, *route = nullptr, *owner = nullptr, *level = nullptr;
  PyTypeObject* const tuple = &PyTuple_Type;
  if (!PyArg_ParseTuple(args, "OO!O!OO(OO)(O!U)(OU):routes", &capsule, tuple, &types, tuple, &watch, &grad, &empty, &strided, &dtype, &PyDict_Type, &held,
                        &route, &owner, &level))
    return nullptr;
  const auto* table = static_cast<const dlpack::ExchangeTable*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
  if (!table) return nullptr;
  while (table && table->version.major != 1) table = table->older;
  if (!table || !table->read) Py_RETURN_FALSE;
  ask.read = table->read;
  ask.types = Py_NewRef(types);
  ask.watch = Py_NewRef(watch);
  ask.grad_enabled = Py_NewRef(grad);
  ask.empty = Py_NewRef(empty);
  ask.strided = strided == Py_None ? nullptr : Py_NewRef(strided);
  ask.dtype = Py_NewRef(dtype);
  ask.held = Py_NewRef(held);
  ask.level_of = Py_NewRef(owner);
  ask.route = Py_NewRef(route);
  ask.level = Py_NewRef(level);
  ask.is_neg = PyUnicode_InternFromString("is_neg");
  ask.requires_grad = PyUnicode_InternFromString("requires_grad");
  ask.version = PyUnicode_InternFromString("_version");
  ask.create = PyUnicode_InternFromString("new");
  Py_RETURN_TRUE;
}

}  // namespace

void bind_route(py::module_& m) {
  static PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(RouteObject, vectorcall), READONLY, nullptr}, {}};
  static PyMethodDef methods[] = {{"add", route_add, METH_VARARGS, "Remembers a prepared call for operands like these."}, {}};
  static const char doc[] = "Prepared calls on one weight: route(x, weight, ..., flag) runs the one that fits, or gives None.";
  static PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>(doc)},
                                {Py_tp_new, reinterpret_cast<void*>(route_new)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(route_dealloc)},
                                {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_members, members},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {"accelnn._C.Route", sizeof(RouteObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  m.attr("Route") = py::reinterpret_steal<py::object>(type);
  static PyMethodDef functions[] = {{"routes", set_questions, METH_VARARGS, "Says how routes read tensors and what must not be going on."},
                                    {"routed", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(routed)), METH_FASTCALL,
                                     "routed(x, weight, ..., flag): a prepared call by the route of that weight, or None."},
                                    {}};
  if (PyModule_AddFunctions(m.ptr(), functions)) throw py::error_already_set();
}

}  // namespace accelnn
