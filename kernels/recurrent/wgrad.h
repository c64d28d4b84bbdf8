// recurrent_wgrad(di [D, T, B, N], x [T, B, I], before [D, T, B, P], dj? like di) ->
//   (dw_ih [D, N, I], dw_hh [D, N, P], db_ih [D, N], with a dj: db_hh [D, N])
//   what the weights and biases of recurrent layers (recurrent.h) get of the cotangents of the sums i and j; without dj these are one and the same, and so
//   are the biases' gradients. With k through all steps and sequences: dw_ih[n, i] = sum_k di[k, n] x[k, i], dw_hh[n, p] = sum_k dj[k, n] before[k, p],
//   db_ih[n] = sum_k di[k, n]. batch_first: x is [B, T, I].
// Contiguous operands, any alignment; outputs overlap nothing. All sizes from 0.
// Error: gamma_K sum |a| |b| of each sum. NaN propagates. Every number is computed by one thread in an order that shapes and the ISA alone decide.
#pragma once
#include "op.h"

#define ACCELNN_OP recurrent_wgrad
#define ACCELNN_TABLE "recurrent/recurrent_wgrad.inc"
#include "attr_slots.h"

namespace accelnn {

namespace recurrent_wgrad_in {
enum : int { di = 0,
             x,
             before,
             dj,
             count_ };
}

struct WeightsProblem {
  int64_t directions, steps, batch, n, inputs, outputs;      // D, T, B, N, I, P
  bool turned, apart;                   // x is [B, T, I]; there is a dj
  int64_t k, k_blocks, most_k;          // T B, in blocks of at most most_k
  int64_t panels;                       // of 16 columns: of x and, of the same product, of the states
};
WeightsProblem weights_problem(const Call&);

constexpr int64_t gate_group = 128;     // gates that are copied at once: rows of eight whole cache lines
// Numbers of a group's copy: its tiles, of four gates or more, each with a vector behind it.
constexpr int64_t group_space(int64_t depth) { return gate_group * depth + gate_group / 4 * 16; }
struct WeightsSpace {
  float *features, *gates;              // both operands of a product, as its tiles read them
  size_t bytes;
};
WeightsSpace weights_space(const WeightsProblem&, char* base);

}  // namespace accelnn
