// Plans: one C++ call a run, with the interpreter's lock given up. Each concurrent caller gets a Run of its own from a small stock.
#include <vector>
#include "engine/executor.h"
#include "pool.h"
#include "tensor.h"
#include <structmember.h>

namespace accelnn {

namespace {

using plan::PortKind;

__attribute__((used)) const char* const with_flows = &accelnn_flow;      // asks the linker for them

py::buffer_info contiguous_bytes(const py::object& o) {
  py::buffer_info b = py::reinterpret_borrow<py::buffer>(o).request();
  if (b.itemsize != 1 || b.ndim != 1 || b.strides[0] != 1) refuse(Code::shape, "bytes expected: a buffer of one dimension, without gaps");
  return b;
}

class PyPlan {
 public:
  // A View of bytes is used where it lies, and read-only from now on; any other buffer is copied.
  explicit PyPlan(const py::object& file) {
    require_sound_environment();
    if (is_view(file)) {
      const View& v = view_of(file);
      if (v.t.dtype != DType::u8 || v.t.rank != 1 || !v.t.contiguous()) refuse(Code::shape, "a plan's bytes are uint8[n], contiguous");
      file_ = v.storage;
      file_->writable = false;
      require(Plan::open(v.t.data, size_t(v.t.shape[0]), all_tables, n_all_tables, file_->owner ? Plan::Keep::borrow : Plan::Keep::allocated, &plan_));
      return;
    }
    const py::buffer_info bytes = contiguous_bytes(file);
    require(Plan::open(bytes.ptr, size_t(bytes.size), all_tables, n_all_tables, Plan::Keep::copy, &plan_));
  }
  PyPlan(const PyPlan&) = delete;
  PyPlan& operator=(const PyPlan&) = delete;
  ~PyPlan() {
    for (Run* r : idle_) Run::close(r);
    Plan::close(plan_);
  }

  std::vector<TensorView> views(PortKind kind, const py::tuple& given) const {
    const int expected = plan_->n(kind);
    const char* what = kind == PortKind::state ? " states" : " inputs";
    if (int(given.size()) != expected)
      refuse(Code::shape, "the plan takes " + std::to_string(expected) + what + ", not " + std::to_string(given.size()));
    std::vector<TensorView> v;
    for (const py::handle h : given) v.push_back(view_of(h).t);
    return v;
  }

  py::object run(const py::tuple& inputs, const py::tuple& states, bool profile) {
    const std::vector<TensorView> in = views(PortKind::input, inputs);
    views(PortKind::state, states);
    std::vector<int64_t> times(profile ? size_t(plan_->n_calls()) : 0);
    std::vector<View> out = run(in, states, profile ? &times : nullptr);
    py::tuple made(out.size());
    for (size_t i = 0; i < out.size(); i++) made[i] = py::cast(std::move(out[i]));
    if (!profile) return std::move(made);
    return py::make_tuple(made, times);
  }

  // As many inputs and states as the plan has; states are Views.
  std::vector<View> run(const std::vector<TensorView>& in, const py::tuple& states, std::vector<int64_t>* times) {
    const size_t n_states = size_t(plan_->n(PortKind::state)), n_out = size_t(plan_->n(PortKind::output));
    std::vector<TensorView> state(n_states), out(n_out);
    for (size_t i = 0; i < n_states; i++) {
      const View& v = view_of(PyTuple_GET_ITEM(states.ptr(), i));
      state[i] = v.t;
      if (!v.storage->writable && plan_->port(PortKind::state, int(i)).written) refuse(Code::aliasing, "a tensor that the plan updates is read-only");
    }
    require(plan_->shapes(in.data(), state.data(), out.data()));
    std::vector<View> made(n_out);
    for (size_t i = 0; i < n_out; i++) {
      made[i] = empty_view(out[i].shape, out[i].rank, out[i].dtype);
      out[i] = made[i].t;
    }
    Run* r = take();
    Status s;
    const bool stays = ++runs_ == runs_before_settling;
    {
      py::gil_scoped_release unlocked;
      if (stays) plan_->settle();
      s = r->run(in.data(), out.data(), state.data(), pool(), times ? times->data() : nullptr);
    }
    last_ = report(*r);
    arena_ = r->arena_bytes();
    idle_.push_back(r);
    require(s);
    for (size_t i = 0; i < n_states; i++)
      if (plan_->port(PortKind::state, int(i)).written) view_of(PyTuple_GET_ITEM(states.ptr(), i)).storage->version++;
    return made;
  }

  size_t n_inputs() const { return size_t(plan_->n(PortKind::input)); }
  bool takes(const py::tuple& states) const { return states.size() == size_t(plan_->n(PortKind::state)); }

  py::list calls() const { return last_; }
  int64_t arena() const { return arena_; }

  py::list ports(int kind) const {
    py::list l;
    for (int i = 0; i < plan_->n(PortKind(kind)); i++) {
      const PortInfo& p = plan_->port(PortKind(kind), i);
      py::list shape;
      for (int k = 0; k < p.rank; k++)
        shape.append(p.shape[k] >= 0 ? py::object(py::int_(p.shape[k])) : p.dim_name[k] ? py::object(py::str(p.dim_name[k]))
                                                                                        : py::none());
      l.append(py::dict(py::arg("name") = p.name, py::arg("dtype") = int(p.dtype), py::arg("shape") = py::tuple(shape), py::arg("written") = p.written));
    }
    return l;
  }

  py::bytes graph() const {
    size_t n = 0;
    const char* text = plan_->graph(&n);
    return py::bytes(text ? text : "", text ? n : 0);
  }

  int n_calls() const { return plan_->n_calls(); }
  std::vector<std::string> ops() const {
    std::vector<std::string> names;
    for (int i = 0; i < plan_->n_calls(); i++) names.push_back(plan_->op_name(i));
    return names;
  }

 private:
  Run* take() {
    if (!idle_.empty()) {
      Run* r = idle_.back();
      idle_.pop_back();
      return r;
    }
    Run* r = nullptr;
    require(Run::open(plan_, caps(), &r));
    return r;
  }

  // Names of the rows are kept only when they are asked for the first time after a new or another binding: a report must not cost the run anything.
  py::list report(const Run& r) {
    if (!r.bound() || (r.bindings_made() == reported_ && r.binding() == binding_)) return last_;
    reported_ = r.bindings_made();
    binding_ = r.binding();
    py::list l;
    for (int i = 0; i < plan_->n_calls(); i++) {
      const CallInfo c = r.call(i);
      py::list in, out;
      for (int k = 0; k < c.call->n_in; k++) in.append(describe(c.call->in[k]).text);
      for (int k = 0; k < c.call->n_out; k++) out.append(describe(c.call->out[k]).text);
      l.append(py::dict(py::arg("op") = c.op, py::arg("label") = c.label, py::arg("row") = c.row->name, py::arg("inputs") = in, py::arg("outputs") = out));
    }
    return l;
  }

  std::shared_ptr<Storage> file_;       // where the plan's bytes lie, if they are not its own
  Plan* plan_ = nullptr;
  static constexpr int64_t runs_before_settling = 16;
  int64_t runs_ = 0;
  std::vector<Run*> idle_;
  py::list last_;
  int64_t reported_ = 0, arena_ = 0;
  const void* binding_ = nullptr;
};

// A Plan as a function of Tensors that does not go through Python while nothing has changed: what `remember` was told still holds.
struct Remembered {
  py::object plan_object;
  PyPlan* plan = nullptr;
  py::tuple states;
  bool any_shape = false, grad = false;
  std::vector<TensorView> inputs;                            // shapes and dtypes that the plan was traced for
  std::vector<std::pair<py::object, int64_t>> versions;      // Views and how often they had been written
  std::vector<std::pair<py::object, bool>> flags;            // modules and whether they were in training
};

struct Runner {
  PyObject ob_base;
  vectorcallfunc entry;
  PyObject* slow;
  Remembered* last;
};

bool still(const Remembered& r) {
  if (tracing() || (!r.any_shape && r.grad == mode.no_grad)) return false;
  for (const auto& [view, version] : r.versions)
    if (view_of(view).storage->version != version) return false;
  static PyObject* const training = PyUnicode_InternFromString("training");
  for (const auto& [module, flag] : r.flags)
    if (py::reinterpret_steal<py::object>(PyObject_GetAttr(module.ptr(), training)).ptr() != (flag ? Py_True : Py_False)) return false;
  return true;
}

// Whether this call is the remembered one; then its operands.
bool operands(const Remembered& r, PyObject* const* args, size_t n, std::vector<TensorView>* in) {
  if (n != r.plan->n_inputs()) return false;
  for (size_t i = 0; i < n; i++) {
    if (!is_tensor(args[i]) || !is_view(as_tensor(args[i])->view)) return false;
    const TensorView& t = reinterpret_cast<ViewObject*>(as_tensor(args[i])->view)->v.t;
    if (!t.contiguous() || (!r.any_shape && (t.dtype != r.inputs[i].dtype || !same_shape(t, r.inputs[i])))) return false;
    in->push_back(t);
  }
  return true;
}

PyObject* run_remembered(PyObject* self, PyObject* const* args, size_t flags, PyObject* names) {
  Runner* runner = reinterpret_cast<Runner*>(self);
  const size_t n = size_t(PyVectorcall_NARGS(flags));
  try {
    std::vector<TensorView> in;
    if (names || !runner->last || !still(*runner->last) || !operands(*runner->last, args, n, &in)) return PyObject_Vectorcall(runner->slow, args, flags, names);
    const py::object alive = runner->last->plan_object;      // another thread may remember another plan meanwhile
    const py::tuple states = runner->last->states;
    std::vector<View> out = runner->last->plan->run(in, states, nullptr);
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

void remember(py::handle self, py::object plan, const py::tuple& states, const py::object& inputs, bool grad, const py::list& versions, const py::list& flags) {
  auto* r = new Remembered;
  const std::unique_ptr<Remembered> old(reinterpret_cast<Runner*>(self.ptr())->last);
  r->plan = plan.cast<PyPlan*>();
  r->plan_object = std::move(plan);
  r->states = states;
  if (!r->plan->takes(states)) refuse(Code::shape, "remember: not as many states as the plan has");
  r->any_shape = inputs.is_none();
  r->grad = grad;
  if (!r->any_shape)
    for (const py::handle h : inputs) r->inputs.push_back(view_of(h).t);
  if (!r->any_shape && r->inputs.size() != r->plan->n_inputs()) refuse(Code::shape, "remember: not as many inputs as the plan has");
  for (const py::handle h : versions) r->versions.emplace_back(py::reinterpret_borrow<py::object>(h), view_of(h).storage->version);
  for (const py::handle h : flags) r->flags.emplace_back(h.cast<py::tuple>()[0], h.cast<py::tuple>()[1].cast<bool>());
  reinterpret_cast<Runner*>(self.ptr())->last = r;
}

PyObject* make_runner(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* slow = nullptr;
  if (!PyArg_ParseTuple(args, "O", &slow)) return nullptr;
  Runner* r = reinterpret_cast<Runner*>(type->tp_alloc(type, 0));
  if (!r) return nullptr;
  r->entry = run_remembered;
  r->slow = Py_NewRef(slow);
  r->last = nullptr;
  return reinterpret_cast<PyObject*>(r);
}

int traverse_runner(PyObject* self, visitproc visit, void* arg) {
  Runner* r = reinterpret_cast<Runner*>(self);
  Py_VISIT(r->slow);
  if (r->last)
    for (const auto& flag : r->last->flags) Py_VISIT(flag.first.ptr());
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear_runner(PyObject* self) {
  Runner* r = reinterpret_cast<Runner*>(self);
  Py_CLEAR(r->slow);
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

void bind_runner(py::module_& m) {
  PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(make_runner)},
                         {Py_tp_dealloc, reinterpret_cast<void*>(drop_runner)},
                         {Py_tp_traverse, reinterpret_cast<void*>(traverse_runner)},
                         {Py_tp_clear, reinterpret_cast<void*>(clear_runner)},
                         {Py_tp_members, runner_members},
                         {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                         {0, nullptr}};
  PyType_Spec spec = {"accelnn._C.Runner", int(sizeof(Runner)), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_HAVE_GC, slots};
  const py::object type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  m.attr("Runner") = type;
  add_method(type, "remember", &remember, py::arg("plan"), py::arg("states"), py::arg("inputs"), py::arg("grad") = false, py::arg("versions") = py::list(),
             py::arg("flags") = py::list());
}

}  // namespace

void bind_plan(py::module_& m) {
  bind_runner(m);
  py::class_<PyPlan>(m, "Plan", "A compiled graph, bound to this machine when it first runs.")
      .def(py::init<const py::object&>(), py::arg("bytes"))
      .def("run", py::overload_cast<const py::tuple&, const py::tuple&, bool>(&PyPlan::run), py::arg("inputs"), py::arg("states"), py::arg("profile") = false)
      .def("ports", &PyPlan::ports, py::arg("kind"))
      .def("graph", &PyPlan::graph)
      .def_property_readonly("calls", &PyPlan::calls)
      .def_property_readonly("arena", &PyPlan::arena)
      .def_property_readonly("n_calls", &PyPlan::n_calls)
      .def_property_readonly("ops", &PyPlan::ops);
  m.def("checksum", [](const py::object& o) {
    const py::buffer_info b = contiguous_bytes(o);
    return plan::checksum(b.ptr, size_t(b.size));
  });
  m.attr("plan_version") = plan::version;
}

}  // namespace accelnn
