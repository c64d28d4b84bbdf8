// Streams, events, and launches that are recorded once and replayed.
#pragma once
#include "cuda/driver.h"

namespace accelnn::cuda {

struct Stream {
  StreamHandle handle = nullptr;
  int device = 0;
};        // does not wait for the default stream
Status create(Stream* s, int device);
Status destroy(Stream* s);
// These take the streams of others (torch, CuPy) as well; null is the device's default stream.
Status synchronize(int device, StreamHandle stream);
Status idle(int device, StreamHandle stream, bool* done);
Status wait(int device, StreamHandle stream, EventHandle event);          // what comes next in the stream begins after the event

struct Event {
  EventHandle handle = nullptr;
  int device = 0;
};
Status create(Event* e, int device, bool timing);
Status destroy(Event* e);
Status record(Event& e, StreamHandle stream);
Status happened(Event& e, bool* done);
Status synchronize(Event& e);
Status elapsed(Event& from, Event& to, float* milliseconds);

struct Graph {
  GraphExec handle = nullptr;
  int device = 0;
  size_t nodes = 0;
};
// Between these two the stream runs nothing, it records. The default stream cannot. Other threads may use the device meanwhile.
Status begin_capture(int device, StreamHandle stream);
Status end_capture(int device, StreamHandle stream, Graph* g);
Status is_capturing(int device, StreamHandle stream, bool* yes);
Status launch(Graph& g, StreamHandle stream);
Status destroy(Graph* g);

}  // namespace accelnn::cuda
