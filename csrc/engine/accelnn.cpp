#include "accelnn.h"
#include <pthread.h>
#include "executor.h"
#include "linked.h"
#include "pool.h"

using namespace accelnn;
using plan::PortKind;

static_assert(ACCELNN_MAX_RANK == max_rank && ACCELNN_U64 == int(DType::u64) && ACCELNN_BOUND == int(Code::bound),
              "accelnn.h repeats our numbers");

namespace {

struct Workspace {                      // of one run at a time
  Run* run = nullptr;
  Array<TensorView> inputs, outputs;
  Workspace* next = nullptr;
};

__thread char last_error[sizeof(Status::text)];

int report(const Status& s) {
  if (!s.ok()) memcpy(last_error, s.text, sizeof last_error);
  return int(s.code);
}

Status take(const accelnn_tensor& t, const char* what, int i, TensorView* view) {
  ACCELNN_CHECK(t.rank >= 0 && t.rank <= max_rank, shape, "%s %d has rank %d; 0 to %d are possible", what, i, t.rank, max_rank);
  ACCELNN_CHECK(t.dtype >= 0 && t.dtype < n_dtypes, dtype, "%s %d has the unknown dtype %d", what, i, t.dtype);
  view->data = t.data;
  view->dtype = DType(t.dtype);
  view->rank = t.rank;
  int64_t count = 1;
  for (int k = 0; k < t.rank; k++) {
    view->shape[k] = t.shape[k];
    ACCELNN_CHECK(t.shape[k] >= 0 && !__builtin_mul_overflow(count, t.shape[k] ? t.shape[k] : 1, &count) && count <= plan::max_elements, shape,
                  "%s %d has %lld elements along axis %d", what, i, static_cast<long long>(t.shape[k]), k);
  }
  view->set_contiguous();
  return {};
}

}  // namespace

struct accelnn_model {
  Plan* plan = nullptr;
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  Workspace* idle = nullptr;

  ~accelnn_model() {
    while (Workspace* w = idle) {
      idle = w->next;
      Run::close(w->run);
      destroy(w);
    }
    Plan::close(plan);
  }
  Status open(const void* bytes, size_t size) {
    const Tables tables = linked_tables();
    ACCELNN_CHECK(tables.n, unsupported, "this program was linked without any op of accelnn");
    ACCELNN_TRY(Plan::open(bytes, size, tables.at, tables.n, Plan::Keep::borrow, &plan));
    ACCELNN_CHECK(!plan->n(PortKind::state), unsupported,
                  "this Plan keeps state ('%.60s') and runs from Python alone; build it from a net, not from a step",
                  plan->port(PortKind::state, 0).name);
    plan->settle();
    return {};
  }
  Status take_workspace(Workspace** result) {
    pthread_mutex_lock(&lock);
    Workspace* w = idle;
    if (w) idle = w->next;
    pthread_mutex_unlock(&lock);
    *result = w;
    if (w) return {};
    w = create<Workspace>();
    ACCELNN_CHECK(w, memory, "no memory for a run");
    Status s = w->inputs.resize(plan->n(PortKind::input));
    if (s.ok()) s = w->outputs.resize(plan->n(PortKind::output));
    if (s.ok()) s = Run::open(plan, caps(), &w->run);
    if (!s.ok()) return destroy(w), s;
    *result = w;
    return {};
  }
  void give_back(Workspace* w) {
    pthread_mutex_lock(&lock);
    w->next = idle;
    idle = w;
    pthread_mutex_unlock(&lock);
  }
};

namespace {

accelnn_model* open_model(const void* bytes, size_t size) {
  accelnn_model* m = create<accelnn_model>();
  if (!m) return report(fail(Code::memory, "no memory for a model")), nullptr;
  if (report(m->open(bytes, size))) return destroy(m), nullptr;
  return m;
}

int describe_port(const accelnn_model* model, PortKind kind, int i, accelnn_port* port) {
  const int n = model->plan->n(kind);
  if (i < 0 || i >= n) return report(fail(Code::shape, "there is no port %d: the model has %d of this kind", i, n));
  const PortInfo& info = model->plan->port(kind, i);
  *port = accelnn_port();
  port->name = info.name;
  port->dtype = int32_t(info.dtype);
  port->rank = info.rank;
  for (int k = 0; k < info.rank; k++) {
    port->shape[k] = info.shape[k];
    port->dim_name[k] = info.dim_name[k];
  }
  return 0;
}

Status output_shapes(const accelnn_model* model, const accelnn_tensor* inputs, accelnn_tensor* outputs) {
  Array<TensorView> in, out;
  ACCELNN_TRY(in.resize(model->plan->n(PortKind::input)));
  ACCELNN_TRY(out.resize(model->plan->n(PortKind::output)));
  for (int i = 0; i < in.size(); i++) ACCELNN_TRY(take(inputs[i], "input", i, &in[i]));
  ACCELNN_TRY(model->plan->shapes(in.data(), nullptr, out.data()));
  for (int i = 0; i < out.size(); i++) {
    outputs[i].dtype = int32_t(out[i].dtype);
    outputs[i].rank = out[i].rank;
    for (int k = 0; k < out[i].rank; k++) outputs[i].shape[k] = out[i].shape[k];
  }
  return {};
}

}  // namespace

accelnn_model* accelnn_open(const void* bytes, size_t size) { return open_model(bytes, size); }

accelnn_model* accelnn_open_linked(void) {
  if (!accelnn_model_begin) return report(fail(Code::unsupported, "no model was linked into this program")), nullptr;
  return open_model(accelnn_model_begin, size_t(accelnn_model_end - accelnn_model_begin));
}

void accelnn_close(accelnn_model* model) { destroy(model); }

int accelnn_input_count(const accelnn_model* model) { return model->plan->n(PortKind::input); }
int accelnn_output_count(const accelnn_model* model) { return model->plan->n(PortKind::output); }
int accelnn_describe_input(const accelnn_model* model, int i, accelnn_port* port) { return describe_port(model, PortKind::input, i, port); }
int accelnn_describe_output(const accelnn_model* model, int i, accelnn_port* port) { return describe_port(model, PortKind::output, i, port); }

int accelnn_output_shapes(const accelnn_model* model, const accelnn_tensor* inputs, accelnn_tensor* outputs) {
  return report(output_shapes(model, inputs, outputs));
}

int accelnn_run(accelnn_model* model, const accelnn_tensor* inputs, accelnn_tensor* outputs) {
  Workspace* w = nullptr;
  Status s = model->take_workspace(&w);
  if (!s.ok()) return report(s);
  for (int i = 0; s.ok() && i < w->inputs.size(); i++) s = take(inputs[i], "input", i, &w->inputs[i]);
  for (int i = 0; s.ok() && i < w->outputs.size(); i++) s = take(outputs[i], "output", i, &w->outputs[i]);
  if (s.ok()) s = w->run->run(w->inputs.data(), w->outputs.data(), nullptr, pool());
  model->give_back(w);
  return report(s);
}

void accelnn_set_threads(int n) { set_thread_count(n); }
int accelnn_threads(void) { return thread_count(); }
const char* accelnn_last_error(void) { return last_error; }
