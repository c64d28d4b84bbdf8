// A tensor's memory as Python holds it: a TensorView with an owner. Made once, so that a kernel call converts nothing.
#pragma once
#include <memory>
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

struct StatusError : std::exception { Status status; };
void require(const Status& s);            // throws StatusError
[[noreturn]] void refuse(Code code, const std::string& sentence);

View empty_view(const int64_t* shape, int rank, DType dtype);
void shape_from(py::handle shape, TensorView* t);      // a sequence of ints >= 0

// Empty, or what is wrong with ACCELNN_ISA and ACCELNN_KERNEL: a typing error must not look like a measurement. Calls and plans refuse to run then.
const std::string& environment_problem();
void require_sound_environment();

void bind_views(py::module_&);
void bind_ops(py::module_&);
void bind_plan(py::module_&);
void bind_bound(py::module_&);
void bind_route(py::module_&);
void bind_dlpack(py::module_&, py::class_<View>&);

}  // namespace accelnn
