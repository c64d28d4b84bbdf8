// What only a Plan with branches or loops needs (flow.cpp). The engine reaches it through a weak reference, so that a program whose Plan has none is
// linked without it; accelnn/deploy/link.py asks for it by `accelnn_flow` where the Plan has flows.
#pragma once
#include "reader.h"
#include "tensor.h"

extern "C" const char accelnn_flow;

namespace accelnn {

// Runs calls [first, end).
struct Calls {
  Status (*some)(const Calls* who, int64_t first, int64_t end);
};

struct FlowCode {
  // Sets `written` for every buffer that is written when the Plan ends, whatever the conditions were: a byte a buffer.
  Status (*check)(const plan::File& file, uint8_t* written);
  // `views`: condition, trips and counter of every flow, then whole and part of every slice; `most`: a number a flow, to be filled in.
  Status (*bind)(const plan::File& file, const int64_t* dims, const TensorView* views, int64_t* most);
  Status (*run)(const plan::File& file, const TensorView* views, const int64_t* most, int64_t most_steps, const Calls* calls);
};
extern const FlowCode flow_code __attribute__((weak));

}  // namespace accelnn
