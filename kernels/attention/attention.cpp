#include "attention/attention.h"
#include "attention/attention_decode.h"

#define ACCELNN_OP attention
#define ACCELNN_TABLE "attention/attention.inc"
#include "define_op.h"
#define ACCELNN_OP attention_grad
#define ACCELNN_TABLE "attention/attention_grad.inc"
#include "define_op.h"

namespace accelnn {

AttentionProblem attention_problem(const Call& c, bool gradient) {
  const TensorView* in = c.in + (gradient ? 1 : 0);
  AttentionProblem p = {};
  p.q = in[0];
  p.k = in[1];
  p.v = in[2];
  p.mask = c.in[gradient ? 6 : 3];
  p.lengths = c.in[gradient ? 7 : 4];
  const TensorView& state = c.in[gradient ? 8 : 5];
  p.set_sizes(c.integer(attention_attr::causal), c.real(attention_attr::scale));
  const TensorView &q_starts = c.in[gradient ? 10 : 6], &k_starts = c.in[gradient ? 11 : 7];
  if (!q_starts.absent() && !k_starts.absent()) {
    p.q_starts = q_starts.as<int64_t>();
    p.k_starts = k_starts.as<int64_t>();
    p.sequences = q_starts.shape[0] - 1;
  }
  p.drop = float(c.real(attention_attr::dropout));
  p.state = p.drop > 0 ? state.as<uint64_t>() : nullptr;
  return p;
}

Status check_starts(const AttentionProblem& p) {
  for (int side = 0; side < 2 && p.q_starts; side++) {
    const int64_t *starts = side ? p.k_starts : p.q_starts, rows = side ? p.keys : p.queries;
    for (int64_t n = 0; n <= p.sequences; n++)
      ACCELNN_CHECK(starts[n] >= (n ? starts[n - 1] : 0) && starts[n] <= rows, bound, "attention: %s start %lld is %lld: 0 to %lld, never down, expected",
                    side ? "key" : "query", static_cast<long long>(n), static_cast<long long>(starts[n]), static_cast<long long>(rows));
  }
  return {};
}

namespace {

bool strided(const TensorView& v) { return v.shape[3] > 1 && v.stride[3] != 1; }
int64_t line(int64_t floats) { return (floats + 15) / 16 * 16; }
int64_t place(int64_t* at, int64_t floats) {
  const int64_t here = *at;
  *at += line(floats);
  return here;
}

}  // namespace

bool few_queries(const AttentionProblem& p) {
  return p.repeat * p.queries <= decode_rows && !p.state && !p.q_starts && !strided(p.k) && !strided(p.v);
}

AttentionLayout attention_layout(const AttentionProblem& p) {
  AttentionLayout w = {};
  w.copy_q = strided(p.q);
  w.copy_v = strided(p.v);
  w.panel_floats = line(p.q_starts ? panel_place(p.keys, p.sequences + 1) * p.depth : padded_to_panel(p.keys) * p.depth);
  // Whole items where there are many: their panels are used while they are hot. Few ones are cut, after all panels are made.
  const int64_t blocks = p.repeat * ((p.queries + query_block - 1) / query_block);
  w.parts = p.items() >= 16 || blocks < 1 ? 1 : blocks;
  w.panels = place(&w.floats, p.batch * p.groups * w.panel_floats);
  if (w.copy_q) w.q_at = place(&w.floats, p.q.count());
  if (w.copy_v) w.v_at = place(&w.floats, p.v.count());
  return w;
}

AttentionLayout attention_grad_layout(const AttentionProblem& p, const TensorView& dy) {
  AttentionLayout w = {};
  w.copy_q = strided(p.q);
  w.copy_k = strided(p.k);
  w.copy_v = strided(p.v);
  w.copy_dy = strided(dy);
  w.panel_floats = line((p.q_starts ? panel_place(p.queries, p.sequences + 1) : padded_to_panel(p.queries)) * (p.depth + p.width + 2));
  // An item's keys are cut where there are few items; every part but the first has a dq of its own, added up in order.
  const int64_t blocks = (p.keys + 4 * key_block / 8 - 1) / (4 * key_block / 8), wanted = p.items() ? (8 + p.items() - 1) / p.items() : 1;
  w.parts = p.items() >= 8 || blocks < 2 || p.q_starts ? 1 : wanted < blocks ? wanted
                                                                             : blocks;
  w.panels = place(&w.floats, p.batch * p.heads * w.panel_floats);
  if (w.copy_q) w.q_at = place(&w.floats, p.q.count());
  if (w.copy_k) w.k_at = place(&w.floats, p.k.count());
  if (w.copy_v) w.v_at = place(&w.floats, p.v.count());
  if (w.copy_dy) w.dy_at = place(&w.floats, dy.count());
  w.sums = place(&w.floats, (w.parts - 1) * p.q.count());
  return w;
}

namespace {

Status check_float(const char* op, const char* name, const TensorView& v, int rank) {
  ACCELNN_CHECK(!v.absent() && v.dtype == DType::f32 && v.rank == rank, dtype, "%s: %s is %s; f32 with %d dims expected", op, name, describe(v).text, rank);
  return {};
}
Status check_like(const char* op, const char* name, const TensorView& v, const TensorView& like) {
  ACCELNN_TRY(check_float(op, name, v, like.rank));
  ACCELNN_CHECK(same_shape(v, like), shape, "%s: %s is %s, expected the shape %s", op, name, describe(v).text, describe(like).text);
  return {};
}
// [B, H, L, width] or, of rank 3, [B, H, L]
Status check_rows(const char* op, const char* name, const TensorView& v, const AttentionProblem& p, int64_t width) {
  ACCELNN_TRY(check_float(op, name, v, width < 0 ? 3 : 4));
  ACCELNN_CHECK(v.shape[0] == p.batch && v.shape[1] == p.heads && v.shape[2] == p.queries && (width < 0 || v.shape[3] == width), shape,
                "%s: %s is %s for q %s and v %s", op, name, describe(v).text, describe(p.q).text, describe(p.v).text);
  return {};
}

Status check_operands(const char* op, const Call& c, bool gradient) {
  const TensorView* in = c.in + (gradient ? 1 : 0);
  const TensorView &q = in[0], &k = in[1], &v = in[2];
  ACCELNN_TRY(check_float(op, "q", q, 4));
  ACCELNN_TRY(check_float(op, "k", k, 4));
  ACCELNN_TRY(check_float(op, "v", v, 4));
  const bool fits = k.shape[0] == q.shape[0] && v.shape[0] == q.shape[0] && v.shape[1] == k.shape[1] && v.shape[2] == k.shape[2] && k.shape[3] == q.shape[3];
  ACCELNN_CHECK(fits, shape, "%s: q %s, k %s, v %s: [B, H, L, E], [B, G, S, E], [B, G, S, D] expected", op, describe(q).text, describe(k).text,
                describe(v).text);
  ACCELNN_CHECK(k.shape[1] ? q.shape[1] % k.shape[1] == 0 : q.shape[1] == 0, shape, "%s: %lld heads of q over %lld of k", op,
                static_cast<long long>(q.shape[1]), static_cast<long long>(k.shape[1]));
  ACCELNN_CHECK(q.shape[3] >= 1 && q.shape[3] <= attention_widest && v.shape[3] <= attention_widest, unsupported,
                "%s: heads of %lld and %lld numbers; 1..%lld are supported", op, static_cast<long long>(q.shape[3]), static_cast<long long>(v.shape[3]),
                static_cast<long long>(attention_widest));
  const int64_t causal = c.integer(attention_attr::causal);
  ACCELNN_CHECK(causal >= sees_all && causal <= lower_right, attribute, "%s: causal is %lld, expected 0, 1 or 2", op, static_cast<long long>(causal));
  const double drop = c.real(attention_attr::dropout), scale = c.real(attention_attr::scale);
  ACCELNN_CHECK(drop >= 0 && drop < 1, attribute, "%s: dropout %g is not in [0, 1)", op, drop);
  ACCELNN_CHECK(scale - scale == 0, attribute, "%s: scale %g", op, scale);
  const AttentionProblem p = attention_problem(c, gradient);
  ACCELNN_CHECK(p.mask.absent() || (p.mask.rank == 4 && (p.mask.dtype == DType::boolean || p.mask.dtype == DType::f32)), dtype,
                "%s: the mask is %s; bool or f32 with 4 dims expected", op, describe(p.mask).text);
  const int64_t scores[4] = {p.batch, p.heads, p.queries, p.keys};
  for (int d = 0; d < 4 && !p.mask.absent(); d++)
    ACCELNN_CHECK(p.mask.shape[d] == 1 || p.mask.shape[d] == scores[d], shape, "%s: a mask %s for scores [%lld, %lld, %lld, %lld]", op,
                  describe(p.mask).text, static_cast<long long>(p.batch), static_cast<long long>(p.heads), static_cast<long long>(p.queries),
                  static_cast<long long>(p.keys));
  const TensorView& n = p.lengths;
  ACCELNN_CHECK(n.absent() || (n.dtype == DType::i64 && n.rank == 1 && n.shape[0] == p.batch && n.contiguous()), shape,
                "%s: lengths are %s; contiguous i64[%lld] expected", op, describe(n).text, static_cast<long long>(p.batch));
  const TensorView &q_starts = c.in[gradient ? 10 : 6], &k_starts = c.in[gradient ? 11 : 7];
  for (int i = 0; i < 2 && !(q_starts.absent() && k_starts.absent()); i++) {
    const TensorView* t = i ? &k_starts : &q_starts;
    ACCELNN_CHECK(!t->absent() && t->dtype == DType::i64 && t->rank == 1 && t->shape[0] >= 1 && t->contiguous() && t->shape[0] == q_starts.shape[0], shape,
                  "%s: starts %s and %s: twice contiguous i64[N + 1] expected", op, describe(q_starts).text, describe(k_starts).text);
    ACCELNN_CHECK(p.batch == 1 && n.absent(), shape, "%s: starts of sequences go with a batch of 1 and no lengths, not with %s", op, describe(q).text);
  }
  const TensorView& s = c.in[gradient ? 8 : 5];
  ACCELNN_CHECK(drop == 0 || (s.dtype == DType::i64 && s.rank == 1 && s.shape[0] == 2 && s.contiguous()), shape,
                "%s: dropout needs a state, i64[2] (seed, call number), not %s", op, describe(s).text);
  ACCELNN_CHECK(p.batch < 1 << 30 && p.heads < 1 << 30 && p.queries < int64_t(1) << 40 && p.keys < int64_t(1) << 40, unsupported, "%s: too large", op);
  return {};
}

Status check_apart(const char* op, const Call& c) {
  for (int i = 0; i < c.n_out; i++) {
    if (c.out[i].absent()) continue;
    ACCELNN_CHECK(c.out[i].contiguous(), shape, "%s: output %d is not contiguous", op, i);
    for (int j = 0; j < c.n_in; j++) ACCELNN_CHECK(c.in[j].absent() || !overlap(c.in[j], c.out[i]), aliasing, "%s: output %d overlaps input %d", op, i, j);
    for (int j = 0; j < i; j++) ACCELNN_CHECK(c.out[j].absent() || !overlap(c.out[j], c.out[i]), aliasing, "%s: outputs %d and %d overlap", op, j, i);
  }
  return {};
}

Status check_attention(const Call& c) {
  const char* op = "attention";
  ACCELNN_TRY(check_operands(op, c, false));
  const AttentionProblem p = attention_problem(c, false);
  ACCELNN_TRY(check_rows(op, "y", c.out[0], p, p.width));
  if (!c.out[1].absent()) ACCELNN_TRY(check_rows(op, "lse", c.out[1], p, -1));
  return check_apart(op, c);
}

Status check_grad(const Call& c) {
  const char* op = "attention_grad";
  ACCELNN_TRY(check_operands(op, c, true));
  const AttentionProblem p = attention_problem(c, true);
  ACCELNN_TRY(check_rows(op, "dy", c.in[0], p, p.width));
  ACCELNN_TRY(check_rows(op, "y", c.in[4], p, p.width));
  ACCELNN_TRY(check_rows(op, "lse", c.in[5], p, -1));
  if (!c.in[9].absent()) ACCELNN_TRY(check_rows(op, "dlse", c.in[9], p, -1));
  ACCELNN_TRY(check_like(op, "dq", c.out[0], p.q));
  ACCELNN_TRY(check_like(op, "dk", c.out[1], p.k));
  ACCELNN_TRY(check_like(op, "dv", c.out[2], p.v));
  return check_apart(op, c);
}

size_t bytes(const AttentionLayout& w) { return size_t(w.floats) * sizeof(float); }
size_t attention_workspace(const Call& c, const Row& row) {
  const AttentionProblem p = attention_problem(c, false);
  if (row.exactness == Exactness::reference) return size_t(2 * p.keys) * sizeof(double);
  return few_queries(p) ? size_t(decode_problem(c, false).bytes) : bytes(attention_layout(p));
}
size_t grad_workspace(const Call& c, const Row& row) {
  const AttentionProblem p = attention_problem(c, true);
  if (row.exactness == Exactness::reference) return size_t(p.keys * (p.depth + p.width)) * sizeof(double);
  return bytes(attention_grad_layout(p, c.in[0]));
}

}  // namespace

const Op op_attention = {"attention", attention_attrs, attention_attr::count_, 3, 8, 2, check_attention, refuse_nothing, attention_workspace};
const Op op_attention_grad = {"attention_grad", attention_grad_attrs, attention_grad_attr::count_, 6, 12, 3, check_grad, refuse_nothing, grad_workspace};

}  // namespace accelnn
