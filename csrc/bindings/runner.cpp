// A Plan as a function of Tensors and arrays that does not go through Python while nothing has changed: what `remember` was told still holds.
// A Model of one node answers in 1 us; through Python's conversions it were 8 (onnxruntime: 5).
#include "py_plan.h"
#include <structmember.h>

namespace accelnn {

namespace {

using plan::PortKind;

struct Remembered {
  py::object plan_object;
  PyPlan* plan = nullptr;
  py::tuple states;
  std::vector<std::pair<py::object, py::object>> places;     // Tensors and their Views, as long as nobody gives them others
  bool any_shape = false, grad = false;
  std::vector<TensorView> inputs;                            // shapes and dtypes that the plan was traced for
  std::vector<std::pair<py::object, int64_t>> versions;      // Views and how often they had been written
  std::vector<std::pair<py::object, bool>> flags;            // modules and whether they were in training
};

struct Runner {
  PyObject ob_base;
  vectorcallfunc entry;
  PyObject *slow, *slow_feed;
  Remembered* last;
};

bool still(const Remembered& r) {
  if (tracing() || (!r.any_shape && r.grad == mode.no_grad)) return false;
  for (const auto& [view, version] : r.versions)
    if (view_of(view).storage->version != version) return false;
  for (const auto& [tensor, view] : r.places)
    if (as_tensor(tensor.ptr())->view != view.ptr()) return false;
  static PyObject* const training = PyUnicode_InternFromString("training");
  for (const auto& [module, flag] : r.flags)
    if (py::reinterpret_steal<py::object>(PyObject_GetAttr(module.ptr(), training)).ptr() != (flag ? Py_True : Py_False)) return false;
  return true;
}

constexpr int npy_half = 23;

// numpy's number of an element type; -1: none of ours.
int dtype_of_number(int number) {
  static const DType of[] = {DType::boolean, DType::i8, DType::u8, DType::i16, DType::u16, DType::i32, DType::u32,
                             DType::i64, DType::u64, DType::i64, DType::u64, DType::f32, DType::f64};
  if (number >= 0 && number < int(sizeof of / sizeof of[0])) return int(of[number]);
  return number == npy_half ? int(DType::f16) : -1;
}

// An array that is what a Plan reads: in row-major order, aligned, of this machine's byte order and of the input's own dtype.
bool read_array(PyObject* o, DType wanted, TensorView* t) {
  static PyTypeObject* const array = py::detail::npy_api::get().PyArray_Type_;
  if (Py_TYPE(o) != array) return false;
  const auto* a = py::detail::array_proxy(o);
  const auto* d = py::detail::array_descriptor_proxy(a->descr);
  constexpr int needed = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if ((a->flags & needed) != needed || a->nd > max_rank || d->byteorder == '>' || dtype_of_number(d->type_num) != int(wanted)) return false;
  t->data = a->data;
  t->dtype = wanted;
  t->rank = a->nd;
  for (int i = 0; i < a->nd; i++) t->shape[i] = a->dimensions[i];
  t->set_contiguous();
  return true;
}

bool read_operand(const Remembered& r, size_t i, PyObject* o, TensorView* t) {
  if (is_tensor(o)) {
    if (!is_view(as_tensor(o)->view)) return false;
    *t = reinterpret_cast<ViewObject*>(as_tensor(o)->view)->v.t;
    return t->contiguous() && (r.any_shape || (t->dtype == r.inputs[i].dtype && same_shape(*t, r.inputs[i])));
  }
  return r.any_shape && read_array(o, r.plan->input_dtype(i), t);
}

PyObject* run_remembered(PyObject* self, PyObject* const* args, size_t flags, PyObject* names) {
  Runner* runner = reinterpret_cast<Runner*>(self);
  const size_t n = size_t(PyVectorcall_NARGS(flags));
  try {
    bool known = !names && runner->last && still(*runner->last) && n == runner->last->plan->n(PortKind::input);
    Few<TensorView> in(known ? n : 0);
    for (size_t i = 0; known && i < n; i++) known = read_operand(*runner->last, i, args[i], &in[i]);
    if (!known) return PyObject_Vectorcall(runner->slow, args, flags, names);
    const py::object alive = runner->last->plan_object;      // another thread may remember another plan meanwhile
    const py::tuple states = runner->last->states;
    PyPlan& plan = *runner->last->plan;
    Few<View> out(plan.n(PortKind::output));
    plan.run(in.data(), states, out.data());
    if (out.size() == 1) return new_tensor(std::move(out[0]), Py_None);
    py::tuple made(out.size());
    for (size_t i = 0; i < out.size(); i++) {
      PyObject* y = new_tensor(std::move(out[i]), Py_None);
      if (!y) throw py::error_already_set();
      PyTuple_SET_ITEM(made.ptr(), Py_ssize_t(i), y);
    }
    return made.release().ptr();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

// {name: operand} -> {name: Tensor}.
PyObject* run_feed(PyObject* self, PyObject* feed) {
  Runner* runner = reinterpret_cast<Runner*>(self);
  try {
    bool known = runner->last && PyDict_CheckExact(feed) && still(*runner->last) && size_t(PyDict_GET_SIZE(feed)) == runner->last->plan->n(PortKind::input);
    const size_t n = known ? runner->last->plan->n(PortKind::input) : 0;
    Few<TensorView> in(n);
    Few<py::object> held(n);                                 // another thread may change the dict meanwhile
    for (size_t i = 0; known && i < n; i++) {
      PyObject* o = PyDict_GetItemWithError(feed, runner->last->plan->name(PortKind::input, i));
      if (!o && PyErr_Occurred()) return nullptr;
      known = o && read_operand(*runner->last, i, o, &in[i]);
      if (known) held[i] = py::reinterpret_borrow<py::object>(o);
    }
    if (!known) return PyObject_CallOneArg(runner->slow_feed, feed);
    const py::object alive = runner->last->plan_object;
    const py::tuple states = runner->last->states;
    PyPlan& plan = *runner->last->plan;
    Few<View> out(plan.n(PortKind::output));
    plan.run(in.data(), states, out.data());
    py::dict made;
    for (size_t i = 0; i < out.size(); i++) {
      const py::object y = py::reinterpret_steal<py::object>(new_tensor(std::move(out[i]), Py_None));
      if (!y || PyDict_SetItem(made.ptr(), plan.name(PortKind::output, i), y.ptr())) throw py::error_already_set();
    }
    return made.release().ptr();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

void remember(py::handle self, py::object plan, const py::tuple& states, const py::object& inputs, bool grad, const py::list& versions, const py::list& flags,
              const py::list& places) {
  auto* r = new Remembered;
  const std::unique_ptr<Remembered> old(reinterpret_cast<Runner*>(self.ptr())->last);
  r->plan = plan.cast<PyPlan*>();
  r->plan_object = std::move(plan);
  r->states = states;
  if (states.size() != r->plan->n(PortKind::state)) refuse(Code::shape, "remember: not as many states as the plan has");
  r->any_shape = inputs.is_none();
  r->grad = grad;
  if (!r->any_shape)
    for (const py::handle h : inputs) r->inputs.push_back(view_of(h).t);
  if (!r->any_shape && r->inputs.size() != r->plan->n(PortKind::input)) refuse(Code::shape, "remember: not as many inputs as the plan has");
  for (const py::handle h : versions) r->versions.emplace_back(py::reinterpret_borrow<py::object>(h), view_of(h).storage->version);
  for (const py::handle h : places) {
    r->places.emplace_back(h.cast<py::tuple>()[0], h.cast<py::tuple>()[1]);
    if (!is_tensor(r->places.back().first.ptr())) refuse(Code::dtype, "remember: places are pairs of a Tensor and its View");
  }
  for (const py::handle h : flags) r->flags.emplace_back(h.cast<py::tuple>()[0], h.cast<py::tuple>()[1].cast<bool>());
  reinterpret_cast<Runner*>(self.ptr())->last = r;
}

PyObject* make_runner(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *slow = nullptr, *slow_feed = Py_None;
  if (!PyArg_ParseTuple(args, "O|O", &slow, &slow_feed)) return nullptr;
  Runner* r = reinterpret_cast<Runner*>(type->tp_alloc(type, 0));
  if (!r) return nullptr;
  r->entry = run_remembered;
  r->slow = Py_NewRef(slow);
  r->slow_feed = Py_NewRef(slow_feed);
  r->last = nullptr;
  return reinterpret_cast<PyObject*>(r);
}

int traverse_runner(PyObject* self, visitproc visit, void* arg) {
  Runner* r = reinterpret_cast<Runner*>(self);
  Py_VISIT(r->slow);
  Py_VISIT(r->slow_feed);
  if (r->last)
    for (const auto& flag : r->last->flags) Py_VISIT(flag.first.ptr());
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear_runner(PyObject* self) {
  Runner* r = reinterpret_cast<Runner*>(self);
  Py_CLEAR(r->slow);
  Py_CLEAR(r->slow_feed);
  delete std::exchange(r->last, nullptr);
  return 0;
}

void drop_runner(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear_runner(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef runner_members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Runner, entry), READONLY, nullptr}, {}};

PyMethodDef runner_methods[] = {{"run", run_feed, METH_O, "By names: {input: Tensor or array} -> {output: Tensor}."}, {}};

}  // namespace

void bind_runner(py::module_& m) {
  PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make_runner)},
                         {Py_tp_dealloc, reinterpret_cast<void*>(drop_runner)},
                         {Py_tp_traverse, reinterpret_cast<void*>(traverse_runner)},
                         {Py_tp_clear, reinterpret_cast<void*>(clear_runner)},
                         {Py_tp_members, runner_members},
                         {Py_tp_methods, runner_methods},
                         {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                         {0, nullptr}};
  PyType_Spec spec = {"accelnn._C.Runner", int(sizeof(Runner)), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_HAVE_GC, slots};
  const py::object type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  m.attr("Runner") = type;
  add_method(type, "remember", &remember, py::arg("plan"), py::arg("states"), py::arg("inputs"), py::arg("grad") = false, py::arg("versions") = py::list(),
             py::arg("flags") = py::list(), py::arg("places") = py::list());
}

}  // namespace accelnn
