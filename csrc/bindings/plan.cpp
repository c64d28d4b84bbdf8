// Plans: one C++ call a run, with the interpreter's lock given up. Each concurrent caller gets a Run of its own from a small stock.
#include <vector>
#include "engine/executor.h"
#include "pool.h"
#include "view.h"

namespace accelnn {

namespace {

using plan::PortKind;

class PyPlan {
 public:
  explicit PyPlan(const py::bytes& bytes) {
    require_sound_environment();
    char* data = nullptr;
    py::ssize_t n = 0;
    if (PyBytes_AsStringAndSize(bytes.ptr(), &data, &n)) throw py::error_already_set();
    require(Plan::open(data, size_t(n), all_tables, n_all_tables, Plan::Keep::copy, &plan_));
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

  py::tuple run(const py::tuple& inputs, const py::tuple& states, bool profile) {
    std::vector<TensorView> in = views(PortKind::input, inputs), state = views(PortKind::state, states), out(size_t(plan_->n(PortKind::output)));
    for (size_t i = 0; i < state.size(); i++)
      if (plan_->port(PortKind::state, int(i)).written && !view_of(states[i]).storage->writable)
        refuse(Code::aliasing, "a tensor that the plan updates is read-only");
    require(plan_->shapes(in.data(), state.data(), out.data()));
    py::tuple made(out.size());
    for (size_t i = 0; i < out.size(); i++) {
      View v = empty_view(out[i].shape, out[i].rank, out[i].dtype);
      out[i] = v.t;
      made[i] = py::cast(std::move(v));
    }
    Run* r = take();
    std::vector<int64_t> times(profile ? size_t(plan_->n_calls()) : 0);
    Status s;
    {
      py::gil_scoped_release unlocked;
      s = r->run(in.data(), out.data(), state.data(), pool(), profile ? times.data() : nullptr);
    }
    last_ = report(*r);
    idle_.push_back(r);
    require(s);
    for (size_t i = 0; i < state.size(); i++)
      if (plan_->port(PortKind::state, int(i)).written) view_of(states[i]).storage->version++;
    return profile ? py::make_tuple(made, times) : made;
  }

  py::list calls() const { return last_; }

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

  Plan* plan_ = nullptr;
  std::vector<Run*> idle_;
  py::list last_;
  int64_t reported_ = 0;
  const void* binding_ = nullptr;
};

}  // namespace

void bind_plan(py::module_& m) {
  py::class_<PyPlan>(m, "Plan", "A compiled graph, bound to this machine when it first runs.")
      .def(py::init<const py::bytes&>(), py::arg("bytes"))
      .def("run", &PyPlan::run, py::arg("inputs"), py::arg("states"), py::arg("profile") = false)
      .def("ports", &PyPlan::ports, py::arg("kind"))
      .def("graph", &PyPlan::graph)
      .def_property_readonly("calls", &PyPlan::calls)
      .def_property_readonly("n_calls", &PyPlan::n_calls)
      .def_property_readonly("ops", &PyPlan::ops);
  m.def("checksum", [](const py::bytes& b) {
    char* data = nullptr;
    py::ssize_t n = 0;
    if (PyBytes_AsStringAndSize(b.ptr(), &data, &n)) throw py::error_already_set();
    return plan::checksum(data, size_t(n));
  });
  m.attr("plan_version") = plan::version;
}

}  // namespace accelnn
