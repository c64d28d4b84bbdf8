#include "cuda/replay.h"
#include "cuda/memory.h"
#include "cuda/tensor_map.h"
#include <cstdlib>
#include <cstring>

namespace accelnn::cuda {

namespace {

constexpr size_t aligned = alignof(TensorMap);

// At least `least` bytes; what lies in the first `used` stays.
template <class T> Status grow(T** memory, size_t* reserved, size_t used, size_t least) {
  size_t bytes = *reserved ? *reserved : 4096;
  while (bytes < least) bytes *= 2;
  if (bytes == *reserved) return {};
  T* const fresh = static_cast<T*>(aligned_alloc(aligned, bytes));
  ACCELNN_CHECK(fresh, memory, "cuda: no memory for %zu bytes of launches", bytes);
  if (used) memcpy(static_cast<void*>(fresh), *memory, used);
  ::free(*memory);
  *memory = fresh;
  *reserved = bytes;
  return {};
}

Status launch_all(const Replay& r, StreamHandle stream) {
  for (size_t i = 0; i < r.n; i++) {
    const Step& step = r.steps[i];
    ACCELNN_TRY(launch(*step.function, step.grid, step.shared, r.arguments + step.at, step.bytes, stream));
  }
  return {};
}

// The recording is ended whatever happened in it: a stream that records on would be of no use to anybody.
Status capture(const Replay& r, StreamHandle stream, Graph* graph) {
  ACCELNN_TRY(begin_capture(r.device, stream));
  const Status launched = launch_all(r, stream);
  const Status ended = end_capture(r.device, stream, graph);
  return launched.ok() ? ended : launched;
}

// In a stream of its own: the default one cannot be recorded.
Status record(Replay* r) {
  Stream stream;
  ACCELNN_TRY(create(&stream, r->device));
  Status done = capture(*r, stream.handle, &r->graph);
  const Status left = destroy(&stream);
  if (done.ok()) done = left;
  if (!done.ok()) static_cast<void>(destroy(&r->graph));      // where there is one; what failed first is told
  r->recorded = done.ok();
  return done;
}

Status copy_all(const Replay& r, const Copy* copies, size_t n, StreamHandle stream) {
  for (size_t i = 0; i < n; i++) ACCELNN_TRY(copy(r.device, copies[i].to, copies[i].from, copies[i].bytes, stream));
  return {};
}

}  // namespace

Status append(Replay* r, Function& f, const Grid& grid, int64_t shared, const void* arguments, size_t bytes) {
  ACCELNN_CHECK(f.device == r->device, attribute, "cuda: %s is loaded on device %d, the replay is of device %d", f.name, f.device, r->device);
  ACCELNN_CHECK(!r->recorded, attribute, "cuda: %s comes too late: the %zu launches of the replay have been recorded", f.name, r->n);
  ACCELNN_TRY(grow(&r->steps, &r->room, r->n * sizeof(Step), (r->n + 1) * sizeof(Step)));
  const size_t at = (r->used + aligned - 1) / aligned * aligned;
  ACCELNN_TRY(grow(&r->arguments, &r->reserved, r->used, at + bytes));
  memcpy(r->arguments + at, arguments, bytes);
  r->used = at + bytes;
  r->steps[r->n++] = {&f, grid, shared, at, bytes};
  return {};
}

Status run(Replay* r, const Copy* before, size_t n_before, const Copy* after, size_t n_after, StreamHandle stream) {
  ACCELNN_TRY(copy_all(*r, before, n_before, stream));
  if (!r->recorded)
    ACCELNN_TRY(launch_all(*r, stream));
  else if (r->n)
    ACCELNN_TRY(launch(r->graph, stream));
  ACCELNN_TRY(copy_all(*r, after, n_after, stream));
  return r->recorded ? Status() : record(r);
}

Status destroy(Replay* r) {
  ::free(r->steps);
  ::free(r->arguments);
  r->steps = nullptr;
  r->arguments = nullptr;
  r->n = r->room = r->used = r->reserved = 0;
  return destroy(&r->graph);
}

}  // namespace accelnn::cuda
