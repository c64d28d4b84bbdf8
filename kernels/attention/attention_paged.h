// attention_paged(q f32 [B, H, L, E], k [P, N, G, E], v [P, N, G, D], pages i64 [B, M], lengths i64 [B], k_scale? f32 [p, n, g], v_scale? f32 [p, n, g])
//   -> y f32 [B, H, L, D]:  attention_decode (attention_decode.h) against a cache that lies in pages of N keys, P of them, of f32, bf16 or i8
//
//   Key j of item b is row j % N of page pages[b, j / N]. lengths[b] keys are there (clamped to 0..M N); entries of pages beyond them are never read and may
//   be anything, and no page is read beyond what is there. An entry outside of 0..P - 1 is an error (bound). Scales: as there, each dim 1 or that of
//   [P, N, G]. causal: 0 or 2.
//
// All operands contiguous; y contiguous, overlapping nothing. E in 1..1024, D in 0..1024, N in 1..2048.
// Pages are read where they lie, one after the other; parts of at least 512 keys are joined in order: bits depend on shapes and ISA, never on threads, on
// where pages lie, or on what lies beyond lengths[b].
// Error: as attention_decode's, and two roundings more for every page of a part.
#pragma once
#include "attention/attention_decode.h"

#define ACCELNN_OP attention_paged
#define ACCELNN_TABLE "attention/attention_paged.inc"
#include "attr_slots.h"

namespace accelnn {

// d.p.k and d.p.v are the caches as [P, G, N, .]; d.p.keys = M N; a part is whole pages. Two rows of sums a part: what it has, and its last page's.
struct PagedProblem {
  DecodeProblem d;
  const int64_t* pages;
  int64_t size, each, count;                    // N, M, P
};
PagedProblem paged_problem(const Call&);
Status check_pages(const PagedProblem&);        // values, which are there only when it runs

}  // namespace accelnn
