// recurrent: one layer of an RNN, LSTM or GRU over whole sequences, one or both directions.
//   (x f32 [T, B, I], w_ih [G H, I], w_hh [G H, P], b_ih? [G H], b_hh? [G H], w_hr? [P, H], the same five for the second direction?,
//    lengths? i64 [B], h0? f32 [D, B, P], c0? f32 [D, B, H], peephole? [3 H], that of the second direction?)
//   -> (y [T, B, D P], h [D, B, P], LSTM: c [D, B, H], and for a gradient: gates [D, T, B, S H], before [D, T, B, P])
//   D directions (2 where a second w_ih is given; with reverse = 1 the only one runs backwards), G gates, H hidden units; P = H, or with w_hr (LSTM only)
//   the size that h is projected to. batch_first: x is [B, T, I] and y [B, T, D P]; gates and before are in steps first always. With i = w_ih x_t + b_ih,
//   j = w_hh h + b_hh, their rows in gates of H each, s the logistic function:
//   cell 0, 1 (RNN)  h' = f(i + j), f = tanh or relu                                                   gates: h'
//   cell 2 (LSTM)    c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c') [then w_hr h'], rows i, f, g, o     gates: s(i), s(f), tanh(g), s(o), c [, s(o) tanh(c')]
//   cell 3 (GRU)     r = s(i_r + j_r), z = s(i_z + j_z), n = tanh(i_n + r j_n), h' = (1 - z) n + z h, rows r, z, n      gates: r, z, n, j_n
//                    linear_before_reset = 0: j_n = w_hn (r h) + b_hn and n = tanh(i_n + j_n)
//   activations: other functions, for each direction those of the cell (LSTM 3: of the gates, of g, of c'; GRU 2: of r and z, of n; RNN 1), each as
//   three integers: its cell_function and the bits of alpha and beta as f32. peephole (LSTM): p_i, p_o, p_f, as ONNX has them: p_i c and p_f c are added to
//   the sums of i and f, p_o c' to that of o. input_forget = 1 (LSTM): 1 - i takes the place of f. With any of the three no gates are kept.
//   clip > 0: sums are cut to [-clip, clip] before the functions (ONNX). before: the h that a step began with.
//   lengths: sequence b has the steps t < lengths[b] (0..T); beyond, y, gates and before are 0, and h, c are those of its last step. A direction that
//   runs backwards begins at lengths[b] - 1. What x holds beyond is never read.
// recurrent_grad(gates, w_hh, w_hr?, w_hh reverse?, w_hr reverse?, lengths?, dy?, dh?, dc?, GRU: before) ->
//   (di [D, T, B, G H], dh0 [D, B, P], LSTM: dc0 [D, B, H], GRU: dj [D, T, B, G H], w_hr: dp [D, T, B, P])
//   the cotangents of the sums i (and j, where they differ), of the first states, and of the projected h. 0 beyond a sequence's end. Without clip, with
//   linear_before_reset = 1.
// recurrent_pack(w [G H, K]; gates = G) -> the panels that all CPU rows read, zero beyond H and K
//   f32  [ceil(H/16), K, G, 16]:           p[q, k, g, u] = w[g H + 16 q + u, k]
//   bf16 [ceil(H/16), ceil(K/2), G, 32]:   p[q, k, g, 2 u + r] = w[g H + 16 q + u, 2 k + r], rounded to nearest even. For w_hh alone; everything else is f32.
//   i8   [ceil(H/16), ceil(K/4) + 2, G, 64]: p[q, k, g, 4 u + r] = rint(w[g H + 16 q + u, 4 k + r] / scale), and in the last two rows, for each u, the
//        scale max |w[g H + 16 q + u, :]| / 127 (f32) and the sum of the column's bytes (s32). For w_hh alone. h then is rounded too, in each step and
//        row: to rint(127 / m h), m = max |h|; sums are exact, as long as P <= 65536, and meet scale m / 127 in f32. NaN and inf in h make all sums NaN.
//   packed = 1: w_ih and w_hh (both directions) are such panels. All that belongs to 16 hidden units lies together, so that one pass over it ends with their
//   gates in L1. Without packing that is done in each call.
// Contiguous operands, any alignment; outputs overlap nothing. All sizes from 0.
// Error: no bound element by element (steps feed each other); as the docs say: at most twice that of the same formulas in float32, and 4 ulp (int8: where no
// 127 / m h lies so close to a half that f32 decides what it is rounded to). The functions: within 4 ulp each, saturated beyond |x| = 25. NaN propagates.
// Every number is computed by one thread in an order that shapes and the ISA alone decide.
#pragma once
#include "op.h"

#define ACCELNN_OP recurrent
#define ACCELNN_TABLE "recurrent/recurrent.inc"
#include "attr_slots.h"
#define ACCELNN_OP recurrent_grad
#define ACCELNN_TABLE "recurrent/recurrent_grad.inc"
#include "attr_slots.h"
#define ACCELNN_OP recurrent_pack
#define ACCELNN_TABLE "recurrent/recurrent_pack.inc"
#include "attr_slots.h"

namespace accelnn {

namespace cell {
enum : int { rnn_tanh = 0,
             rnn_relu,
             lstm,
             gru,
             count_ };
}

namespace cell_function {
enum : int { sigmoid = 0,
             tanh,
             relu,
             affine,                    // alpha x + beta
             leaky_relu,                // x < 0: alpha x
             thresholded_relu,          // x < alpha: 0
             scaled_tanh,               // alpha tanh(beta x)
             hard_sigmoid,              // alpha x + beta, cut to [0, 1]
             elu,                       // x < 0: alpha (e^x - 1)
             softsign,                  // x / (1 + |x|)
             softplus,                  // log(1 + e^x)
             count_ };
}
struct CellFunction {
  int code;
  float alpha, beta;
};
struct SpecialFunctions {
  bool coupled;
  CellFunction f[3];
};

namespace recurrent_in {
enum : int { x = 0,
             w_ih,
             w_hh,
             b_ih,
             b_hh,
             w_hr,
             second,                    // w_ih of the second direction, and so on
             lengths = 11,
             h0,
             c0,
             peephole,
             peephole2,
             count_ };
}
namespace recurrent_grad_in {
enum : int { gates = 0,
             w_hh,
             w_hr,
             second,
             lengths = 5,
             dy,
             dh,
             dc,
             before,
             count_ };
}

constexpr int64_t byte_places = 4;       // parts that may round h to bytes, each for itself
constexpr int64_t unit_block = 16;      // hidden units of a panel: a cache line of each gate

// A checked call of recurrent or recurrent_grad, taken apart.
struct RecurrentProblem {
  int64_t steps, batch, inputs, hidden, outputs, directions;      // T, B, I, H, P, D
  int cell, gates, slots;               // slots: what a step keeps of a unit's sums; the GRU's n has two, i_n and j_n
  int saved;                            // numbers of a unit in `gates`
  bool batch_first, reverse, projected, packed;
  bool halves, bytes, late;             // w_hh is packed bf16, int8; a GRU whose w_hn multiplies r h
  bool special;                         // functions, peepholes or coupled gates: special.h
  int64_t blocks, out_blocks;           // of 16 hidden units, of 16 outputs
  int64_t chunk;                        // steps whose input products are made at once
  int64_t sums_row, x_row, h_row, u_row, byte_row, dgate_row;                // elements between rows of the buffers below

  ACCELNN_INLINE int64_t padded() const { return blocks * unit_block; }
  ACCELNN_INLINE bool backwards(int64_t d) const { return d == 1 || reverse; }
};
RecurrentProblem recurrent_problem(const Call&);
RecurrentProblem recurrent_grad_problem(const Call&);

// The workspace of one direction; what is not needed is null. `bytes`: of all of it.
struct RecurrentSpace {
  float *w_ih, *w_hh, *w_hr, *bias, *sums, *x[2], *h[2], *c, *u;      // forward
  float *dgate[2], *dh, *du;                                        // backward, beside c, w_hh and w_hr
  uint8_t* bytes_of_h;                  // [byte_places][B][byte_row], and their scales
  float* byte_scale;
  int64_t *order, *rows;                // sequences from the longest to the shortest; rows[t]: how many have a step t
  size_t bytes;
};
SpecialFunctions special_functions(const Call&, const RecurrentProblem&, int64_t direction);

RecurrentSpace recurrent_space(const RecurrentProblem&, char* base);
RecurrentSpace recurrent_grad_space(const RecurrentProblem&, char* base);

// Fills order and rows; an error where a length is not in 0..T. `lengths` may be absent.
Status recurrent_order(const RecurrentProblem&, const TensorView& lengths, const RecurrentSpace&);

}  // namespace accelnn
