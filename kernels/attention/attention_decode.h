// attention_decode(q f32 [B, H, L, E], k [B, G, S, E], v [B, G, S, D], lengths? i64 [B], k_scale? f32 [b, g, s], v_scale? f32 [b, g, s])
//   -> y f32 [B, H, L, D]:  attention (attention.h) of few queries against a cache of f32, bf16 or i8, k and v of the same dtype
//
//   Element (b, g, j, e) of k stands for k[b, g, j, e] k_scale[b, g, j], likewise v: scales have rank 3, each dim 1 or that of [B, G, S] (per token, per
//   head, one), and are 1 where left out. causal 0: every query sees all lengths[b] keys; 2: the last query sees the last one, the one before it one less.
//
// Any strides (rows whose numbers are not neighbours are copied first). y contiguous, overlapping nothing. E in 1..1024, D in 0..1024, other sizes from 0.
// The cache is read once, rows as they lie: keys by dot products over lanes, values by rows, in parts of 512 to 2048 keys, joined in order: bits depend on
// shapes and ISA, never on threads or on what lies beyond lengths[b], which is never read. attention itself runs this for few queries.
// Error: as attention, with |k k_scale| and |v v_scale|, and two roundings more.
#pragma once
#include "attention/attention.h"

#define ACCELNN_OP attention_decode
#define ACCELNN_TABLE "attention/attention_decode.inc"
#include "attr_slots.h"

namespace accelnn {

// Keys of a part: 512, of caches of 4096 keys and more 1024, of 8192 and more 2048. A part reads its keys, then its values, and memory takes a while to
// follow either: caches of int8 and bfloat16 come 6 to 17 % faster with 1024 than with 512, one query against 134 MB of int8 with 1024, 2048, 4096 (scales
// asked for, see decode.h) at 22.9, 24.2, 24.5 GB/s, four queries against 268 MB of floats at 27.6, 28.4, 28.6.
constexpr int64_t decode_part = 2048, decode_short_part = 512;
constexpr int64_t decode_rows = 16;             // queries that share a head of keys: beyond, attention's tiles are quicker

// Rows of a cache.
struct Cache {
  const char* at;
  DType dtype;
  int64_t item, head, row;                      // strides in elements
};

// k and v may be of any dtype; state, mask and dropout as in attention.
struct DecodeProblem {
  AttentionProblem p;
  TensorView k_scale, v_scale;
  bool copy_k, copy_v;
  int64_t part, parts, rows;                    // keys of a part, parts of an item's keys; queries of an item
  int64_t sums, k_at, v_at, bytes;              // offsets into the workspace, in bytes
};
DecodeProblem decode_problem(const Call&, bool cached);

}  // namespace accelnn
