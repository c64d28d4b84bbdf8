// A prepared call (bound.cpp), for those who hold one.
#pragma once
#include "view.h"

namespace accelnn {

struct Prepared;

const Prepared* prepared_of(PyObject* bound);                                        // null, with a TypeError set, if it is something else
void run_prepared(const Prepared&, void* const* addresses, size_t n);                // throws StatusError
uint64_t sample_of(const void* from, int64_t bytes);

// Runs f for a function of CPython's own calling conventions: what it throws becomes a Python error.
template <class F> PyObject* guarded(const F& f) {
  try {
    return f();
  } catch (...) {
    set_python_error();
  }
  return nullptr;
}

}  // namespace accelnn
