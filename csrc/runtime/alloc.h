// Aligned memory that is kept for the next caller: a training step asks for the same sizes again and again, and fresh pages cost a fault each
// (about 0.25 us per 4 KiB here, more than the arithmetic on them).
#pragma once
#include "dtype.h"

namespace accelnn {

constexpr size_t alignment = 64;        // one cache line, one AVX-512 register

// 64-byte aligned, at least `bytes` long, contents undefined. Null when the system has no more. Thread-safe.
void* allocate(size_t bytes);
void release(void* p);                  // null is fine

struct AllocatorStats { int64_t live, cached, system_calls; };   // bytes, bytes, count since start
AllocatorStats allocator_stats();
void release_cached();                  // gives everything that nobody holds back to the system

}  // namespace accelnn
