// rotary(x f32 [B, H, L, E], cos f32 [b, P, R], sin like cos, positions? i64 [B, L]) -> y f32 like x: rotary position embedding
//
//   (x1, x2) is pair number c < R of row (b, h, i): numbers c and c + R, or 2 c and 2 c + 1 with interleaved; p = positions[b, i], or i where left out
//   y1 = cos[p, c] x1 - sin[p, c] x2;   y2 = cos[p, c] x2 + sin[p, c] x1;   inverse 1: with -sin;   numbers from 2 R on are copied
//
// b is 1 or B; 2 R <= E; without positions P = L; a position outside [0, P) is an error. Inputs: any strides. y contiguous, overlapping
// nothing. All sizes from 0. Error: 2 u (|cos x1| + |sin x2|), likewise y2: two products, one sum.
// Su et al. 2021 (arXiv 2104.09864); ONNX RotaryEmbedding-23.
#pragma once
#include "op.h"

#define ACCELNN_OP rotary
#define ACCELNN_TABLE "attention/rotary.inc"
#include "attr_slots.h"

namespace accelnn {

struct RotaryProblem {
  int64_t batch, heads, length, depth, pairs, places;
  int64_t cos_item, sin_item;           // strides of the tables' first dim, 0 where there is one for all
  const int64_t* positions;             // null: row i is at place i
  int64_t position_item, position_row;
  bool interleaved, inverse;
  ACCELNN_INLINE int64_t place(int64_t b, int64_t i) const { return positions ? positions[b * position_item + i * position_row] : i; }
};
RotaryProblem rotary_problem(const Call&);
Status check_positions(const RotaryProblem&);      // their values, which only a run knows

}  // namespace accelnn
