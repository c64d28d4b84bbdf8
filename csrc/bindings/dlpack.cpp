// DLPack: memory shared with torch, numpy, CuPy and jax without a copy. Of the host as Views, of a device as numbers (accelnn.core.exchange).
#include "dlpack_abi.h"
#include "view.h"
#include <algorithm>
#include <array>

namespace accelnn {

namespace {

using dlpack::Managed;
using dlpack::Versioned;

// code (0 signed, 1 unsigned, 2 float, 4 bfloat, 6 bool), bits, lanes
constexpr dlpack::DataType codes[n_dtypes] = {{2, 32, 1},  // f32
                                              {2, 16, 1},  // f16
                                              {4, 16, 1},  // bf16
                                              {0, 8, 1},  // i8
                                              {1, 8, 1},  // u8
                                              {0, 32, 1},  // i32
                                              {0, 64, 1},  // i64
                                              {6, 8, 1},  // bool
                                              {2, 64, 1},  // f64
                                              {0, 16, 1},  // i16
                                              {1, 16, 1},  // u16
                                              {1, 32, 1},  // u32
                                              {1, 64, 1}};  // u64

template <class M> constexpr const char* fresh = "dltensor";
template <> constexpr const char* fresh<Versioned> = "dltensor_versioned";
template <class M> constexpr const char* used = "used_dltensor";
template <> constexpr const char* used<Versioned> = "used_dltensor_versioned";

void say(Managed*, uint64_t) {}
void say(Versioned* m, uint64_t flags) {
  m->version = {1, 0};
  m->flags = flags;
}
uint64_t flags_of(const Managed*) { return 0; }
uint64_t flags_of(const Versioned* m) { return m->flags; }

template <class M> struct Export {
  M managed = {};
  TensorView window;                      // shape and strides: the receiver reads them here
  std::shared_ptr<Storage> storage;       // of the host, or
  py::object owner;                       // of a device
};

template <class M> void give_back(M* m) {
  if (!Py_IsInitialized()) return;        // a thread of the receiver's, after the end: nobody is left who misses the memory
  py::gil_scoped_acquire lock;            // the owner may be a Python object
  auto* e = static_cast<Export<M>*>(m->context);
  if (e->storage) e->storage->lent--;
  delete e;
}

template <class M>
py::capsule to_capsule(const TensorView& window, dlpack::Device where, std::shared_ptr<Storage> storage, py::object owner, uint64_t flags) {
  auto* const e = new Export<M>{{}, window, std::move(storage), std::move(owner)};
  if (e->storage) e->storage->lendings++, e->storage->lent++;
  e->managed.tensor = {window.data, where, window.rank, codes[int(window.dtype)], e->window.shape, e->window.stride, 0};
  e->managed.context = e;
  e->managed.deleter = &give_back<M>;
  say(&e->managed, flags);
  return py::capsule(&e->managed, fresh<M>, [](PyObject* o) {
    if (!PyCapsule_IsValid(o, fresh<M>)) return;
    auto* const m = static_cast<M*>(PyCapsule_GetPointer(o, fresh<M>));      // nobody took it
    m->deleter(m);
  });
}

py::capsule of_view(const View& v, bool versioned, bool copied) {
  const uint64_t flags = (v.storage->writable ? 0 : dlpack::read_only) | (copied ? dlpack::copied : 0);
  if (versioned) return to_capsule<Versioned>(v.t, {dlpack::cpu, 0}, v.storage, {}, flags);
  if (!v.storage->writable) refuse(Code::aliasing, "DLPack: the memory is read-only, which a receiver that knows no version 1 cannot be told; write .clone()");
  return to_capsule<Managed>(v.t, {dlpack::cpu, 0}, v.storage, {}, flags);
}

// Memory of a device, which `owner` keeps.
py::capsule of_device(std::array<int32_t, 2> device, uint64_t address, const std::vector<int64_t>& shape, const std::vector<int64_t>& stride, int dtype,
                      py::object owner, bool versioned, bool read_only) {
  if (shape.size() > max_rank || stride.size() != shape.size()) refuse(Code::shape, "DLPack: at most 8 dimensions");
  TensorView t;
  t.data = reinterpret_cast<void*>(address);
  t.dtype = DType(dtype);
  t.rank = int(shape.size());
  std::copy(shape.begin(), shape.end(), t.shape);
  std::copy(stride.begin(), stride.end(), t.stride);
  const dlpack::Device where = {device[0], device[1]};
  if (versioned) return to_capsule<Versioned>(t, where, nullptr, std::move(owner), read_only ? dlpack::read_only : 0);
  return to_capsule<Managed>(t, where, nullptr, std::move(owner), 0);
}

// What a capsule gives: a window, whose owner gives it back.
struct Taken {
  TensorView window;
  dlpack::Device where;
  uint64_t flags;
  py::object owner;
};

TensorView window_of(const dlpack::Tensor& t) {
  TensorView v;
  int found = -1;
  for (int i = 0; i < n_dtypes; i++)
    if (codes[i].code == t.dtype.code && codes[i].bits == t.dtype.bits && t.dtype.lanes == 1) found = i;
  if (found < 0) refuse(Code::dtype, "from_dlpack: dtype not supported (code " + std::to_string(t.dtype.code) + ", " + std::to_string(t.dtype.bits) + " bits)");
  if (t.ndim < 0 || t.ndim > max_rank) refuse(Code::shape, "from_dlpack: at most 8 dimensions");
  v.dtype = DType(found);
  v.rank = t.ndim;
  for (int i = 0; i < t.ndim; i++) v.shape[i] = t.shape[i];
  v.set_contiguous();
  for (int i = 0; t.strides && i < t.ndim; i++) {
    if (t.shape[i] > 1 && t.strides[i] < 0) refuse(Code::shape, "from_dlpack: negative strides");
    v.stride[i] = t.strides[i];
  }
  v.data = static_cast<char*>(t.data) + t.byte_offset;
  return v;
}

void check_version(const Managed*) {}
void check_version(const Versioned* m) {
  if (m->version.major == 1) return;
  refuse(Code::unsupported, "from_dlpack: a capsule of DLPack " + std::to_string(m->version.major) + "." + std::to_string(m->version.minor) + ": 1 expected");
}

// Until everything about it is known to be right the capsule stays its maker's.
template <class M> Taken take_as(const py::capsule& capsule, bool of_host) {
  auto* const m = static_cast<M*>(PyCapsule_GetPointer(capsule.ptr(), fresh<M>));
  check_version(m);
  if ((m->tensor.device.type == dlpack::cpu) != of_host)
    refuse(Code::unsupported, of_host ? "from_dlpack: the tensor is not in CPU memory" : "from_dlpack: the tensor is in CPU memory");
  Taken t = {window_of(m->tensor), m->tensor.device, flags_of(m), {}};
  t.owner = py::capsule(m, "accelnn.dlpack", [](PyObject* o) {
    auto* const taken = static_cast<M*>(PyCapsule_GetPointer(o, "accelnn.dlpack"));
    if (taken->deleter) taken->deleter(taken);
  });
  PyCapsule_SetName(capsule.ptr(), used<M>);
  return t;
}

Taken take(const py::capsule& capsule, bool of_host) {
  if (PyCapsule_IsValid(capsule.ptr(), fresh<Versioned>)) return take_as<Versioned>(capsule, of_host);
  if (!PyCapsule_IsValid(capsule.ptr(), fresh<Managed>)) refuse(Code::unsupported, "not a fresh DLPack capsule");
  return take_as<Managed>(capsule, of_host);
}

View view_from(const py::capsule& capsule) {
  const Taken t = take(capsule, true);
  View v;
  v.t = t.window;
  v.storage = std::make_shared<Storage>();
  v.storage->owner = t.owner;
  v.storage->data = v.t.data;
  v.storage->writable = !(t.flags & dlpack::read_only);
  const Extent e = extent_of(v.t);
  v.storage->bytes = e.end - e.begin;
  return v;
}

// ((type, id) of the device, address, shape, strides, dtype, owner, read-only)
py::tuple numbers_from(const py::capsule& capsule) {
  const Taken t = take(capsule, false);
  py::tuple shape(t.window.rank), stride(t.window.rank);
  for (int i = 0; i < t.window.rank; i++) {
    shape[size_t(i)] = t.window.shape[i];
    stride[size_t(i)] = t.window.stride[i];
  }
  return py::make_tuple(py::make_tuple(t.where.type, t.where.id), reinterpret_cast<uint64_t>(t.window.data), shape, stride, int(t.window.dtype), t.owner,
                        bool(t.flags & dlpack::read_only));
}

}  // namespace

void bind_dlpack(py::module_& m, py::object type) {
  add_method(type, "dlpack", &of_view, py::arg("versioned") = false, py::arg("copied") = false);
  add_static(type, "from_dlpack", &view_from, py::arg("capsule"));
  m.def("dlpack", &of_device, py::arg("device"), py::arg("address"), py::arg("shape"), py::arg("stride"), py::arg("dtype"), py::arg("owner"),
        py::arg("versioned") = false, py::arg("read_only") = false);
  m.def("from_dlpack", &numbers_from, py::arg("capsule"));
}

}  // namespace accelnn
