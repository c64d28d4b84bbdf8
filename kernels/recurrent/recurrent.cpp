#include <cstring>
#include "recurrent/recurrent.h"

#define ACCELNN_OP recurrent
#define ACCELNN_TABLE "recurrent/recurrent.inc"
#include "define_op.h"
#define ACCELNN_OP recurrent_grad
#define ACCELNN_TABLE "recurrent/recurrent_grad.inc"
#include "define_op.h"
#define ACCELNN_OP recurrent_pack
#define ACCELNN_TABLE "recurrent/recurrent_pack.inc"
#include "define_op.h"

namespace accelnn {

namespace {

int64_t blocks_of(int64_t n) { return (n + unit_block - 1) / unit_block; }
// Rows an odd number of cache lines apart: those of a tile lie in all cache sets in turn.
int64_t odd_lines(int64_t n) { return (blocks_of(n) | 1) * unit_block; }
int gates_of(int cell) { return cell == cell::lstm ? 4 : cell == cell::gru ? 3
                                                                           : 1; }
int saved_of(int cell, bool projected) { return cell == cell::lstm ? 5 + projected : cell == cell::gru ? 4
                                                                                                       : 1; }

int functions_of(int cell) { return cell == cell::lstm ? 3 : cell == cell::gru ? 2
                                                                               : 1; }

void finish(RecurrentProblem* p) {
  p->gates = gates_of(p->cell);
  p->slots = p->cell == cell::gru ? 4 : p->gates;
  p->saved = saved_of(p->cell, p->projected);
  p->blocks = blocks_of(p->hidden);
  p->out_blocks = blocks_of(p->outputs);
  // Rows for one input product: enough to use a weight often, few enough that their sums stay in L2. Batch 1 wants 4 to 28 steps, batch 32 one or two
  // (all steps at once: 12 to 20 % slower, the sums leave L2).
  const int64_t wanted = p->batch < 1 ? 1 : 14 / p->batch, some = wanted < p->steps ? wanted : p->steps;
  p->chunk = some < 1 ? 1 : some;
  p->sums_row = (p->blocks * p->slots | 1) * unit_block;
  p->x_row = odd_lines(p->inputs);
  p->h_row = odd_lines(p->outputs);
  p->u_row = odd_lines(p->hidden);
  p->byte_row = (p->outputs + 63) / 64 * 64;
  p->dgate_row = (p->blocks * p->gates | 1) * unit_block;
}

// Places arrays one after the other in `base`, or with a null base only counts.
struct Carver {
  char* base;
  size_t at = 0;
  template <class T> T* take(int64_t n) {
    T* const p = base ? reinterpret_cast<T*>(base + at) : nullptr;
    at += (size_t(n < 0 ? 0 : n) * sizeof(T) + 63) / 64 * 64;
    return p;
  }
};

}  // namespace

RecurrentProblem recurrent_problem(const Call& c) {
  namespace in = recurrent_in;
  RecurrentProblem p = {};
  const TensorView &x = c.in[in::x], &w_hh = c.in[in::w_hh], &w_hr = c.in[in::w_hr];
  p.cell = int(c.integer(recurrent_attr::cell));
  p.batch_first = c.integer(recurrent_attr::batch_first) != 0;
  p.reverse = c.integer(recurrent_attr::reverse) != 0;
  p.packed = c.integer(recurrent_attr::packed) != 0;
  p.halves = w_hh.dtype == DType::bf16;
  p.bytes = w_hh.dtype == DType::i8;
  p.special = c.attrs[recurrent_attr::activations].n > 0 || c.integer(recurrent_attr::input_forget) || !c.in[in::peephole].absent() ||
      !c.in[in::peephole2].absent();
  p.late = p.cell == cell::gru && !c.integer(recurrent_attr::linear_before_reset);
  p.projected = !w_hr.absent();
  p.steps = x.shape[p.batch_first ? 1 : 0];
  p.batch = x.shape[p.batch_first ? 0 : 1];
  p.inputs = x.shape[2];
  p.directions = c.in[in::second].absent() ? 1 : 2;
  const TensorView& h = c.out[1];
  p.outputs = h.dim(-1);
  p.hidden = p.projected ? w_hr.shape[1] : p.outputs;
  finish(&p);
  return p;
}

SpecialFunctions special_functions(const Call& c, const RecurrentProblem& p, int64_t direction) {
  const Attr& given = c.attrs[recurrent_attr::activations];
  const int squash = p.cell == cell::rnn_relu ? cell_function::relu : cell_function::tanh, first = p.cell > cell::rnn_relu ? cell_function::sigmoid : squash;
  SpecialFunctions s = {c.integer(recurrent_attr::input_forget) != 0, {{first, 0, 0}, {squash, 0, 0}, {squash, 0, 0}}};
  const int many = functions_of(p.cell);
  for (int i = 0; given.n && i < many; i++) {
    const int64_t* const from = given.list + (direction * many + i) * 3;
    const int32_t alpha = int32_t(from[1]), beta = int32_t(from[2]);
    s.f[i].code = int(from[0]);
    std::memcpy(&s.f[i].alpha, &alpha, 4);
    std::memcpy(&s.f[i].beta, &beta, 4);
  }
  return s;
}

RecurrentProblem recurrent_grad_problem(const Call& c) {
  namespace in = recurrent_grad_in;
  RecurrentProblem p = {};
  const TensorView &gates = c.in[in::gates], &w_hh = c.in[in::w_hh], &w_hr = c.in[in::w_hr];
  p.cell = int(c.integer(recurrent_grad_attr::cell));
  p.batch_first = c.integer(recurrent_grad_attr::batch_first) != 0;
  p.reverse = c.integer(recurrent_grad_attr::reverse) != 0;
  p.projected = !w_hr.absent();
  p.directions = gates.shape[0];
  p.steps = gates.shape[1];
  p.batch = gates.shape[2];
  p.outputs = w_hh.shape[1];
  p.hidden = w_hh.shape[0] / gates_of(p.cell);
  finish(&p);
  return p;
}

RecurrentSpace recurrent_space(const RecurrentProblem& p, char* base) {
  Carver carve = {base};
  RecurrentSpace s = {};
  const int64_t panel_columns = p.blocks * p.gates * unit_block;
  if (!p.packed) s.w_ih = carve.take<float>(p.inputs * panel_columns);
  if (!p.packed || (p.halves && (p.batch > 1 || p.late))) s.w_hh = carve.take<float>(p.outputs * panel_columns);
  if (p.projected) s.w_hr = carve.take<float>(p.hidden * p.out_blocks * unit_block);
  s.bias = carve.take<float>(p.blocks * p.slots * unit_block);
  s.sums = carve.take<float>((p.batch == 1 ? 16 : p.chunk * p.batch) * p.sums_row);      // one sequence: two chunks of up to 8 steps (ahead.h), or one of 14
  for (auto& x : s.x) x = carve.take<float>(p.chunk * p.batch * p.x_row);
  for (auto& h : s.h) h = carve.take<float>(p.batch * p.h_row);
  if (p.cell == cell::lstm) s.c = carve.take<float>(p.batch * p.padded());
  // What the hidden units say before the projection; the GRU's r h where that is what w_hn multiplies.
  if (p.projected || p.cell == cell::gru) s.u = carve.take<float>(p.batch * p.u_row);
  if (p.bytes) {
    s.bytes_of_h = carve.take<uint8_t>(byte_places * p.batch * p.byte_row);
    s.byte_scale = carve.take<float>(byte_places * p.batch);
  }
  s.order = carve.take<int64_t>(p.batch);
  s.rows = carve.take<int64_t>(p.steps + 1);
  s.bytes = carve.at;
  return s;
}

RecurrentSpace recurrent_grad_space(const RecurrentProblem& p, char* base) {
  Carver carve = {base};
  RecurrentSpace s = {};
  s.w_hh = carve.take<float>(p.gates * p.padded() * p.out_blocks * unit_block);
  if (p.projected) s.w_hr = carve.take<float>(p.outputs * p.padded());
  for (auto& d : s.dgate) d = carve.take<float>(p.batch * p.dgate_row);
  s.dh = carve.take<float>(p.batch * p.h_row);
  if (p.cell == cell::lstm) s.c = carve.take<float>(p.batch * p.padded());
  if (p.projected) s.du = carve.take<float>(p.batch * p.u_row);
  s.order = carve.take<int64_t>(p.batch);
  s.rows = carve.take<int64_t>(p.steps + 1);
  s.bytes = carve.at;
  return s;
}

Status recurrent_order(const RecurrentProblem& p, const TensorView& lengths, const RecurrentSpace& s) {
  for (int64_t t = 0; t <= p.steps; t++) s.rows[t] = lengths.absent() && t < p.steps ? p.batch : 0;
  for (int64_t b = 0; b < p.batch; b++) s.order[b] = b;
  if (lengths.absent()) return {};
  const int64_t* n = lengths.as<int64_t>();
  for (int64_t b = 0; b < p.batch; b++) {
    ACCELNN_CHECK(n[b] >= 0 && n[b] <= p.steps, bound, "recurrent: lengths[%lld] is %lld; 0..%lld steps expected", static_cast<long long>(b),
                  static_cast<long long>(n[b]), static_cast<long long>(p.steps));
    s.rows[n[b]]++;
  }
  // A counting sort, longest first, equal ones in their order. rows[t] now counts those of t steps; turned into how many have more than t.
  int64_t longer = 0;
  for (int64_t t = p.steps; t >= 0; t--) {
    const int64_t here = s.rows[t];
    s.rows[t] = longer;
    longer += here;
  }
  for (int64_t b = 0; b < p.batch; b++) s.order[s.rows[n[b]]++] = b;
  // Each rows[t] has moved on by those of t steps: it counts all with t steps or more, one place too far.
  for (int64_t t = 0; t < p.steps; t++) s.rows[t] = s.rows[t + 1];
  return {};
}

static bool is_f32(const TensorView& v, int rank, int64_t a, int64_t b = -1, int64_t c = -1, int64_t d = -1) {
  const int64_t want[] = {a, b, c, d};
  if (v.dtype != DType::f32 || v.rank != rank) return false;
  for (int i = 0; i < rank; i++)
    if (v.shape[i] != want[i]) return false;
  return true;
}

static Status check_memory(const Call& c, const char* name) {
  for (int i = 0; i < c.n_out; i++) {
    const TensorView& y = c.out[i];
    if (y.absent()) continue;
    ACCELNN_CHECK(y.contiguous(), shape, "%s: output %d must be contiguous", name, i);
    for (int k = 0; k < c.n_in; k++)
      ACCELNN_CHECK(c.in[k].absent() || !overlap(c.in[k], y), aliasing, "%s: output %d overlaps input %d", name, i, k);
    for (int k = 0; k < i; k++) ACCELNN_CHECK(c.out[k].absent() || !overlap(c.out[k], y), aliasing, "%s: outputs %d and %d overlap", name, k, i);
  }
  for (int k = 0; k < c.n_in; k++) ACCELNN_CHECK(c.in[k].absent() || c.in[k].contiguous(), shape, "%s: input %d must be contiguous", name, k);
  return {};
}

static bool are_panels(const TensorView& w, int64_t h, int64_t k, int64_t gates) {
  const int64_t deep = w.dtype == DType::i8 ? 4 : w.dtype == DType::bf16 ? 2
                                                                         : 1;
  return w.rank == 4 && (deep > 1 || w.dtype == DType::f32) && w.shape[0] == blocks_of(h) && w.shape[1] == (k + deep - 1) / deep + (deep == 4 ? 2 : 0) &&
      w.shape[2] == gates && w.shape[3] == deep * unit_block;
}
static const char* refuse_recurrent(const Row& row, const Call& c) {
  // The same code as the AVX-512 row's but for the products of bytes.
  return (row.isa & isa::vnni) && c.in[recurrent_in::w_hh].dtype != DType::i8 ? "for int8 recurrent weights" : nullptr;
}
static bool are_functions(const Attr& a, int64_t many) {
  bool fit = a.n == 3 * many;
  for (int64_t i = 0; fit && i < a.n; i += 3)
    for (int k = 0; k < 3; k++) fit = fit && (k ? a.list[i + k] == int32_t(a.list[i + k]) : a.list[i] >= 0 && a.list[i] < cell_function::count_);
  return fit;
}

static Status check_recurrent(const Call& c) {
  namespace in = recurrent_in;
  const TensorView &x = c.in[in::x], &y = c.out[0], &h = c.out[1];
  const int64_t kind = c.integer(recurrent_attr::cell);
  ACCELNN_CHECK(kind >= 0 && kind < cell::count_, attribute, "recurrent: cell is 0..%d, not %lld", cell::count_ - 1, static_cast<long long>(kind));
  ACCELNN_CHECK(x.dtype == DType::f32 && x.rank == 3, shape, "recurrent: x f32 of three dimensions expected, not %s", describe(x).text);
  ACCELNN_CHECK(!c.in[in::w_ih].absent() && !c.in[in::w_hh].absent() && !y.absent() && !h.absent() && h.rank == 3, shape,
                "recurrent: x, w_ih, w_hh -> y, h expected");
  ACCELNN_CHECK(c.in[in::w_hr].absent() || (kind == cell::lstm && c.in[in::w_hr].rank == 2), shape, "recurrent: w_hr [P, H] is for the LSTM, not %s",
                describe(c.in[in::w_hr]).text);
  ACCELNN_CHECK(c.real(recurrent_attr::clip) >= 0, attribute, "recurrent: clip is 0 (none) or more");
  const RecurrentProblem p = recurrent_problem(c);
  const int64_t rows = p.gates * p.hidden;
  ACCELNN_CHECK(double(p.steps + 1) * double(p.batch + 1) * double(p.inputs + p.hidden + 16) * 6 < 1e14, shape, "recurrent: %s is too large", describe(x).text);
  for (int64_t d = 0; d < 2; d++) {
    const TensorView* v = c.in + (d ? in::second - in::w_ih : 0);
    const TensorView &w_ih = v[in::w_ih], &w_hh = v[in::w_hh], &b_ih = v[in::b_ih], &b_hh = v[in::b_hh], &w_hr = v[in::w_hr];
    if (d >= p.directions) {
      ACCELNN_CHECK(w_hh.absent() && b_ih.absent() && b_hh.absent() && w_hr.absent(), shape, "recurrent: a second direction without its w_ih");
      break;
    }
    const bool fits = !w_hh.absent() &&
        (p.packed ? w_ih.dtype == DType::f32 && are_panels(w_ih, p.hidden, p.inputs, p.gates) && are_panels(w_hh, p.hidden, p.outputs, p.gates) &&
                 w_hh.dtype == c.in[in::w_hh].dtype
                  : is_f32(w_ih, 2, rows, p.inputs) && is_f32(w_hh, 2, rows, p.outputs));
    ACCELNN_CHECK(fits, shape, "recurrent: weights %s [%lld, %lld] and [%lld, %lld] expected, not %s and %s", p.packed ? "in panels of f32" : "f32",
                  static_cast<long long>(rows), static_cast<long long>(p.inputs), static_cast<long long>(rows), static_cast<long long>(p.outputs),
                  describe(w_ih).text, describe(w_hh).text);
    ACCELNN_CHECK((b_ih.absent() || is_f32(b_ih, 1, rows)) && (b_hh.absent() || is_f32(b_hh, 1, rows)), shape, "recurrent: biases f32[%lld] expected",
                  static_cast<long long>(rows));
    ACCELNN_CHECK(w_hr.absent() ? !p.projected : p.projected && is_f32(w_hr, 2, p.outputs, p.hidden), shape, "recurrent: w_hr f32[%lld, %lld] expected, not %s",
                  static_cast<long long>(p.outputs), static_cast<long long>(p.hidden), describe(w_hr).text);
  }
  const TensorView &lengths = c.in[in::lengths], &h0 = c.in[in::h0], &c0 = c.in[in::c0];
  ACCELNN_CHECK(lengths.absent() || (lengths.dtype == DType::i64 && lengths.rank == 1 && lengths.shape[0] == p.batch), shape,
                "recurrent: lengths i64[%lld] expected, not %s", static_cast<long long>(p.batch), describe(lengths).text);
  ACCELNN_CHECK(h0.absent() || is_f32(h0, 3, p.directions, p.batch, p.outputs), shape, "recurrent: h0 f32[%lld, %lld, %lld] expected, not %s",
                static_cast<long long>(p.directions), static_cast<long long>(p.batch), static_cast<long long>(p.outputs), describe(h0).text);
  ACCELNN_CHECK(c0.absent() || (kind == cell::lstm && is_f32(c0, 3, p.directions, p.batch, p.hidden)), shape,
                "recurrent: c0 f32[%lld, %lld, %lld] of an LSTM expected, not %s", static_cast<long long>(p.directions), static_cast<long long>(p.batch),
                static_cast<long long>(p.hidden), describe(c0).text);
  const Attr& functions = c.attrs[recurrent_attr::activations];
  ACCELNN_CHECK(functions.n == 0 || are_functions(functions, functions_of(int(kind)) * p.directions), attribute,
                "recurrent: activations are %d functions a direction, each of three integers", functions_of(int(kind)));
  ACCELNN_CHECK(!c.integer(recurrent_attr::input_forget) || kind == cell::lstm, attribute, "recurrent: input_forget is for the LSTM");
  for (int d = 0; d < 2; d++) {
    const TensorView& peephole = c.in[in::peephole + d];
    ACCELNN_CHECK(peephole.absent() || (kind == cell::lstm && d < p.directions && is_f32(peephole, 1, 3 * p.hidden)), shape,
                  "recurrent: a peephole f32[%lld] of an LSTM's direction expected, not %s", static_cast<long long>(3 * p.hidden), describe(peephole).text);
  }
  ACCELNN_CHECK(!p.bytes || (p.packed && !p.late && p.outputs <= 65536), shape,
                "recurrent: int8 recurrent weights are panels, of up to 65536 states, of a cell with linear_before_reset = 1");
  const int at = 2 + (kind == cell::lstm);
  const TensorView &cn = c.out[2], &gates = c.out[at], &before = c.out[at + 1];
  ACCELNN_CHECK(is_f32(y, 3, p.batch_first ? p.batch : p.steps, p.batch_first ? p.steps : p.batch, p.directions * p.outputs) &&
                    is_f32(h, 3, p.directions, p.batch, p.outputs) && (kind != cell::lstm || is_f32(cn, 3, p.directions, p.batch, p.hidden)),
                shape, "recurrent: outputs %s, %s do not fit %s", describe(y).text, describe(h).text, describe(x).text);
  ACCELNN_CHECK(!p.special || (gates.absent() && before.absent()), shape, "recurrent: no gates are kept with activations, peepholes or input_forget");
  ACCELNN_CHECK(gates.absent() || is_f32(gates, 4, p.directions, p.steps, p.batch, p.saved * p.hidden), shape, "recurrent: gates %s do not fit",
                describe(gates).text);
  ACCELNN_CHECK(before.absent() || is_f32(before, 4, p.directions, p.steps, p.batch, p.outputs), shape, "recurrent: states %s do not fit",
                describe(before).text);
  return check_memory(c, "recurrent");
}

static Status check_recurrent_grad(const Call& c) {
  namespace in = recurrent_grad_in;
  const TensorView &gates = c.in[in::gates], &w_hh = c.in[in::w_hh], &w_hr = c.in[in::w_hr];
  const int64_t kind = c.integer(recurrent_grad_attr::cell);
  ACCELNN_CHECK(kind >= 0 && kind < cell::count_, attribute, "recurrent_grad: cell is 0..%d, not %lld", cell::count_ - 1, static_cast<long long>(kind));
  ACCELNN_CHECK(gates.dtype == DType::f32 && gates.rank == 4 && gates.shape[0] >= 1 && gates.shape[0] <= 2 && w_hh.dtype == DType::f32 && w_hh.rank == 2, shape,
                "recurrent_grad: gates f32 [D, T, B, S H] and w_hh f32 [G H, P] expected, not %s and %s", describe(gates).text, describe(w_hh).text);
  ACCELNN_CHECK(w_hr.absent() || (kind == cell::lstm && w_hr.rank == 2), shape, "recurrent_grad: w_hr is for the LSTM");
  const RecurrentProblem p = recurrent_grad_problem(c);
  const int64_t D = p.directions, T = p.steps, B = p.batch;
  for (int64_t d = 0; d < 2; d++) {
    const TensorView *v = c.in + d * (in::second - in::w_hh), &w = v[in::w_hh], &r = v[in::w_hr];
    if (d >= D) {
      ACCELNN_CHECK(w.absent() && r.absent(), shape, "recurrent_grad: weights of a second direction without its gates");
      break;
    }
    const bool states = p.projected ? is_f32(r, 2, p.outputs, p.hidden) : r.absent() && p.outputs == p.hidden;
    ACCELNN_CHECK(states && !w.absent() && is_f32(w, 2, p.gates * p.hidden, p.outputs), shape, "recurrent_grad: w_hh %s, w_hr %s do not fit",
                  describe(w).text, describe(r).text);
  }
  const TensorView &lengths = c.in[in::lengths], &dy = c.in[in::dy], &dh = c.in[in::dh], &dc = c.in[in::dc];
  ACCELNN_CHECK(gates.shape[3] == p.saved * p.hidden, shape, "recurrent_grad: gates %s: %d numbers a unit expected", describe(gates).text, p.saved);
  ACCELNN_CHECK(lengths.absent() || (lengths.dtype == DType::i64 && lengths.rank == 1 && lengths.shape[0] == B), shape,
                "recurrent_grad: lengths i64[%lld] expected, not %s", static_cast<long long>(B), describe(lengths).text);
  const int64_t rows = p.batch_first ? B : T, columns = p.batch_first ? T : B;
  ACCELNN_CHECK((dy.absent() || is_f32(dy, 3, rows, columns, D * p.outputs)) && (dh.absent() || is_f32(dh, 3, D, B, p.outputs)) &&
                    (dc.absent() || (kind == cell::lstm && is_f32(dc, 3, D, B, p.hidden))),
                shape, "recurrent_grad: cotangents %s, %s, %s do not fit %s", describe(dy).text, describe(dh).text, describe(dc).text, describe(gates).text);
  ACCELNN_CHECK(kind == cell::gru ? is_f32(c.in[in::before], 4, D, T, B, p.outputs) : c.in[in::before].absent(), shape,
                "recurrent_grad: the states that a GRU's steps began with expected, not %s", describe(c.in[in::before]).text);
  bool fits = is_f32(c.out[0], 4, D, T, B, p.gates * p.hidden) && is_f32(c.out[1], 3, D, B, p.outputs);
  if (kind == cell::lstm) fits = fits && is_f32(c.out[2], 3, D, B, p.hidden) && (p.projected ? is_f32(c.out[3], 4, D, T, B, p.outputs) : c.out[3].absent());
  else if (kind == cell::gru) fits = fits && is_f32(c.out[2], 4, D, T, B, p.gates * p.hidden) && c.out[3].absent();
  else fits = fits && c.out[2].absent() && c.out[3].absent();
  ACCELNN_CHECK(fits, shape, "recurrent_grad: outputs %s, %s, %s do not fit %s", describe(c.out[0]).text, describe(c.out[1]).text, describe(c.out[2]).text,
                describe(gates).text);
  return check_memory(c, "recurrent_grad");
}

static size_t recurrent_workspace(const Call& c, const Row& row) {
  const RecurrentProblem p = recurrent_problem(c);
  return row.exactness == Exactness::reference ? 0 : size_t(p.directions) * recurrent_space(p, nullptr).bytes;
}
static size_t recurrent_grad_workspace(const Call& c, const Row& row) {
  const RecurrentProblem p = recurrent_grad_problem(c);
  return row.exactness == Exactness::reference ? 0 : size_t(p.directions) * recurrent_grad_space(p, nullptr).bytes;
}

static Status check_recurrent_pack(const Call& c) {
  const TensorView &w = c.in[0], &p = c.out[0];
  const int64_t gates = c.integer(recurrent_pack_attr::gates);
  ACCELNN_CHECK(gates == 1 || gates == 3 || gates == 4, attribute, "recurrent_pack: 1, 3 or 4 gates, not %lld", static_cast<long long>(gates));
  ACCELNN_CHECK(w.dtype == DType::f32 && (p.dtype == DType::f32 || p.dtype == DType::bf16 || p.dtype == DType::i8), dtype,
                "recurrent_pack: f32 to f32, bf16 or i8 expected, not %s -> %s",
                describe(w).text, describe(p).text);
  ACCELNN_CHECK(w.rank == 2 && w.shape[0] % gates == 0 && w.contiguous(), shape, "recurrent_pack: contiguous [G H, K] expected, not %s", describe(w).text);
  ACCELNN_CHECK(are_panels(p, w.shape[0] / gates, w.shape[1], gates) && p.contiguous(), shape,
                "recurrent_pack: panels %s do not fit %s", describe(p).text, describe(w).text);
  ACCELNN_CHECK(!overlap(w, p), aliasing, "recurrent_pack: the output overlaps the input");
  return {};
}

constexpr int most = recurrent_in::count_, most_grad = recurrent_grad_in::count_, slots = recurrent_attr::count_, slots_grad = recurrent_grad_attr::count_;
const Op op_recurrent = {"recurrent", recurrent_attrs, slots, 3, most, 5, check_recurrent, refuse_recurrent, recurrent_workspace};
const Op op_recurrent_grad = {"recurrent_grad", recurrent_grad_attrs, slots_grad, 2, most_grad, 4, check_recurrent_grad, refuse_nothing,
                              recurrent_grad_workspace};
const Op op_recurrent_pack = {"recurrent_pack", recurrent_pack_attrs, recurrent_pack_attr::count_, 1, 1, 1, check_recurrent_pack, refuse_nothing, no_workspace};

}  // namespace accelnn
