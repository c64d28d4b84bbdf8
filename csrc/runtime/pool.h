// Our own threads: no OpenMP runtime beside the caller's. Parts are numbered; which thread does a part never changes what the part computes.
#pragma once
#include "op.h"

namespace accelnn {

class Pool {
 public:
  // Calls task(context, part) for every part in [0, parts), on this thread and the workers; returns when all are done.
  // A caller that finds the pool busy (another run, or a part that asks again) does its parts alone, in order.
  void run(int64_t parts, void (*task)(void*, int64_t), void* context);
  int threads() const;
  // While a Run holds the pool hot, workers spin between calls (0.1 us to start a part); otherwise they sleep after 50 us (20-30 us to wake).
  void begin_run();
  void end_run();
};

// The process's pool: min(affinity, cgroup quota, OMP_NUM_THREADS, ACCELNN_NUM_THREADS) threads. Null while one thread is asked for.
Pool* pool();
int thread_count();
void set_thread_count(int n);           // n >= 1; ends the old workers; not while a run is under way
int default_thread_count();

// Computes on another runtime's threads from now on: `parallel` is OpenMP's GOMP_parallel, `most` its omp_get_max_threads; null: on our own again. In a
// process where torch computes too, its threads spin on after each operator and ours would wait for the cores that they hold.
using TeamParallel = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);
using TeamMost = int (*)();
void borrow_team(TeamParallel parallel, TeamMost most);

// Hot workers take work of any size above a few microseconds; sleeping ones only what pays for the wake-up.
bool worth_threads(const Pool* pool, int64_t worth);

// part(i) for i in [0, parts). A kernel decides from shapes alone how many parts there are, and asks with `worth` (an estimate of the whole
// work in floating-point operations, or bytes moved) whether waking a sleeping worker can pay: about 100 us of work.
constexpr int64_t worth_waking = 4'000'000;
template <class F> ACCELNN_INLINE void parallel(const Call& call, int64_t parts, int64_t worth, const F& part) {
  // One copy of the body for both ways (a program's code was a fifth larger with two); a part is microseconds of work, the call is nothing to it.
  const auto body = [](void* context, int64_t i) __attribute__((noinline)) { (*static_cast<const F*>(context))(i); };
  if (!call.pool || parts <= 1 || !worth_threads(call.pool, worth)) {
    for (int64_t i = 0; i < parts; i++) body(const_cast<F*>(&part), i);
    return;
  }
  call.pool->run(parts, body, const_cast<F*>(&part));
}

}  // namespace accelnn
