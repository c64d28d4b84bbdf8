// A tensor's memory as Python holds it: a TensorView with an owner. Made once, so that a kernel call converts nothing.
#pragma once
#include <memory>
#include <vector>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include "op.h"

namespace accelnn {

namespace py = pybind11;

struct Storage {
  void* data = nullptr;
  int64_t bytes = 0;
  int64_t version = 0;                    // bumped by every write in place: autograd refuses a stale save
  int64_t lendings = 0, lent = 0;         // arrays and capsules made of this memory so far, and alive: who has one may write and bump nothing
  py::object owner;                       // none: ours, from the caching allocator
  bool writable = true;
  Storage() = default;
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();
};

struct View {
  TensorView t;
  std::shared_ptr<Storage> storage;
};

// A Python type of our own making: pybind11's instances cost 300 ns to make and 50 ns to look into, as much as a small kernel.
struct ViewObject {
  PyObject ob_base;
  View v;
};
extern PyTypeObject* view_type;
PyObject* new_view(View v);               // a new reference; null with a Python error set
inline bool is_view(py::handle h) { return Py_TYPE(h.ptr()) == view_type; }
const View& view_of(py::handle h);        // throws where it is none

struct StatusError : std::exception { Status status; };
void require(const Status& s);            // throws StatusError
[[noreturn]] void refuse(Code code, const std::string& sentence);
void set_python_error() noexcept;         // in a catch block: the exception under way becomes Python's

View empty_view(const int64_t* shape, int rank, DType dtype);
Status make_view(const TensorView& like, View* v);     // fresh memory; nothing of Python is touched
void shape_from(py::handle shape, TensorView* t);      // a sequence of ints >= 0

// Empty, or what is wrong with ACCELNN_ISA and ACCELNN_KERNEL: a typing error must not look like a measurement. Calls and plans refuse to run then.
const std::string& environment_problem();
void require_sound_environment();

// The attributes of a call, packed for one op.
struct Attrs {
  std::vector<Attr> slots;
  std::vector<std::vector<int64_t>> lists;
};
Attrs make_attrs(int op, const py::dict& given);       // defaults for what is not given; refuses names that the op does not have

template <class F, class... Extra> void add_method(py::object type, const char* name, F&& f, const Extra&... extra) {
  type.attr(name) = py::cpp_function(std::forward<F>(f), py::name(name), py::is_method(type), extra...);
}
template <class F, class... Extra> void add_static(py::object type, const char* name, F&& f, const Extra&... extra) {
  type.attr(name) = py::staticmethod(py::cpp_function(std::forward<F>(f), py::name(name), py::scope(type), extra...));
}

void bind_views(py::module_&);
void bind_ops(py::module_&);
void bind_plan(py::module_&);
void bind_dlpack(py::module_&, py::object view_type);
void bind_tensor(py::module_&);
void bind_caller(py::module_&);
void bind_ceilings(py::module_&);
void bind_bound(py::module_&);
void bind_route(py::module_&);
void bind_cuda(py::module_&);
void bind_cuda_rows(py::module_&);

}  // namespace accelnn

namespace pybind11::detail {
template <> struct type_caster<accelnn::View> {
  static constexpr auto name = const_name("View");
  template <class T> using cast_op_type = detail::cast_op_type<T>;
  bool load(handle h, bool) {
    if (!accelnn::is_view(h)) return false;
    view = &reinterpret_cast<accelnn::ViewObject*>(h.ptr())->v;
    return true;
  }
  static handle cast(accelnn::View v, return_value_policy, handle) { return accelnn::new_view(std::move(v)); }
  operator accelnn::View*() { return view; }
  operator accelnn::View&() { return *view; }
  accelnn::View* view = nullptr;
};
}  // namespace pybind11::detail
