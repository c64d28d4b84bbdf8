#include "view.h"
#include "alloc.h"

namespace accelnn {

Storage::~Storage() {
  if (data && !owner) release(data);
}

void require(const Status& s) {
  if (s.ok()) return;
  StatusError e;
  e.status = s;
  throw e;
}

void refuse(Code code, const std::string& sentence) {
  require(fail(code, "%s", sentence.c_str()));
  __builtin_unreachable();
}

static int64_t byte_count(const TensorView& t) {
  int64_t n = int64_t(size_of(t.dtype));
  for (int i = 0; i < t.rank; i++)
    if (t.shape[i] < 0 || __builtin_mul_overflow(n, t.shape[i], &n)) refuse(Code::shape, std::string("impossible shape ") + describe(t).text);
  return n;
}

void shape_from(py::handle shape, TensorView* t) {
  const py::sequence s = py::reinterpret_borrow<py::sequence>(shape);
  const size_t n = s.size();
  if (n > size_t(max_rank)) refuse(Code::shape, "at most 8 dimensions, not " + std::to_string(n));
  t->rank = int(n);
  for (size_t i = 0; i < n; i++) t->shape[i] = py::cast<int64_t>(s[i]);
}

View empty_view(const int64_t* shape, int rank, DType dtype) {
  View v;
  v.t.dtype = dtype;
  v.t.rank = rank;
  for (int i = 0; i < rank; i++) v.t.shape[i] = shape[i];
  v.t.set_contiguous();
  v.storage = std::make_shared<Storage>();
  v.storage->bytes = byte_count(v.t);
  v.t.data = v.storage->data = allocate(size_t(v.storage->bytes));
  if (!v.t.data) refuse(Code::memory, std::string("no memory for ") + describe(v.t).text);
  return v;
}

static DType checked_dtype(int number) {
  if (number < 0 || number >= n_dtypes) refuse(Code::dtype, "unknown dtype number " + std::to_string(number));
  return DType(number);
}

static View view_empty(py::handle shape, int dtype) {
  TensorView t;
  shape_from(shape, &t);
  return empty_view(t.shape, t.rank, checked_dtype(dtype));
}

// Shares the array's memory and keeps the array alive. bf16 has no numpy type: uint16 storage under our dtype number.
static View view_share(const py::array& a, int dtype) {
  View v;
  v.t.dtype = checked_dtype(dtype);
  if (a.ndim() > max_rank) refuse(Code::shape, "at most 8 dimensions");
  if (a.itemsize() != py::ssize_t(size_of(v.t.dtype))) refuse(Code::dtype, "the array's element size does not fit the dtype");
  v.t.rank = int(a.ndim());
  for (int i = 0; i < v.t.rank; i++) {
    v.t.shape[i] = a.shape(i);
    if (a.shape(i) > 1 && (a.strides(i) < 0 || a.strides(i) % a.itemsize())) refuse(Code::shape, "negative or odd strides cannot be shared; copy the array");
    v.t.stride[i] = a.strides(i) / a.itemsize();
  }
  v.storage = std::make_shared<Storage>();
  v.storage->owner = a;
  v.storage->writable = a.writeable();
  v.t.data = v.storage->data = const_cast<void*>(a.data());
  const Extent e = extent_of(v.t);
  v.storage->bytes = e.end - e.begin;
  return v;
}

static const char* numpy_code(DType t) {
  static const char* const codes[] = {"f4", "f2", "u2", "i1", "u1", "i4", "i8", "?"};
  return codes[int(t)];
}

static py::array view_numpy(py::object self) {
  const View& v = self.cast<const View&>();
  std::vector<py::ssize_t> shape(v.t.shape, v.t.shape + v.t.rank), strides(size_t(v.t.rank));
  for (int i = 0; i < v.t.rank; i++) strides[size_t(i)] = v.t.stride[i] * py::ssize_t(size_of(v.t.dtype));
  py::array a(py::dtype(numpy_code(v.t.dtype)), shape, strides, v.t.data, self);
  if (!v.storage->writable) a.attr("flags").attr("writeable") = false;
  return a;
}

// Another window on the same memory; refused where it would leave the storage.
static View view_strided(const View& v, py::handle shape, py::handle stride, int64_t offset) {
  View w = v;
  TensorView strides;
  shape_from(shape, &w.t);
  shape_from(stride, &strides);
  if (strides.rank != w.t.rank) refuse(Code::shape, "as many strides as dimensions are needed");
  for (int i = 0; i < w.t.rank; i++) w.t.stride[i] = strides.shape[i];
  w.t.data = static_cast<char*>(v.t.data) + offset * int64_t(size_of(v.t.dtype));
  int64_t last = 0;
  bool empty = false;
  for (int i = 0; i < w.t.rank; i++) {
    if (w.t.shape[i] < 0 || w.t.stride[i] < 0) refuse(Code::shape, "negative sizes or strides");
    empty |= w.t.shape[i] == 0;
    int64_t reach = 0;
    if (w.t.shape[i] && __builtin_mul_overflow(w.t.shape[i] - 1, w.t.stride[i], &reach)) refuse(Code::shape, "the view is too large");
    if (__builtin_add_overflow(last, reach, &last)) refuse(Code::shape, "the view is too large");
  }
  const char* begin = static_cast<const char*>(w.t.data);
  const char* base = static_cast<const char*>(v.storage->data);
  const int64_t room = (base + v.storage->bytes - begin) / int64_t(size_of(v.t.dtype));
  if (begin < base || (!empty && last >= room)) refuse(Code::bound, "the view leaves its tensor's memory");
  return w;
}

template <class Get> static py::tuple tuple_of(const TensorView& t, Get get) {
  py::tuple r(size_t(t.rank));
  for (int i = 0; i < t.rank; i++) r[size_t(i)] = get(i);
  return r;
}

void bind_views(py::module_& m) {
  py::class_<View> view(m, "View", "A strided window on memory: the C++ half of a Tensor.");
  view.def_static("empty", &view_empty, py::arg("shape"), py::arg("dtype"))
      .def_static("share", &view_share, py::arg("array"), py::arg("dtype"))
      .def("numpy", [](py::object self) { return view_numpy(std::move(self)); })
      .def("strided", &view_strided, py::arg("shape"), py::arg("stride"), py::arg("offset") = 0)
      .def_property_readonly("shape", [](const View& v) { return tuple_of(v.t, [&](int i) { return v.t.shape[i]; }); })
      .def_property_readonly("stride", [](const View& v) { return tuple_of(v.t, [&](int i) { return v.t.stride[i]; }); })
      .def_property_readonly("dtype", [](const View& v) { return int(v.t.dtype); })
      .def_property_readonly("contiguous", [](const View& v) { return v.t.contiguous(); })
      .def_property_readonly("writable", [](const View& v) { return v.storage->writable; })
      .def_property_readonly("address", [](const View& v) { return reinterpret_cast<uintptr_t>(v.t.data); })
      .def_property_readonly("version", [](const View& v) { return v.storage->version; })
      .def("bump", [](const View& v) { v.storage->version++; }, "Says that the memory was written in place.");
  bind_dlpack(m, view);
}

}  // namespace accelnn
