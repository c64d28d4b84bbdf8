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

void shape_from(py::handle shape, TensorView* t) {
  const py::sequence s = py::reinterpret_borrow<py::sequence>(shape);
  const size_t n = s.size();
  if (n > size_t(max_rank)) refuse(Code::shape, "at most 8 dimensions, not " + std::to_string(n));
  t->rank = int(n);
  for (size_t i = 0; i < n; i++) t->shape[i] = py::cast<int64_t>(s[i]);
}

Status make_view(const TensorView& like, View* v) {
  v->t = like;
  v->t.set_contiguous();
  int64_t bytes = int64_t(size_of(like.dtype));
  for (int i = 0; i < like.rank; i++)
    ACCELNN_CHECK(like.shape[i] >= 0 && !__builtin_mul_overflow(bytes, like.shape[i], &bytes), shape, "impossible shape %s", describe(like).text);
  v->storage = std::make_shared<Storage>();
  v->storage->bytes = bytes;
  v->t.data = v->storage->data = allocate(size_t(bytes));
  ACCELNN_CHECK(v->t.data, memory, "no memory for %s", describe(like).text);
  return {};
}

View empty_view(const int64_t* shape, int rank, DType dtype) {
  TensorView t;
  t.dtype = dtype;
  t.rank = rank;
  for (int i = 0; i < rank; i++) t.shape[i] = shape[i];
  View v;
  require(make_view(t, &v));
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
  static const char* const codes[] = {"f4", "f2", "u2", "i1", "u1", "i4", "i8", "?", "f8", "i2", "u2", "u4", "u8"};
  return codes[int(t)];
}

// Keeps memory alive that an array shares, and counts the array.
static py::capsule lend(const std::shared_ptr<Storage>& storage) {
  storage->lendings++, storage->lent++;
  return py::capsule(new std::shared_ptr<Storage>(storage), [](void* p) {
    auto* held = static_cast<std::shared_ptr<Storage>*>(p);
    (*held)->lent--;
    delete held;
  });
}

static py::array view_numpy(const View& v) {
  std::vector<py::ssize_t> shape(v.t.shape, v.t.shape + v.t.rank), strides(size_t(v.t.rank));
  for (int i = 0; i < v.t.rank; i++) strides[size_t(i)] = v.t.stride[i] * py::ssize_t(size_of(v.t.dtype));
  py::array a(py::dtype(numpy_code(v.t.dtype)), shape, strides, v.t.data, lend(v.storage));
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

PyTypeObject* view_type = nullptr;

PyObject* new_view(View v) {
  auto* o = PyObject_New(ViewObject, view_type);
  if (o) new (&o->v) View(std::move(v));
  return reinterpret_cast<PyObject*>(o);
}

const View& view_of(py::handle h) {
  if (!is_view(h)) throw py::type_error(std::string("a View expected, not ") + Py_TYPE(h.ptr())->tp_name);
  return reinterpret_cast<ViewObject*>(h.ptr())->v;
}

static void view_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  reinterpret_cast<ViewObject*>(o)->v.~View();
  PyObject_Free(o);
  Py_DECREF(type);
}

static PyObject* tuple_of(const int64_t* values, int n) {
  PyObject* t = PyTuple_New(n);
  for (int i = 0; t && i < n; i++) PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(values[i]));
  return t;
}

template <PyObject* (*get)(const View&)> PyObject* getter(PyObject* o, void*) { return get(reinterpret_cast<ViewObject*>(o)->v); }

static PyObject* shape_of(const View& v) { return tuple_of(v.t.shape, v.t.rank); }
static PyObject* stride_of(const View& v) { return tuple_of(v.t.stride, v.t.rank); }
static PyObject* dtype_of(const View& v) { return PyLong_FromLong(long(v.t.dtype)); }
static PyObject* contiguous_of(const View& v) { return PyBool_FromLong(v.t.contiguous()); }
static PyObject* writable_of(const View& v) { return PyBool_FromLong(v.storage->writable); }
static PyObject* address_of(const View& v) { return PyLong_FromVoidPtr(v.t.data); }
// How often the memory was lent out; -1: somebody else holds it now.
static PyObject* lent_of(const View& v) { return PyLong_FromLongLong(v.storage->owner || v.storage->lent ? -1 : v.storage->lendings); }
static PyObject* version_of(const View& v) { return PyLong_FromLongLong(v.storage->version); }

static PyGetSetDef view_getset[] = {
    {"shape", getter<shape_of>, nullptr, nullptr, nullptr},
    {"stride", getter<stride_of>, nullptr, nullptr, nullptr},
    {"dtype", getter<dtype_of>, nullptr, nullptr, nullptr},
    {"contiguous", getter<contiguous_of>, nullptr, nullptr, nullptr},
    {"writable", getter<writable_of>, nullptr, nullptr, nullptr},
    {"address", getter<address_of>, nullptr, nullptr, nullptr},
    {"version", getter<version_of>, nullptr, nullptr, nullptr},
    {"lent", getter<lent_of>, nullptr, nullptr, nullptr},
    {}};

void bind_views(py::module_& m) {
  PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(view_dealloc)}, {Py_tp_getset, view_getset}, {0, nullptr}};
  PyType_Spec spec = {"accelnn._C.View", int(sizeof(ViewObject)), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  const py::object type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  view_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  m.attr("View") = type;
  type.attr("__doc__") = "A strided window on memory: the C++ half of a Tensor.";
  add_static(type, "empty", &view_empty, py::arg("shape"), py::arg("dtype"));
  add_static(type, "share", &view_share, py::arg("array"), py::arg("dtype"));
  add_method(type, "numpy", &view_numpy);
  add_method(type, "strided", &view_strided, py::arg("shape"), py::arg("stride"), py::arg("offset") = 0);
  add_method(type, "bump", [](const View& v) { v.storage->version++; });
  bind_dlpack(m, type);
}

}  // namespace accelnn
