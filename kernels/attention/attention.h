// attention(q f32 [B, H, L, E], k f32 [B, G, S, E], v f32 [B, G, S, D], mask? bool or f32, lengths? i64 [B], state? i64 [2], q_starts?, k_starts? i64 [N + 1])
//   -> y f32 [B, H, L, D], lse? f32 [B, H, L]
// attention_grad(dy f32 [B, H, L, D], q, k, v, y, lse, mask?, lengths?, state?, dlse? f32 [B, H, L], q_starts?, k_starts?) -> dq, dk, dv like q, k, v
//
//   s[b, h, i, j] = scale q[b, h, i] . k[b, g, j] (+ mask)         g = h / (H / G): H is a multiple of G (grouped-query heads; G = 1: multi-query)
//   w = softmax of s over the keys j that i may see;               y[b, h, i] = sum_j keep w_j v[b, g, j];    lse[b, h, i] = log sum_j exp s_j
//   i sees j where j < lengths[b] (clamped to 0..S; S where left out), and the mask is not false, and j < i + 1 + shift:
//   causal 0: no such limit;  1: shift = 0 (the first query is the first key's);  2: shift = lengths[b] - L (the last query is the last key's)
//   q_starts and k_starts (B = 1, no lengths): N sequences lie behind each other, queries q_starts[n] to q_starts[n + 1] see keys k_starts[n] to
//   k_starts[n + 1] alone; causal counts queries and keys from the starts, its 2 takes the sequence's own L and S. What lies before the first start or
//   behind the last one takes no part: y = 0, no gradient.
//   mask: rank 4, each dim of it 1 or that of [B, H, L, S]; bool: true = takes part; f32: added to scale q.k; -inf hides, NaN stays.
//   A query that sees nothing gives y = 0 and lse = -inf, and no gradient. Hidden keys weigh exactly 0, but a NaN or infinity in a hidden row of v may
//   reach the queries of the same tile (0 * inf), as in torch. Rows of k and v beyond lengths[b] are never read.
//   dropout p > 0 (needs state = (seed, call)): keep[b, h, i, j] = u >= p ? 1 / (1 - p) : 0 with u = uniform01 of philox(seed, call, row * ceil(S / 4)
//   + j / 4).v[j % 4], row = (b H + h) L + i, j counted from the sequence's first key. lse is that of the weights before dropout.
//   scale: 0 means 1 / sqrt(E).
//   Gradients, with w from lse: dv = (keep w)^T dy;  ds = w (keep (dy v^T) - (dy . y - dlse));  dq = scale ds k;  dk = scale ds^T q; of k and v summed
//   over the H / G heads that read them.
//
// Floats and masks: any strides. Outputs, lengths, state contiguous, overlapping nothing. Every size may be 0 but E; E, D <= 1024.
// Scores are never stored: 14 rows x 512 keys of them at a time (AVX-512); workspace is O(L + S) a head.
// Bits depend on shapes, strides of the innermost dim and the ISA alone, never on threads: a row's sums go over its keys in blocks of 512, heads are
// parts, a head that is split (few heads) is split by its shape.
// Error of y: |err_i| <= sum_j w_j |v_j| (r_j + r + gamma_(S+6)), r = sum_j w_j r_j, where r_j = gamma_(E+5) A_j + 4 u (|s_j| + max|s|) + 2^-21, A_j = |scale|
// |q_i| . |k_j|: the error of one exponential. Gradients likewise (accelnn/ops/attention.py has the formulas that the tests use).
#pragma once
#include "op.h"

#define ACCELNN_OP attention
#define ACCELNN_TABLE "attention/attention.inc"
#include "attr_slots.h"
#define ACCELNN_OP attention_grad
#define ACCELNN_TABLE "attention/attention_grad.inc"
#include "attr_slots.h"

namespace accelnn {

constexpr int64_t attention_widest = 1024;      // E and D: a tile's rows of q stand on the stack
constexpr int64_t key_block = 512;              // keys whose scores are in L1 at a time; 256: -3 %, 1024: -13 % (rows 4 KiB apart alias)
constexpr int64_t query_block = 112;            // queries that go over a block of keys while it is in L2; 448 where all keys are larger: within 2 %

enum Causal : int64_t { sees_all = 0,
                        upper_left = 1,
                        lower_right = 2 };

// Queries that see the same keys: of one item of the batch, or of a sequence among several in a row.
struct Sequence {
  int64_t b, first_query, queries, first_key, keys;
};

// A checked call of either op, taken apart.
struct AttentionProblem {
  int64_t batch, heads, groups, repeat, queries, keys, depth, width;
  TensorView q, k, v, mask, lengths;
  const uint64_t* state;                        // null: no dropout
  const int64_t *q_starts, *k_starts;           // null: an item of the batch is a sequence
  int64_t sequences;
  int64_t causal;
  float scale, drop;

  // From q, k and v. scale 0: 1 / sqrt(E).
  ACCELNN_INLINE void set_sizes(int64_t how, double factor) {
    batch = sequences = q.shape[0];
    heads = q.shape[1];
    queries = q.shape[2];
    depth = q.shape[3];
    groups = k.shape[1];
    keys = k.shape[2];
    width = v.shape[3];
    repeat = groups ? heads / groups : 0;
    causal = how;
    scale = float(factor != 0 ? factor : 1 / __builtin_sqrt(double(depth)));
  }
  ACCELNN_INLINE int64_t items() const { return sequences * groups; }       // pieces that share their keys
  ACCELNN_INLINE Sequence sequence(int64_t n) const {
    if (!q_starts) return {n, 0, queries, 0, keys_of(n)};
    return {0, q_starts[n], q_starts[n + 1] - q_starts[n], k_starts[n], k_starts[n + 1] - k_starts[n]};
  }
  ACCELNN_INLINE int64_t longest() const {      // sequence of queries
    int64_t most = q_starts ? 0 : queries;
    for (int64_t n = 0; q_starts && n < sequences; n++) most = q_starts[n + 1] - q_starts[n] > most ? q_starts[n + 1] - q_starts[n] : most;
    return most;
  }
  ACCELNN_INLINE int64_t keys_of(int64_t b) const {
    if (lengths.absent()) return keys;
    const int64_t n = lengths.as<int64_t>()[b];
    return n < 0 ? 0 : n < keys ? n
                                : keys;
  }
  // Query i of `of` sees the first so many of n keys.
  ACCELNN_INLINE int64_t end_of(int64_t i, int64_t n, int64_t of) const {
    if (causal == sees_all) return n;
    const int64_t end = i + 1 + (causal == lower_right ? n - of : 0);
    return end < 0 ? 0 : end < n ? end
                                 : n;
  }
  ACCELNN_INLINE int64_t flops() const {        // of one product over all scores, at most 1e18
    const double f = 2.0 * double(batch) * double(heads) * double(queries) * double(keys) * double(depth + width) / 2 * (causal ? 0.5 : 1.0);
    return f < 1e18 ? int64_t(f) : int64_t(1e18);
  }
};
AttentionProblem attention_problem(const Call&, bool gradient);
Status check_starts(const AttentionProblem&);   // values, which are there only when it runs
bool few_queries(const AttentionProblem&);      // decode.h is quicker than tiles

// How the work is cut and what it needs: a function of shapes and strides alone.
struct AttentionLayout {
  bool copy_q, copy_k, copy_v, copy_dy;         // innermost stride is not 1: made contiguous first (k in the gradient only)
  int64_t panel_floats;                         // forward: k^T of one head of keys;  backward: q^T, dy^T, lse and delta of one head
  int64_t parts;                                // of one item
  int64_t panels, q_at, k_at, v_at, dy_at, sums, floats;       // offsets into the workspace, in floats
};
AttentionLayout attention_layout(const AttentionProblem&);
AttentionLayout attention_grad_layout(const AttentionProblem&, const TensorView& dy);

constexpr int64_t padded_to_panel(int64_t n) { return (n + 31) / 32 * 32; }      // whole panels on every ISA
// Where the panels of the n-th sequence begin that starts at row `start`: no two of them meet.
constexpr int64_t panel_place(int64_t start, int64_t n) { return (start / 32 + n) * 32; }

}  // namespace accelnn
