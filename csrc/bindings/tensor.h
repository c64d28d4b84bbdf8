// The C++ half of accelnn.Tensor, and the two switches that every op call asks.
#pragma once
#include "view.h"

namespace accelnn {

// Python's Tensor derives from this type and adds methods, no fields. `view` is None while tracing.
struct TensorObject {
  PyObject ob_base;
  PyObject* view;
  PyObject* node;
  PyObject* grad;
  PyObject* spec;
  PyObject* weak;
  Py_ssize_t index;
  char requires_grad, literal;
};
extern PyTypeObject* tensor_base;          // _C.TensorBase
extern PyTypeObject* tensor_class;         // accelnn.Tensor, once _C.connect has been called
inline bool is_tensor(PyObject* o) { return Py_TYPE(o) == tensor_class || PyType_IsSubtype(Py_TYPE(o), tensor_base); }
inline TensorObject* as_tensor(PyObject* o) { return reinterpret_cast<TensorObject*>(o); }
PyObject* new_tensor(View v, PyObject* spec);      // a result without a tape; a new reference

struct Mode {
  PyObject* trace;                         // owned; null or None: nobody records
  bool no_grad;
};
extern thread_local Mode mode;
inline bool tracing() { return mode.trace && mode.trace != Py_None; }

// caller.cpp: a call of the op behind an operator (a new reference, null with an error set).
enum class Operator : int { add,
                            sub,
                            mul,
                            div,
                            matmul,
                            pow,
                            lt,
                            le,
                            gt,
                            ge,
                            eq,
                            ne,
                            count_ };
PyObject* call_operator(Operator, PyObject* a, PyObject* b);

}  // namespace accelnn
