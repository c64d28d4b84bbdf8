// TensorBase: fields that C++ reads without asking Python, and the operators.
#include "tensor.h"
#include <structmember.h>

namespace accelnn {

PyTypeObject* tensor_base = nullptr;
PyTypeObject* tensor_class = nullptr;
thread_local Mode mode = {nullptr, false};

namespace {

PyObject* none() { return Py_NewRef(Py_None); }

void clear_fields(TensorObject* t) { t->view = t->node = t->grad = t->spec = t->weak = nullptr; }

int tensor_init(PyObject* self, PyObject* args, PyObject* kw) {
  static const char* const names[] = {"view", "node", "index", "requires_grad", "literal", nullptr};
  PyObject *view = nullptr, *node = Py_None;
  Py_ssize_t index = 0;
  int requires_grad = 0, literal = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kw, "O|Onpp", const_cast<char**>(names), &view, &node, &index, &requires_grad, &literal)) return -1;
  if (view != Py_None && !is_view(view) && !PyObject_HasAttrString(view, "device")) {      // accelnn.core.remote.Remote: memory of a device
    PyErr_Format(PyExc_TypeError, "Tensor: a View or None expected, not %s; to make a tensor from data use accelnn.tensor", Py_TYPE(view)->tp_name);
    return -1;
  }
  TensorObject* t = as_tensor(self);
  Py_XSETREF(t->view, Py_NewRef(view));
  Py_XSETREF(t->node, Py_NewRef(node));
  Py_XSETREF(t->grad, none());
  Py_XSETREF(t->spec, none());
  t->index = index;
  t->requires_grad = char(requires_grad);
  t->literal = char(literal);
  return 0;
}

int tensor_traverse(PyObject* self, visitproc visit, void* arg) {
  TensorObject* t = as_tensor(self);
  Py_VISIT(t->node);
  Py_VISIT(t->grad);
  Py_VISIT(t->spec);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int tensor_clear(PyObject* self) {
  TensorObject* t = as_tensor(self);
  Py_CLEAR(t->node);
  Py_CLEAR(t->grad);
  Py_CLEAR(t->spec);
  return 0;
}

void tensor_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (as_tensor(self)->weak) PyObject_ClearWeakRefs(self);
  tensor_clear(self);
  Py_CLEAR(as_tensor(self)->view);
  type->tp_free(self);
  Py_DECREF(type);
}

template <Operator op> PyObject* operate(PyObject* a, PyObject* b) { return call_operator(op, a, b); }
PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus == Py_None) return call_operator(Operator::pow, a, b);
  PyErr_SetString(PyExc_TypeError, "pow() of a Tensor takes no modulus");
  return nullptr;
}
PyObject* compare(PyObject* a, PyObject* b, int how) {
  static const Operator ops[] = {Operator::lt, Operator::le, Operator::eq, Operator::ne, Operator::gt, Operator::ge};      // Py_LT ... Py_GE
  return call_operator(ops[how], a, b);
}

PyMemberDef members[] = {{"view", T_OBJECT, offsetof(TensorObject, view), 0, nullptr},
                         {"node", T_OBJECT, offsetof(TensorObject, node), 0, nullptr},
                         {"_grad", T_OBJECT, offsetof(TensorObject, grad), 0, nullptr},
                         {"_spec", T_OBJECT, offsetof(TensorObject, spec), 0, nullptr},
                         {"index", T_PYSSIZET, offsetof(TensorObject, index), 0, nullptr},
                         {"requires_grad", T_BOOL, offsetof(TensorObject, requires_grad), 0, nullptr},
                         {"literal", T_BOOL, offsetof(TensorObject, literal), 0, nullptr},
                         {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weak), READONLY, nullptr},
                         {}};

PyObject* make_type(PyType_Slot* slots, const char* name, size_t size, unsigned flags) {
  PyType_Spec spec = {name, int(size), 0, flags, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  return type;
}

// The switches of this thread.
struct ModeObject { PyObject ob_base; };
PyObject* mode_trace(PyObject*, void*) { return Py_NewRef(mode.trace ? mode.trace : Py_None); }
int set_mode_trace(PyObject*, PyObject* value, void*) {
  Py_XSETREF(mode.trace, Py_XNewRef(value));
  return 0;
}
PyObject* mode_grad(PyObject*, void*) { return PyBool_FromLong(!mode.no_grad); }
int set_mode_grad(PyObject*, PyObject* value, void*) {
  const int on = value ? PyObject_IsTrue(value) : -1;
  if (on >= 0) mode.no_grad = !on;
  return on < 0 ? -1 : 0;
}
PyGetSetDef mode_getset[] = {{"trace", mode_trace, set_mode_trace, nullptr, nullptr}, {"grad", mode_grad, set_mode_grad, nullptr, nullptr}, {}};

}  // namespace

PyObject* new_tensor(View v, PyObject* spec) {
  PyObject* view = new_view(std::move(v));
  PyObject* self = view ? tensor_class->tp_alloc(tensor_class, 0) : nullptr;
  if (!self) {
    Py_XDECREF(view);
    return nullptr;
  }
  TensorObject* t = as_tensor(self);
  clear_fields(t);
  t->view = view;
  t->node = none();
  t->grad = none();
  t->spec = Py_NewRef(spec);
  t->index = 0;
  t->requires_grad = t->literal = 0;
  return self;
}

void bind_tensor(py::module_& m) {
  const auto slot = [](auto f) { return reinterpret_cast<void*>(f); };
  PyType_Slot slots[] = {{Py_tp_init, slot(tensor_init)},
                         {Py_tp_new, slot(PyType_GenericNew)},
                         {Py_tp_traverse, slot(tensor_traverse)},
                         {Py_tp_clear, slot(tensor_clear)},
                         {Py_tp_dealloc, slot(tensor_dealloc)},
                         {Py_tp_members, members},
                         {Py_tp_richcompare, slot(compare)},
                         {Py_tp_hash, slot(PyBaseObject_Type.tp_hash)},
                         {Py_nb_add, slot(operate<Operator::add>)},
                         {Py_nb_subtract, slot(operate<Operator::sub>)},
                         {Py_nb_multiply, slot(operate<Operator::mul>)},
                         {Py_nb_true_divide, slot(operate<Operator::div>)},
                         {Py_nb_matrix_multiply, slot(operate<Operator::matmul>)},
                         {Py_nb_power, slot(power)},
                         {0, nullptr}};
  PyObject* type = make_type(slots, "accelnn._C.TensorBase", sizeof(TensorObject), Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC);
  tensor_base = tensor_class = reinterpret_cast<PyTypeObject*>(type);
  m.attr("TensorBase") = py::reinterpret_steal<py::object>(type);

  PyType_Slot mode_slots[] = {{Py_tp_getset, mode_getset}, {0, nullptr}};
  const py::object mode_type = py::reinterpret_steal<py::object>(make_type(mode_slots, "accelnn._C.Mode", sizeof(ModeObject), Py_TPFLAGS_DEFAULT));
  m.attr("mode") = mode_type();
}

}  // namespace accelnn
