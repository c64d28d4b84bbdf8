#include "view.h"

namespace accelnn {

// A failed Status becomes the exception class that accelnn.core.errors keeps for its code.
static void raise(const StatusError& e) {
  const py::object error = py::module_::import("accelnn.core.errors").attr("from_status")(int(e.status.code), e.status.text);
  PyErr_SetObject(py::type::of(error).ptr(), error.ptr());
}

static void translate(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const StatusError& e) {
    raise(e);
  }
}

void set_python_error() noexcept {
  try {
    try {
      throw;
    } catch (const StatusError& e) {
      raise(e);
    }
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const py::cast_error& e) {
    PyErr_SetString(PyExc_TypeError, e.what());
  } catch (const py::builtin_exception& e) {
    e.set_error();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
}

}  // namespace accelnn

PYBIND11_MODULE(_C, m) {
  using namespace accelnn;
  m.doc() = "The C++ half of accelnn: memory views, op tables, plans.";
  pybind11::register_local_exception_translator(&translate);
  py::list names;
  for (int i = 0; i < n_dtypes; i++) names.append(name_of(DType(i)));
  m.attr("dtypes") = names;
  bind_views(m);
  bind_ops(m);
  bind_plan(m);
  bind_tensor(m);
  bind_caller(m);
  bind_ceilings(m);
  bind_bound(m);
  bind_route(m);
  bind_cuda(m);
  bind_cuda_rows(m);
}
