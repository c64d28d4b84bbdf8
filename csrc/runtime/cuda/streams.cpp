#include "cuda/streams.h"

namespace accelnn::cuda {

namespace {
// At the end of the process the driver may be gone before the last of its objects, and has freed them all.
Status gone(Result r, const char* entry, int device) {
  return !r || r == result::deinitialized ? Status() : failed(r, entry, "device %d", device);
}
}  // namespace

#define ACCELNN_ON(device, entry, arguments, ...) \
  return on(device, [&]() -> Status {             \
    ACCELNN_CUDA(entry, arguments, __VA_ARGS__);  \
    return {};                                    \
  })

Status create(Stream* s, int device) {
  s->device = device;
  ACCELNN_ON(device, cuStreamCreate, (&s->handle, stream_non_blocking), "device %d", device);
}

Status destroy(Stream* s) {
  StreamHandle const handle = s->handle;
  s->handle = nullptr;
  return handle ? on(s->device, [&] { return gone(api.cuStreamDestroy(handle), "cuStreamDestroy", s->device); }) : Status();
}

Status synchronize(int device, StreamHandle stream) { ACCELNN_ON(device, cuStreamSynchronize, (stream), "a stream of device %d", device); }

Status idle(int device, StreamHandle stream, bool* done) {
  return on(device, [&]() -> Status {
    const Result r = api.cuStreamQuery(stream);
    *done = r == result::success;
    return *done || r == result::not_ready ? Status() : failed(r, "cuStreamQuery", "a stream of device %d", device);
  });
}

Status wait(int device, StreamHandle stream, EventHandle event) {
  ACCELNN_ON(device, cuStreamWaitEvent, (stream, event, 0), "a stream of device %d", device);
}

Status create(Event* e, int device, bool timing) {
  e->device = device;
  ACCELNN_ON(device, cuEventCreate, (&e->handle, timing ? 0 : event_no_timing), "device %d", device);
}

Status destroy(Event* e) {
  EventHandle const handle = e->handle;
  e->handle = nullptr;
  return handle ? on(e->device, [&] { return gone(api.cuEventDestroy(handle), "cuEventDestroy", e->device); }) : Status();
}

Status record(Event& e, StreamHandle stream) { ACCELNN_ON(e.device, cuEventRecord, (e.handle, stream), "device %d", e.device); }

Status happened(Event& e, bool* done) {
  return on(e.device, [&]() -> Status {
    const Result r = api.cuEventQuery(e.handle);
    *done = r == result::success;
    return *done || r == result::not_ready ? Status() : failed(r, "cuEventQuery", "device %d", e.device);
  });
}

Status synchronize(Event& e) { ACCELNN_ON(e.device, cuEventSynchronize, (e.handle), "device %d", e.device); }

Status elapsed(Event& from, Event& to, float* milliseconds) {
  ACCELNN_ON(from.device, cuEventElapsedTime, (milliseconds, from.handle, to.handle), "two events of device %d", from.device);
}

// Thread-local: a call of another thread that capture forbids (a first allocation, say) does not spoil it.
Status begin_capture(int device, StreamHandle stream) {
  ACCELNN_CHECK(stream, attribute, "cuda: the default stream of device %d cannot be recorded: give a stream of its own", device);
  ACCELNN_ON(device, cuStreamBeginCapture, (stream, capture_thread_local), "a stream of device %d", device);
}

Status end_capture(int device, StreamHandle stream, Graph* g) {
  g->device = device;
  return on(device, [&]() -> Status {
    GraphHandle graph = nullptr;
    ACCELNN_CUDA(cuStreamEndCapture, (stream, &graph), "what was recorded on device %d is thrown away", device);
    Result r = api.cuGraphGetNodes(graph, nullptr, &g->nodes);
    const char* entry = "cuGraphGetNodes";
    if (!r) {
      r = api.cuGraphInstantiateWithFlags(&g->handle, graph, 0);
      entry = "cuGraphInstantiateWithFlags";
    }
    Status done = r ? failed(r, entry, "a graph of %zu nodes on device %d", g->nodes, device) : Status();
    const Status destroyed = gone(api.cuGraphDestroy(graph), "cuGraphDestroy", device);      // the executable one has its own copy
    return done.ok() ? destroyed : done;
  });
}

Status is_capturing(int device, StreamHandle stream, bool* yes) {
  return on(device, [&]() -> Status {
    int now = 0;
    ACCELNN_CUDA(cuStreamIsCapturing, (stream, &now), "a stream of device %d", device);
    *yes = now != 0;
    return {};
  });
}

Status launch(Graph& g, StreamHandle stream) {
  ACCELNN_ON(g.device, cuGraphLaunch, (g.handle, stream), "a graph of %zu nodes on device %d", g.nodes, g.device);
}

Status destroy(Graph* g) {
  GraphExec const handle = g->handle;
  g->handle = nullptr;
  return handle ? on(g->device, [&] { return gone(api.cuGraphExecDestroy(handle), "cuGraphExecDestroy", g->device); }) : Status();
}

}  // namespace accelnn::cuda
