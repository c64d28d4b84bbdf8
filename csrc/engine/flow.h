// What only a Plan with branches or loops needs (flow.cpp). The engine reaches it through a weak reference, so that a program whose Plan has none is
// linked without it; accelnn/deploy/link.py asks for it by `accelnn_flow` where the Plan has flows.
#pragma once
#include "array.h"
#include "reader.h"
#include "tensor.h"

extern "C" const char accelnn_flow;

namespace accelnn {

class Pool;
class Run;

// A run under way, and how it runs calls [first, end).
struct Pass {
  Run* run;
  Pool* pool;
  int64_t* nanoseconds;
  Status (Run::*calls)(int64_t first, int64_t end, Pool* pool, int64_t* nanoseconds);
};

struct FlowCode {
  // Reads the sections of flows and slices; sets `written` for every buffer that is written when the Plan ends, whatever the conditions were: a byte each.
  Status (*check)(plan::File* file, uint8_t* written);
  // The values that they name, n_views() of them: condition, trips and counter of every flow, then whole and part of every slice.
  int64_t (*n_views)(const plan::File& file);
  void (*values)(const plan::File& file, uint32_t* values);
  Status (*bind)(const plan::File& file, const int64_t* dims, const TensorView* views, Array<int64_t>* most_steps);
  Status (*run)(const plan::File& file, const TensorView* views, const Array<int64_t>& most_steps, int64_t limit, const Pass& pass);
};
extern const FlowCode flow_code __attribute__((weak));

}  // namespace accelnn
