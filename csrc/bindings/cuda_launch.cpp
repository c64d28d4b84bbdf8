// _C.cuda.launch: Python's numbers become a kernel's parameters. On CPython's own calling convention: pybind11's conversions cost more than the driver.
#include "bound.h"
#include "cuda/replay.h"
#include "cuda_objects.h"
#include <cmath>
#include <cstring>

namespace accelnn {

namespace {

struct PyFunction {
  std::shared_ptr<PyModule> module;
  cuda::Function f;
  std::string signature;
  bool packed = false;                    // no signature: launches take bytes
};

[[noreturn]] void refuse_argument(const PyFunction& k, Py_ssize_t i, PyObject* o, const char* expected) {
  PyErr_Clear();
  const std::string what = py::repr(o).cast<std::string>().substr(0, 60);
  refuse(Code::dtype, "cuda: argument " + std::to_string(i) + " of " + k.f.name + " is " + what + ": " + expected + " expected");
}

template <class T> void put(char* to, T value) { memcpy(to, &value, sizeof value); }

template <class T> void put_signed(const PyFunction& k, Py_ssize_t i, PyObject* o, char* to, const char* expected) {
  int over = 0;
  const long long value = PyLong_Check(o) ? PyLong_AsLongLongAndOverflow(o, &over) : (over = 1, 0);
  if (over || value != static_cast<long long>(T(value))) refuse_argument(k, i, o, expected);
  put(to, T(value));
}

template <class T> void put_unsigned(const PyFunction& k, Py_ssize_t i, PyObject* o, char* to, const char* expected) {
  const unsigned long long value = PyLong_Check(o) ? PyLong_AsUnsignedLongLong(o) : ~0ULL;
  if (!PyLong_Check(o) || (value == ~0ULL && PyErr_Occurred()) || value != T(value)) refuse_argument(k, i, o, expected);
  put(to, T(value));
}

double real(const PyFunction& k, Py_ssize_t i, PyObject* o) {
  const double value = PyFloat_CheckExact(o) ? PyFloat_AS_DOUBLE(o) : PyFloat_AsDouble(o);
  if (value == -1 && PyErr_Occurred()) refuse_argument(k, i, o, "a number");
  return value;
}

void put_argument(const PyFunction& k, Py_ssize_t i, PyObject* o, char* to) {
  switch (k.signature[size_t(i)]) {
    case 'P':
      if (o == Py_None) return put<uint64_t>(to, 0);
      return put_unsigned<uint64_t>(k, i, o, to, "an address or None");
    case 'b': return put_signed<int8_t>(k, i, o, to, "an integer of 8 bits");
    case 'h': return put_signed<int16_t>(k, i, o, to, "an integer of 16 bits");
    case 'i': return put_signed<int32_t>(k, i, o, to, "an integer of 32 bits");
    case 'q': return put_signed<int64_t>(k, i, o, to, "an integer of 64 bits");
    case 'B': return put_unsigned<uint8_t>(k, i, o, to, "an integer from 0, of 8 bits");
    case 'H': return put_unsigned<uint16_t>(k, i, o, to, "an integer from 0, of 16 bits");
    case 'I': return put_unsigned<uint32_t>(k, i, o, to, "an integer from 0, of 32 bits");
    case 'Q': return put_unsigned<uint64_t>(k, i, o, to, "an integer from 0, of 64 bits");
    case 'f': return put(to, float(real(k, i, o)));
    case 'd': return put(to, real(k, i, o));
    default:                              // T: layout() let no other letter in
      if (!PyBytes_Check(o) || PyBytes_GET_SIZE(o) != Py_ssize_t(sizeof(cuda::TensorMap))) refuse_argument(k, i, o, "the bytes of a tensor map");
      memcpy(to, PyBytes_AS_STRING(o), sizeof(cuda::TensorMap));
  }
}

// How many bytes of `to` are parameters.
size_t pack(const PyFunction& k, PyObject* given, char* to) {
  if (k.packed) {
    if (!PyBytes_Check(given)) refuse(Code::dtype, std::string("cuda: ") + k.f.name + " has no signature: its arguments are packed bytes");
    const size_t n = size_t(PyBytes_GET_SIZE(given));
    if (n > cuda::max_parameter_bytes) refuse(Code::shape, std::string("cuda: ") + k.f.name + ": more than 4096 bytes of arguments");
    memcpy(to, PyBytes_AS_STRING(given), n);
    return n;
  }
  if (!PyTuple_Check(given)) refuse(Code::dtype, std::string("cuda: the arguments of ") + k.f.name + " are not a tuple");
  const Py_ssize_t n = PyTuple_GET_SIZE(given);
  if (n != k.f.n_parameters)
    refuse(Code::shape, "cuda: " + std::to_string(n) + " arguments for " + k.f.name + ": as many expected as in " + k.signature);
  for (Py_ssize_t i = 0; i < n; i++) put_argument(k, i, PyTuple_GET_ITEM(given, i), to + k.f.parameters[i].offset);
  return k.f.parameter_bytes;
}

int64_t integer(PyObject* o, const char* what) {
  const long long value = PyLong_Check(o) ? PyLong_AsLongLong(o) : -1;
  if (value == -1 && (PyErr_Occurred() || !PyLong_Check(o))) {
    PyErr_Clear();
    refuse(Code::dtype, std::string("cuda: launch: ") + what + " is " + py::repr(o).cast<std::string>().substr(0, 60) + ": integers expected");
  }
  return value;
}

// One size, or a tuple of one to three.
void sizes(PyObject* o, const char* what, int64_t* to) {
  to[0] = to[1] = to[2] = 1;
  if (!PyTuple_Check(o)) {
    to[0] = integer(o, what);
    return;
  }
  const Py_ssize_t n = PyTuple_GET_SIZE(o);
  if (n < 1 || n > 3) refuse(Code::shape, std::string("cuda: launch: ") + what + " has " + std::to_string(n) + " sizes: 1 to 3 expected");
  for (Py_ssize_t i = 0; i < n; i++) to[i] = integer(PyTuple_GET_ITEM(o, i), what);
}

PyTypeObject* function_type;

PyObject* launch(PyObject*, PyObject* const* a, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n < 5 || n > 6 || Py_TYPE(a[0]) != function_type) {
      PyErr_SetString(PyExc_TypeError, "launch(function, grid, block, shared, args, stream=0): a Function and 4 or 5 more expected");
      return nullptr;
    }
    PyFunction& k = *py::handle(a[0]).cast<PyFunction*>();
    cuda::Grid grid;
    sizes(a[1], "the grid", grid.blocks);
    sizes(a[2], "the block", grid.threads);
    const int64_t shared = integer(a[3], "the shared memory"), stream = n > 5 ? integer(a[5], "the stream") : 0;
    alignas(cuda::TensorMap) char arguments[cuda::max_parameter_bytes];
    const size_t bytes = pack(k, a[4], arguments);
    Status s;
    Py_BEGIN_ALLOW_THREADS;               // a full queue waits for the device, which may wait for a callback into Python
    s = cuda::launch(k.f, grid, shared, arguments, bytes, reinterpret_cast<cuda::StreamHandle>(stream));
    Py_END_ALLOW_THREADS;
    require(s);
    return Py_NewRef(Py_None);
  });
}

PyMethodDef launch_method = {"launch", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(launch)), METH_FASTCALL,
                             "launch(function, grid, block, shared, args, stream=0, /)"};

std::shared_ptr<PyModule> make_module(const py::buffer& image) {
  const py::buffer_info info = image.request();
  auto m = std::make_shared<PyModule>();
  require(cuda::create(&m->it, info.ptr, size_t(info.size * info.itemsize)));
  return m;
}

std::unique_ptr<PyFunction> make_function(const std::shared_ptr<PyModule>& m, const std::string& name, const std::optional<std::string>& signature, int device,
                                          const std::array<unsigned, 3>& cluster, bool cooperative, bool overlap) {
  auto k = std::make_unique<PyFunction>();
  k->module = m;
  k->packed = !signature;
  if (signature) k->signature = *signature;
  const cuda::Options options = {{cluster[0], cluster[1], cluster[2]}, cooperative, overlap};
  Status s;
  {
    py::gil_scoped_release released;
    s = cuda::find(&k->f, &m->it, name.c_str(), device, signature ? signature->c_str() : nullptr, options);
  }
  require(s);
  return k;
}

// (offset, bytes) of every parameter in packed arguments.
py::list parameters(const PyFunction& k) {
  py::list all;
  for (int i = 0; i < k.f.n_parameters; i++) all.append(py::make_tuple(k.f.parameters[i].offset, k.f.parameters[i].bytes));
  return all;
}

struct PyReplay {
  std::vector<py::object> functions;      // held, with their modules, longer than their launches
  Held<cuda::Replay> launches;
};

void append(PyReplay& r, const py::object& function, const py::object& grid, const py::object& block, int64_t shared, const py::object& args) {
  PyFunction& k = *function.cast<PyFunction*>();
  cuda::Grid g;
  sizes(grid.ptr(), "the grid", g.blocks);
  sizes(block.ptr(), "the block", g.threads);
  alignas(cuda::TensorMap) char arguments[cuda::max_parameter_bytes];
  const size_t bytes = pack(k, args.ptr(), arguments);
  require(cuda::append(&r.launches.it, k.f, g, shared, arguments, bytes));
  r.functions.push_back(function);
}

using Copies = std::vector<std::array<uint64_t, 3>>;

std::vector<cuda::Copy> copies_of(const Copies& given) {
  std::vector<cuda::Copy> all;
  for (const auto& [to, from, bytes] : given) all.push_back({to, from, size_t(bytes)});
  return all;
}

void run(PyReplay& r, const Copies& before, const Copies& after, uint64_t stream) {
  const std::vector<cuda::Copy> first = copies_of(before), last = copies_of(after);
  Status done;
  {
    py::gil_scoped_release released;
    done = cuda::run(&r.launches.it, first.data(), first.size(), last.data(), last.size(), reinterpret_cast<cuda::StreamHandle>(stream));
  }
  require(done);
}

void bind_replay(py::module_& m) {
  py::class_<PyReplay>(m, "Replay")
      .def(py::init([](int device) {
             auto r = std::make_unique<PyReplay>();
             r->launches.it.device = device;
             return r;
           }),
           py::arg("device") = 0)
      .def("append", &append, py::arg("function"), py::arg("grid"), py::arg("block"), py::arg("shared"), py::arg("args"))
      .def("run", &run, py::arg("before") = Copies(), py::arg("after") = Copies(), py::arg("stream") = 0)
      .def_property_readonly("launches", [](const PyReplay& r) { return r.launches.it.n; })
      .def_property_readonly("recorded", [](const PyReplay& r) { return r.launches.it.recorded; })
      .def_property_readonly("nodes", [](const PyReplay& r) { return r.launches.it.graph.nodes; });
}

}  // namespace

void bind_launch(py::module_& m) {
  py::class_<PyModule, std::shared_ptr<PyModule>>(m, "Module").def(py::init(&make_module), py::arg("image"));
  const auto function =
      py::class_<PyFunction>(m, "Function")
          .def(py::init(&make_function), py::arg("module"), py::arg("name"), py::arg("signature") = py::none(), py::arg("device") = 0,
               py::arg("cluster") = std::array<unsigned, 3>{1, 1, 1}, py::arg("cooperative") = false, py::arg("overlap") = false)
          .def_property_readonly("name", [](const PyFunction& k) { return std::string(k.f.name); })
          .def_property_readonly("device", [](const PyFunction& k) { return k.f.device; })
          .def_property_readonly("registers", [](const PyFunction& k) { return k.f.registers; })
          .def_property_readonly("local", [](const PyFunction& k) { return k.f.local_bytes; })
          .def_property_readonly("static_shared", [](const PyFunction& k) { return k.f.static_shared; })
          .def_property_readonly("threads", [](const PyFunction& k) { return k.f.threads; })
          .def_property_readonly("parameters", &parameters);
  function_type = reinterpret_cast<PyTypeObject*>(function.ptr());
  bind_replay(m);
  m.add_object("launch", py::reinterpret_steal<py::object>(PyCFunction_New(&launch_method, nullptr)));
}

}  // namespace accelnn
