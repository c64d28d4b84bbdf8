// Who does what of a step, and where threads meet.
#pragma once
#include "matmul/gemm.h"
#include "pool.h"
#include "recurrent/recurrent.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

constexpr int64_t worth_meeting = 60000;      // multiply-adds of a step from which on threads that meet after it pay

struct Range {
  int64_t begin, end;
};
ACCELNN_INLINE Range range_of(int64_t n, int64_t parts, int64_t part) { return {tile_start(n, parts, part), tile_start(n, parts, part + 1)}; }

// Of n rows those of a part.
ACCELNN_INLINE int64_t rows_of(int64_t n, int64_t first, int64_t most) { return n <= first ? 0 : n - first < most ? n - first
                                                                                                                  : most; }

// f(number) for 0..n-1, from the last on where `turned`. Every other step goes back through the blocks: what the last step left in L2 comes first
// (1 MiB of weights in a circle through 1 MiB of cache would never hit it): 8 to 10 % at batch 1, H = 256. No bit knows.
template <class F> ACCELNN_INLINE void zigzag(Range r, bool turned, const F& f) {
  for (int64_t i = r.begin; i < r.end; i++) f(turned ? r.begin + r.end - 1 - i : i);
}

// Parts of a direction that meet in every step; 0: one thread does all. Sleeping threads are woken where the whole sequence is worth it; they then stay
// awake from step to step.
inline int64_t recurrent_parts(const Call& call, const RecurrentProblem& p, int64_t step_work) {
  if (!call.pool || p.blocks * p.directions < 2 || step_work < worth_meeting || !worth_threads(call.pool, 2 * step_work * p.steps)) return 0;
  const int64_t wanted = (call.pool->threads() + p.directions - 1) / p.directions, most = p.bytes && p.blocks > byte_places ? byte_places : p.blocks;
  return wanted < most ? wanted : most;
}

// through(parts, work) takes the steps; work(f) calls f(direction, part) for every part of every direction and returns when all are done. One thread takes one
// direction after the other, whose weights then have L2 to themselves.
template <class Direction, class Through>
ACCELNN_INLINE Status in_rounds(const Call& call, const RecurrentProblem& p, Direction* const* all, int64_t step_work, const Through& through) {
  const int64_t parts = recurrent_parts(call, p, step_work);
  if (parts == 0) {
    for (int64_t d = 0; d < p.directions; d++) through(1, [&](const auto& f) { f(*all[d], 0); });
    return {};
  }
  through(parts, [&](const auto& f) {
    struct Job {
      decltype(&f) function;
      Direction* const* all;
      int64_t parts;
    } job = {&f, all, parts};
    const auto task = [](void* context, int64_t i) {
      const Job& j = *static_cast<Job*>(context);
      (*j.function)(*j.all[i / j.parts], i % j.parts);
    };
    call.pool->run(parts * p.directions, task, &job);
  });
  return {};
}

// Whether parts are sequences instead of hidden blocks: each its own, through all steps, so that nobody waits for anybody and no state changes cores; a core
// that is slowed down for a moment does not stop the other at each step. Where weights leave room in each core's L2, and every part has whole tiles.
constexpr int64_t own_weights = 512 << 10;
inline bool parts_are_rows(const RecurrentProblem& p, int64_t parts, bool lengths, int64_t weights) {
  return parts > 1 && !lengths && p.batch >= 16 * parts && weights * 4 <= own_weights;
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
