// Plans: one C++ call a run, with the interpreter's lock given up. Each concurrent caller gets a Run of its own from a small stock.
#include "pool.h"
#include "py_plan.h"

namespace accelnn {

using plan::PortKind;

namespace {

__attribute__((used)) const char* const with_flows = &accelnn_flow;      // asks the linker for them

py::buffer_info contiguous_bytes(const py::object& o) {
  py::buffer_info b = py::reinterpret_borrow<py::buffer>(o).request();
  if (b.itemsize != 1 || b.ndim != 1 || b.strides[0] != 1) refuse(Code::shape, "bytes expected: a buffer of one dimension, without gaps");
  return b;
}

}  // namespace

PyPlan::PyPlan(const py::object& file, bool mapped) {
  require_sound_environment();
  if (is_view(file)) {
    const View& v = view_of(file);
    if (v.t.dtype != DType::u8 || v.t.rank != 1 || !v.t.contiguous()) refuse(Code::shape, "a plan's bytes are uint8[n], contiguous");
    file_ = v.storage;
    file_->writable = false;
    const Plan::Keep keep = !file_->owner ? Plan::Keep::allocated : mapped ? Plan::Keep::mapped
                                                                           : Plan::Keep::borrow;
    require(Plan::open(v.t.data, size_t(v.t.shape[0]), all_tables, n_all_tables, keep, &plan_));
  } else {
    const py::buffer_info bytes = contiguous_bytes(file);
    require(Plan::open(bytes.ptr, size_t(bytes.size), all_tables, n_all_tables, Plan::Keep::copy, &plan_));
  }
  for (const PortKind kind : {PortKind::input, PortKind::output})
    for (int i = 0; i < plan_->n(kind); i++) {
      PyObject* name = py::str(plan_->port(kind, i).name).release().ptr();
      PyUnicode_InternInPlace(&name);
      names_[int(kind)].push_back(py::reinterpret_steal<py::object>(name));
    }
}

PyPlan::~PyPlan() {
  for (Run* r : idle_) Run::close(r);
  Plan::close(plan_);
}

Run* PyPlan::take() {
  if (!idle_.empty()) {
    Run* r = idle_.back();
    idle_.pop_back();
    return r;
  }
  Run* r = nullptr;
  require(Run::open(plan_, caps(), &r));
  return r;
}

void PyPlan::run(const TensorView* in, const py::tuple& states, View* made, std::vector<int64_t>* times) {
  const size_t n_states = n(PortKind::state), n_out = n(PortKind::output);
  Few<TensorView> state(n_states), out(n_out);
  for (size_t i = 0; i < n_states; i++) {
    const View& v = view_of(PyTuple_GET_ITEM(states.ptr(), i));
    state[i] = v.t;
    if (!v.storage->writable && plan_->port(PortKind::state, int(i)).written) refuse(Code::aliasing, "a tensor that the plan updates is read-only");
  }
  Run* r = take();
  const bool stays = ++runs_ == runs_before_settling;
  Status s;
  PyThreadState* const unlocked = PyEval_SaveThread();          // nothing below throws or touches Python
  if (stays) plan_->settle();
  s = r->bind(in, state.data());
  for (size_t i = 0; s.ok() && i < n_out; i++) {
    s = make_view(r->output(int(i)), &made[i]);
    out[i] = made[i].t;
  }
  if (s.ok()) s = r->run_bound(in, out.data(), state.data(), pool(), times ? times->data() : nullptr);
  PyEval_RestoreThread(unlocked);
  idle_.push_back(r);
  require(s);
  for (size_t i = 0; i < n_states; i++)
    if (plan_->port(PortKind::state, int(i)).written) view_of(PyTuple_GET_ITEM(states.ptr(), i)).storage->version++;
}

py::object PyPlan::run(const py::tuple& inputs, const py::tuple& states, bool profile) {
  const auto as_many = [&](const py::tuple& given, PortKind kind, const char* what) {
    if (given.size() != n(kind)) refuse(Code::shape, "the plan takes " + std::to_string(n(kind)) + what + ", not " + std::to_string(given.size()));
  };
  as_many(inputs, PortKind::input, " inputs");
  as_many(states, PortKind::state, " states");
  Few<TensorView> in(n(PortKind::input));
  for (size_t i = 0; i < in.size(); i++) in[i] = view_of(inputs[i]).t;
  for (const py::handle h : states) view_of(h);
  std::vector<int64_t> times(profile ? size_t(plan_->n_calls()) : 0);
  Few<View> out(n(PortKind::output));
  run(in.data(), states, out.data(), profile ? &times : nullptr);
  py::tuple made(out.size());
  for (size_t i = 0; i < out.size(); i++) made[i] = py::cast(std::move(out[i]));
  if (!profile) return std::move(made);
  return py::make_tuple(made, times);
}

// Made when somebody asks: a report must not cost the run anything.
py::list PyPlan::calls() {
  if (idle_.empty() || !idle_.back()->bound()) return last_;
  const Run& r = *idle_.back();
  py::list l;
  for (int i = 0; i < plan_->n_calls(); i++) {
    const CallInfo c = r.call(i);
    py::list in, out;
    for (int k = 0; k < c.call->n_in; k++) in.append(describe(c.call->in[k]).text);
    for (int k = 0; k < c.call->n_out; k++) out.append(describe(c.call->out[k]).text);
    l.append(py::dict(py::arg("op") = c.op, py::arg("label") = c.label, py::arg("row") = c.row->name, py::arg("inputs") = in, py::arg("outputs") = out));
  }
  return last_ = l;
}

py::list PyPlan::ports(int kind) const {
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

py::bytes PyPlan::graph() const {
  size_t n = 0;
  const char* text = plan_->graph(&n);
  return py::bytes(text ? text : "", text ? n : 0);
}

std::vector<std::string> PyPlan::ops() const {
  std::vector<std::string> names;
  for (int i = 0; i < plan_->n_calls(); i++) names.push_back(plan_->op_name(i));
  return names;
}

void bind_plan(py::module_& m) {
  bind_runner(m);
  py::class_<PyPlan>(m, "Plan", "A compiled graph, bound to this machine when it first runs.")
      .def(py::init<const py::object&, bool>(), py::arg("bytes"), py::arg("mapped") = false)
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
