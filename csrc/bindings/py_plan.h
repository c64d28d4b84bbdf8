// A Plan as Python holds it: the file's owner, the engine's Plan, and a stock of Runs, one for each caller at a time.
#pragma once
#include "engine/executor.h"
#include "tensor.h"

namespace accelnn {

// n elements: a few lie here, many on the heap.
template <class T> class Few {
 public:
  explicit Few(size_t n) : size_(n) {
    if (n > few) many_ = std::make_unique<T[]>(n);
    at_ = many_ ? many_.get() : some_;
  }
  Few(const Few&) = delete;
  Few& operator=(const Few&) = delete;
  T& operator[](size_t i) { return at_[i]; }
  T* data() { return at_; }
  T* begin() { return at_; }
  T* end() { return at_ + size_; }
  size_t size() const { return size_; }

 private:
  static constexpr size_t few = 4;
  size_t size_;
  T some_[few];
  std::unique_ptr<T[]> many_;
  T* at_;
};

class PyPlan {
 public:
  // A View of bytes is used where it lies, and read-only from now on; any other buffer is copied. `mapped`: the View is a file's, mapped privately.
  PyPlan(const py::object& file, bool mapped);
  PyPlan(const PyPlan&) = delete;
  PyPlan& operator=(const PyPlan&) = delete;
  ~PyPlan();

  size_t n(plan::PortKind kind) const { return size_t(plan_->n(kind)); }
  PyObject* name(plan::PortKind kind, size_t i) const { return names_[int(kind)][i].ptr(); }     // interned
  DType input_dtype(size_t i) const { return plan_->port(plan::PortKind::input, int(i)).dtype; }

  // One run, without the interpreter's lock; as many inputs, states and results as the plan has. States are Views.
  void run(const TensorView* in, const py::tuple& states, View* made, std::vector<int64_t>* times = nullptr);

  py::object run(const py::tuple& inputs, const py::tuple& states, bool profile);
  py::list calls();                       // of the latest run that is over
  int64_t arena() const { return idle_.empty() ? 0 : idle_.back()->arena_bytes(); }
  py::list ports(int kind) const;
  py::bytes graph() const;
  int n_calls() const { return plan_->n_calls(); }
  std::vector<std::string> ops() const;

 private:
  Run* take();

  std::shared_ptr<Storage> file_;         // where the plan's bytes lie, if they are not its own
  Plan* plan_ = nullptr;
  std::vector<py::object> names_[2];      // of inputs, outputs
  static constexpr int64_t runs_before_settling = 16;
  int64_t runs_ = 0;
  std::vector<Run*> idle_;                // the latest is last; guarded by the interpreter's lock
  py::list last_;
};

void bind_runner(py::module_& m);

}  // namespace accelnn
