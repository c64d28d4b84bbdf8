// Launches that are prepared once and done again and again: the calls of a Plan on a device (docs/adr/0019).
#pragma once
#include "cuda/module.h"
#include "cuda/streams.h"

namespace accelnn::cuda {

struct Copy {
  Address to, from;
  size_t bytes;
};

struct Step {
  Function* function;
  Grid grid;
  int64_t shared;
  size_t at, bytes;                       // of its arguments
};

struct Replay {
  int device = 0;
  Step* steps = nullptr;
  char* arguments = nullptr;
  size_t n = 0, room = 0, used = 0, reserved = 0;             // room, reserved: bytes behind `steps` and `arguments`
  bool recorded = false;                  // `graph` holds the launches
  Graph graph;
};

// Before the first run. The function must outlive the Replay; its arguments are copied.
Status append(Replay* r, Function& f, const Grid& grid, int64_t shared, const void* arguments, size_t bytes);
// Copies, the launches, copies. The first run launches one by one, because drivers load late what a kernel needs, and records then; the others launch the
// graph. Where the recording fails the run has been done all the same, and the next one records again.
Status run(Replay* r, const Copy* before, size_t n_before, const Copy* after, size_t n_after, StreamHandle stream);
Status destroy(Replay* r);

}  // namespace accelnn::cuda
