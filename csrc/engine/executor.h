// Runs a Plan: `Plan` is the checked file and the ops it calls, immutable and shared; `Run` is one caller's memory and bindings.
//
//   Plan* plan;  ACCELNN_TRY(Plan::open(bytes, n, all_tables, n_all_tables, Plan::Keep::copy, &plan));
//   Run* run;    ACCELNN_TRY(Run::open(plan, caps(), &run));
//   TensorView out[...];  ACCELNN_TRY(plan->shapes(inputs, states, out));  // then give out[i].data memory
//   ACCELNN_TRY(run->run(inputs, out, states, pool()));
//   Run::close(run);  Plan::close(plan);                                   // in this order
//
// Arrays of views are as long as the Plan has inputs, outputs, states (n(kind)), in port order; null where it has none. Every view is contiguous,
// its data aligned to its element. What a run writes (outputs, states that a call writes) may overlap nothing else that is passed.
#pragma once
#include "array.h"
#include "flow.h"
#include "op.h"
#include "reader.h"

namespace accelnn {

struct PortInfo {
  const char* name;
  DType dtype;
  bool written;                         // by some call: true for every output, for a state that a run updates
  int rank;
  int64_t shape[max_rank];              // -1: depends on the input shapes
  const char* dim_name[max_rank];       // of a size that is exactly one named dim; else null
};
ShapeText describe(const PortInfo& port);  // "f32[batch, 784]"
struct DimInfo {
  const char* name;
  int64_t lower, upper;
};              // upper 0: unbounded

class Plan {
 public:
  // borrow: the bytes outlive the Plan, and are used where they lie if they start at a multiple of 64 (else copied). Who runs it often
  // calls settle(): a mapped file answers its first question ten times sooner without.
  // mapped: as borrow, in a private mapping of a file: settle() gives its pages back. allocated: bytes in allocate()'s memory, which has huge pages
  // already. `tables` outlives the Plan, too.
  enum class Keep { borrow,
                    mapped,
                    allocated,
                    copy };
  static Status open(const void* bytes, size_t n, const Table* const* tables, int n_tables, Keep keep, Plan** plan);
  static void close(Plan* plan);        // null is fine; its Runs are closed before

  int n(plan::PortKind kind) const { return n_ports_[int(kind)]; }
  int n_dims() const { return int(dims_.size()); }
  int n_calls() const { return int(calls_.size()); }
  const PortInfo& port(plan::PortKind kind, int i) const { return ports_[first_port(kind) + i].info; }
  const DimInfo& dim(int i) const { return dims_[i]; }
  const char* op_name(int call) const { return calls_[call].table->op->name; }
  const char* label(int call) const { return calls_[call].label; }       // "" where there is none
  const Op* op(int call) const { return calls_[call].table->op; }

  // Sizes of the outputs for inputs of these shapes (data is not looked at); `outputs` get dtype, rank, shape, contiguous strides and null data.
  // `states` may be null if no dim comes from a state.
  Status shapes(const TensorView* inputs, const TensorView* states, TensorView* outputs) const;
  // The smallest inputs that the dims' bounds allow, each dim at least `at_least`: data null. For reports and benchmarks.
  Status smallest(int64_t at_least, TensorView* inputs) const;

  // Weights over 4 MiB of borrowed bytes move to huge pages, from which they are read at 24-28 GB/s instead of 15-22. Once; thread-safe: Runs find the new
  // place when they run next.
  void settle() const;

  size_t bytes() const { return file_.bytes; }
  size_t weight_bytes() const { return size_t(file_.weights.count); }
  const char* graph(size_t* n) const {
    *n = size_t(file_.graph.count);
    return file_.graph.at;
  }   // the JSON section; null where there is none

  ~Plan();                              // use close()

 private:
  friend class Run;
  template <class T> friend T* create();
  Plan() = default;
  struct PortRecord {
    PortInfo info;
    plan::PortKind kind;
    uint32_t value, buffer;
  };
  struct CallPlan {
    const Table* table;
    const char* label;
    uint32_t first_view;
  };   // views: max_in + max_out of each op
  struct DimSource { uint32_t port, axis; };

  int first_port(plan::PortKind k) const {
    return k == plan::PortKind::input ? 0 : k == plan::PortKind::output ? n_ports_[0]
                                                                        : n_ports_[0] + n_ports_[1];
  }
  int total_ports() const { return n_ports_[0] + n_ports_[1] + n_ports_[2]; }
  Status build(const Table* const* tables, int n_tables, Keep keep);
  const char* weights() const { return __atomic_load_n(&weights_, __ATOMIC_ACQUIRE); }
  Status copy_names();
  Status resolve_calls(const Table* const* tables, int n_tables);
  Status describe_ports();
  const TensorView* given(int port, const TensorView* inputs, const TensorView* outputs, const TensorView* states) const;
  Status evaluate_dims(const TensorView* inputs, const TensorView* states, int64_t* dims) const;
  Status evaluate_port(int port, const int64_t* dims, TensorView* view) const;
  Status same_port(int port, const TensorView& expected, const TensorView& given) const;

  plan::File file_;
  void* own_ = nullptr;                 // copy of the whole file, or null
  mutable void* own_weights_ = nullptr;         // copy of the weights in huge pages, or null
  mutable const char* weights_ = nullptr;
  mutable bool settled_ = true;         // the weights lie where they stay
  bool mapped_ = false;                 // the bytes are a file's, which can be read again
  Array<char> names_;
  Array<DimInfo> dims_;
  Array<DimSource> dim_source_;
  Array<PortRecord> ports_;
  Array<CallPlan> calls_;
  int n_ports_[3] = {0, 0, 0};
  int64_t n_views_ = 0;
};

struct CallInfo {
  const char* op;
  const char* label;
  const Row* row;
  const Call* call;
};

class Run {
 public:
  // `caps` decides which rows are chosen; it must be what this machine can do, or less.
  static Status open(const Plan* plan, const Caps& caps, Run** run);
  static void close(Run* run);          // null is fine

  // Evaluates sizes, checks every call, chooses rows, places memory; done by run() when the dims are new. Data pointers are not looked at: an op's
  // check, refuse and workspace see addresses that nobody has, of the right distances, so they must not read data nor decide by an address.
  Status bind(const TensorView* inputs, const TensorView* states);
  // One pass over the calls. `pool` may be null (one thread). `nanoseconds`, if given, gets the time of each of n_calls() calls, of all steps of a loop.
  Status run(const TensorView* inputs, const TensorView* outputs, const TensorView* states, Pool* pool, int64_t* nanoseconds = nullptr);
  // The same after a bind() for these very inputs and states, which told what the outputs look like.
  Status run_bound(const TensorView* inputs, const TensorView* outputs, const TensorView* states, Pool* pool, int64_t* nanoseconds = nullptr);
  const TensorView& output(int i) const;                // data null

  // Of the latest binding (after bind or run): the shapes in `call` are those of that binding.
  bool bound() const { return current_ != nullptr; }
  CallInfo call(int i) const;
  int64_t arena_bytes() const;          // temporaries and the largest workspace
  int64_t workspace_bytes() const;
  int64_t bindings_made() const { return made_; }
  const void* binding() const { return current_; }      // which of the kept ones is in use
  void limit_memory(int64_t bytes) { memory_limit_ = bytes; }            // of the arena; otherwise what the machine has
  void limit_steps(int64_t n) { step_limit_ = n; }                       // of all loops of a run; otherwise as many as they take

  ~Run();                               // use close()

 private:
  template <class T> friend T* create();
  Run() = default;
  struct Patch {
    uint32_t view;
    int64_t offset;
  };
  struct BoundCall {
    Call call;
    const Row* row;
  };
  struct Binding;
  struct Place {
    char* base;
    int64_t bytes, offset;
    uint32_t slot;
  };      // of a buffer while binding
  Status find_or_make(const TensorView* inputs, const TensorView* states);
  void follow_weights();
  Status make(Binding* b);
  Status place_buffers(Binding* b, Array<Place>* places);
  Status place_temporaries(Array<Place>* places, int64_t* total) const;
  Status evaluate_values(const Binding& b, const Array<Place>& places, Array<TensorView>* values) const;
  Status bind_calls(Binding* b, const Array<Place>& places, const Array<TensorView>& values);
  Status take_pointers(const TensorView* inputs, const TensorView* outputs, const TensorView* states);
  Status check_overlap();
  Status grow_arena();
  void patch(Binding* b);
  Status run_calls(int64_t first, int64_t end, Pool* pool, int64_t* nanoseconds);

  const Plan* plan_ = nullptr;
  Caps caps_;
  static constexpr int kept = 4;
  Binding* bindings_[kept] = {};
  Binding* current_ = nullptr;
  const char* weights_ = nullptr;       // where the bindings believe them
  uint64_t clock_ = 0;
  int64_t made_ = 0;
  int64_t memory_limit_ = 0;
  int64_t step_limit_ = INT64_MAX;
  char* arena_ = nullptr;
  int64_t arena_size_ = 0;
  Array<int64_t> dims_;
  Array<char*> base_;                   // of every port, then of the arena
  Array<uint32_t> by_address_;          // ports in the order of their addresses in the last run
};

}  // namespace accelnn
