// What Python holds of the driver. A failure to give it back cannot be raised there: sys.unraisablehook gets it.
#pragma once
#include "cuda/module.h"
#include "cuda/streams.h"
#include "view.h"

namespace accelnn {

void report_unraisable(const Status& s);

template <class T> struct Held {
  T it;
  Held() = default;
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { report_unraisable(cuda::destroy(&it)); }
};

using PyModule = Held<cuda::Module>;
using PyStream = Held<cuda::Stream>;
using PyEvent = Held<cuda::Event>;
using PyGraph = Held<cuda::Graph>;

void bind_launch(py::module_& cuda);

}  // namespace accelnn
