// DLPack (dmlc/dlpack, v0.8 structures): memory shared with torch, numpy, jax without a copy. The structures are restated here; they are an ABI.
#include "view.h"

namespace accelnn {

namespace {

struct DLDevice { int32_t type, id; };
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

constexpr int32_t cpu = 1;
// code (0 signed, 1 unsigned, 2 float, 4 bfloat, 6 bool), bits, lanes
constexpr DLDataType codes[n_dtypes] = {{2, 32, 1},  // f32
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

struct Export {
  DLManagedTensor managed;
  View view;
};

py::capsule to_capsule(const View& v) {
  Export* e = new Export{{}, v};
  v.storage->lendings++, v.storage->lent++;
  e->managed.tensor = {v.t.data, {cpu, 0}, v.t.rank, codes[int(v.t.dtype)], e->view.t.shape, e->view.t.stride, 0};
  e->managed.context = e;
  e->managed.deleter = [](DLManagedTensor* d) {
    py::gil_scoped_acquire lock;          // the owner may be a Python object
    auto* taken = static_cast<Export*>(d->context);
    taken->view.storage->lent--;
    delete taken;
  };
  return py::capsule(&e->managed, "dltensor", [](PyObject* o) {
    if (PyCapsule_IsValid(o, "dltensor")) {                      // nobody took it
      auto* d = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(o, "dltensor"));
      d->deleter(d);
    }
  });
}

View from_capsule(const py::capsule& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), "dltensor")) refuse(Code::unsupported, "not a fresh DLPack capsule");
  auto* d = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  const DLTensor& t = d->tensor;
  if (t.device.type != cpu) refuse(Code::unsupported, "from_dlpack: the tensor is not in CPU memory; copy it to the CPU first");
  View v;
  int found = -1;
  for (int i = 0; i < n_dtypes; i++)
    if (codes[i].code == t.dtype.code && codes[i].bits == t.dtype.bits && t.dtype.lanes == 1) found = i;
  if (found < 0) refuse(Code::dtype, "from_dlpack: dtype not supported (code " + std::to_string(t.dtype.code) + ", " + std::to_string(t.dtype.bits) + " bits)");
  if (t.ndim < 0 || t.ndim > max_rank) refuse(Code::shape, "from_dlpack: at most 8 dimensions");
  v.t.dtype = DType(found);
  v.t.rank = t.ndim;
  for (int i = 0; i < t.ndim; i++) v.t.shape[i] = t.shape[i];
  v.t.set_contiguous();
  for (int i = 0; t.strides && i < t.ndim; i++) {
    if (t.shape[i] > 1 && t.strides[i] < 0) refuse(Code::shape, "from_dlpack: negative strides");
    v.t.stride[i] = t.strides[i];
  }
  v.t.data = static_cast<char*>(t.data) + t.byte_offset;
  v.storage = std::make_shared<Storage>();
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  v.storage->owner = py::capsule(d, "accelnn.dlpack", [](PyObject* o) {
    auto* taken = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(o, "accelnn.dlpack"));
    if (taken->deleter) taken->deleter(taken);
  });
  v.storage->data = v.t.data;
  const Extent e = extent_of(v.t);
  v.storage->bytes = e.end - e.begin;
  return v;
}

}  // namespace

void bind_dlpack(py::object type) {
  add_method(type, "dlpack", &to_capsule);
  add_static(type, "from_dlpack", &from_capsule, py::arg("capsule"));
}

}  // namespace accelnn
