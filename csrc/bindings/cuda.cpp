// _C.cuda: the launcher (csrc/runtime/cuda) for Python. Nothing is opened before the first call; whatever may wait for the device lets go of the GIL.
#include "cuda_objects.h"
#include "cuda/memory.h"
#include "cuda/tensor_map.h"

namespace accelnn {

namespace {

using cuda::Address;

cuda::StreamHandle stream_of(uint64_t handle) { return reinterpret_cast<cuda::StreamHandle>(handle); }

template <class F> void unlocked(const F& f) {
  Status s;
  {
    py::gil_scoped_release released;
    s = f();
  }
  require(s);
}

// How many devices there are, and why there are none.
py::tuple available() {
  int n = 0;
  Status s;
  {
    py::gil_scoped_release released;
    s = cuda::device_count(&n);
  }
  return py::make_tuple(n, !s.ok() ? s.text : n ? ""
                                                : "cuda: the driver is there, but no device");
}

py::dict device_info(int device) {
  const cuda::DeviceInfo* i = nullptr;
  require(cuda::device_info(device, &i));
  py::dict d;
  d["name"] = i->name;
  d["arch"] = "sm_" + std::to_string(i->major) + std::to_string(i->minor);
  d["units"] = i->units;
  d["warp"] = i->warp;
  d["threads_per_block"] = i->threads_per_block;
  d["threads_per_unit"] = i->threads_per_unit;
  d["shared"] = i->shared_optin;
  d["shared_without_asking"] = i->shared_per_block;
  d["shared_per_unit"] = i->shared_per_unit;
  d["l2"] = i->l2_bytes;
  d["memory"] = i->memory;
  d["clock_khz"] = i->clock_khz;
  d["memory_clock_khz"] = i->memory_clock_khz;
  d["memory_bus_bits"] = i->memory_bus_bits;
  d["cooperative"] = i->cooperative != 0;
  d["clusters"] = i->clusters != 0;
  d["driver"] = std::to_string(i->driver / 1000) + "." + std::to_string(i->driver % 1000 / 10);
  return d;
}

py::tuple memory_info(int device) {
  size_t free_bytes = 0, total = 0;
  unlocked([&] { return cuda::memory_info(device, &free_bytes, &total); });
  return py::make_tuple(free_bytes, total);
}

Address alloc(size_t bytes, int device) {
  Address a = 0;
  unlocked([&] { return cuda::alloc(device, bytes, &a); });
  return a;
}

void free_memory(Address address, int device) {
  unlocked([&] { return cuda::free(device, address); });
}

int owner_of(Address address) {
  int owner = 0;
  unlocked([&] { return cuda::owner_of(0, address, &owner); });
  return owner;
}

// Memory of the host as one piece.
struct Host {
  Py_buffer buffer;
  Host(const py::object& o, int flags) {
    if (PyObject_GetBuffer(o.ptr(), &buffer, flags | PyBUF_C_CONTIGUOUS)) throw py::error_already_set();
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host() { PyBuffer_Release(&buffer); }
};

void upload(Address to, const py::object& from, uint64_t stream, int device, bool wait) {
  const Host host(from, PyBUF_SIMPLE);
  unlocked([&] { return cuda::upload(device, to, host.buffer.buf, size_t(host.buffer.len), stream_of(stream), wait); });
}

void download(const py::object& to, Address from, uint64_t stream, int device, bool wait) {
  const Host host(to, PyBUF_WRITABLE);
  unlocked([&] { return cuda::download(device, host.buffer.buf, from, size_t(host.buffer.len), stream_of(stream), wait); });
}

void copy(Address to, Address from, size_t bytes, uint64_t stream, int device) {
  unlocked([&] { return cuda::copy(device, to, from, bytes, stream_of(stream)); });
}

void fill(Address to, unsigned value, size_t count, int width, uint64_t stream, int device) {
  unlocked([&] { return cuda::fill(device, to, value, width, count, stream_of(stream)); });
}

struct MapType {
  const char* name;
  int number, bytes;
};
constexpr MapType map_types[] = {
    {"u8", 0, 1},
    {"u16", 1, 2},
    {"u32", 2, 4},
    {"i32", 3, 4},
    {"u64", 4, 8},
    {"i64", 5, 8},
    {"f16", 6, 2},
    {"f32", 7, 4},
    {"bf16", 9, 2},
    {"tf32", 11, 4},
};

// Sizes and strides come in the order of a tensor's dimensions, in elements; the accelerator counts from the innermost.
py::bytes tensor_map(const std::string& type, Address address, const std::vector<uint64_t>& shape, const std::vector<uint64_t>& stride,
                     const std::vector<uint32_t>& box, std::vector<uint32_t> step, int swizzle, int promotion, bool nan, int device) {
  const MapType* found = nullptr;
  for (const MapType& t : map_types)
    if (type == t.name) found = &t;
  if (!found) refuse(Code::dtype, "cuda: tensor map: elements of type " + type + ": u8, u16, u32, i32, u64, i64, f16, bf16, f32 or tf32 expected");
  const size_t rank = shape.size();
  if (step.empty()) step.assign(rank, 1);
  if (stride.size() != rank || box.size() != rank || step.size() != rank)
    refuse(Code::shape, "cuda: tensor map: shape, stride, box and step of different lengths");
  cuda::MapSpec spec = {found->number, found->bytes, int(rank), address, {}, {}, {}, {}, swizzle, promotion, nan};
  for (size_t d = 0; d < rank && rank <= cuda::max_map_rank; d++) {
    const size_t from = rank - 1 - d;
    spec.shape[d] = shape[from];
    spec.stride[d] = stride[from] * uint64_t(found->bytes);
    spec.box[d] = box[from];
    spec.step[d] = step[from];
  }
  cuda::TensorMap map;
  require(cuda::encode(device, spec, &map));
  return py::bytes(reinterpret_cast<const char*>(&map), sizeof map);
}

void begin_capture(uint64_t stream, int device) {
  unlocked([&] { return cuda::begin_capture(device, stream_of(stream)); });
}

std::unique_ptr<PyGraph> end_capture(uint64_t stream, int device) {
  auto g = std::make_unique<PyGraph>();
  unlocked([&] { return cuda::end_capture(device, stream_of(stream), &g->it); });
  return g;
}

bool is_capturing(uint64_t stream, int device) {
  bool yes = false;
  require(cuda::is_capturing(device, stream_of(stream), &yes));
  return yes;
}

void bind_memory(py::module_& m) {
  const auto device = py::arg("device") = 0;
  const auto stream = py::arg("stream") = 0;
  m.def("available", &available);
  m.def("device_info", &device_info, device);
  m.def("memory_info", &memory_info, device);
  m.def("alloc", &alloc, py::arg("bytes"), device);
  m.def("free", &free_memory, py::arg("address"), device);
  m.def("owner_of", &owner_of, py::arg("address"));
  m.def("upload", &upload, py::arg("to"), py::arg("host"), stream, device, py::arg("wait") = true);
  m.def("download", &download, py::arg("host"), py::arg("address"), stream, device, py::arg("wait") = true);
  m.def("copy", &copy, py::arg("to"), py::arg("address"), py::arg("bytes"), stream, device);
  m.def("fill", &fill, py::arg("to"), py::arg("value"), py::arg("count"), py::arg("width") = 1, stream, device);
  m.def("tensor_map", &tensor_map, py::arg("dtype"), py::arg("address"), py::arg("shape"), py::arg("stride"), py::arg("box"),
        py::arg("step") = std::vector<uint32_t>(), py::arg("swizzle") = 0, py::arg("promotion") = 128, py::arg("nan") = false, device);
}

void bind_streams(py::module_& m) {
  const auto device = py::arg("device") = 0;
  const auto stream = py::arg("stream") = 0;
  m.def(
      "synchronize", [](py::object of, int d) {
        if (of.is_none()) return unlocked([&] { return cuda::synchronize(d); });
        const uint64_t handle = of.cast<uint64_t>();
        unlocked([&] { return cuda::synchronize(d, stream_of(handle)); });
      },
      py::arg("stream") = py::none(), device);
  m.def(
      "idle", [](uint64_t s, int d) {
        bool done = false;
        require(cuda::idle(d, stream_of(s), &done));
        return done;
      },
      stream, device);
  m.def("begin_capture", &begin_capture, py::arg("stream"), device);
  m.def("end_capture", &end_capture, py::arg("stream"), device);
  m.def("is_capturing", &is_capturing, py::arg("stream"), device);

  py::class_<PyStream>(m, "Stream")
      .def(py::init([](int d) {
             auto s = std::make_unique<PyStream>();
             require(cuda::create(&s->it, d));
             return s;
           }),
           device)
      .def_property_readonly("handle", [](const PyStream& s) { return reinterpret_cast<uint64_t>(s.it.handle); })
      .def_property_readonly("device", [](const PyStream& s) { return s.it.device; });

  py::class_<PyEvent>(m, "Event")
      .def(py::init([](int d, bool timing) {
             auto e = std::make_unique<PyEvent>();
             require(cuda::create(&e->it, d, timing));
             return e;
           }),
           device, py::arg("timing") = true)
      .def("record", [](PyEvent& e, uint64_t s) { unlocked([&] { return cuda::record(e.it, stream_of(s)); }); }, stream)
      .def("hold", [](PyEvent& e, uint64_t s) { unlocked([&] { return cuda::wait(e.it.device, stream_of(s), e.it.handle); }); }, stream)
      .def("synchronize", [](PyEvent& e) { unlocked([&] { return cuda::synchronize(e.it); }); })
      .def("since", [](PyEvent& to, PyEvent& from) {
      float ms = 0;
      require(cuda::elapsed(from.it, to.it, &ms));
      return ms; })
      .def_property_readonly("happened", [](PyEvent& e) {
      bool done = false;
      require(cuda::happened(e.it, &done));
      return done; });

  py::class_<PyGraph>(m, "Graph")
      .def("launch", [](PyGraph& g, uint64_t s) { unlocked([&] { return cuda::launch(g.it, stream_of(s)); }); }, stream)
      .def_property_readonly("nodes", [](const PyGraph& g) { return g.it.nodes; })
      .def_property_readonly("device", [](const PyGraph& g) { return g.it.device; });
}

}  // namespace

void report_unraisable(const Status& s) {
  if (s.ok()) return;
  const py::error_scope kept;
  try {
    require(s);
  } catch (...) {
    set_python_error();
  }
  PyErr_WriteUnraisable(nullptr);
}

void bind_cuda(py::module_& m) {
  py::module_ cuda = m.def_submodule("cuda", "The CUDA driver, opened when it is first asked.");
  bind_memory(cuda);
  bind_streams(cuda);
  bind_launch(cuda);
}

}  // namespace accelnn
