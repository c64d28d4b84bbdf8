#include "attention/attention_decode.h"

#define ACCELNN_OP attention_decode
#define ACCELNN_TABLE "attention/attention_decode.inc"
#include "define_op.h"

namespace accelnn {

static bool apart(const TensorView& v) { return v.shape[3] > 1 && v.stride[3] != 1; }

DecodeProblem decode_problem(const Call& c, bool cached) {
  DecodeProblem d = {};
  d.k_scale = d.v_scale = absent_view();
  if (cached) {
    AttentionProblem& p = d.p;
    p.q = c.in[0];
    p.k = c.in[1];
    p.v = c.in[2];
    p.mask = absent_view();
    p.lengths = c.in[3];
    d.k_scale = c.in[4];
    d.v_scale = c.in[5];
    p.set_sizes(c.integer(attention_decode_attr::causal), c.real(attention_decode_attr::scale));
  } else {
    d.p = attention_problem(c, false);
  }
  const AttentionProblem& p = d.p;
  d.copy_k = apart(p.k);
  d.copy_v = apart(p.v);
  d.part = p.keys < 2 * decode_part ? decode_short_part : p.keys < 4 * decode_part ? decode_part / 2
                                                                                   : decode_part;
  d.parts = p.keys <= d.part ? 1 : (p.keys + d.part - 1) / d.part;
  d.rows = p.repeat * p.queries;
  const auto place = [&](int64_t bytes) {
    const int64_t here = d.bytes;
    d.bytes += (bytes + 63) / 64 * 64;
    return here;
  };
  d.sums = place(p.items() * d.parts * d.rows * (p.width + 2) * 4);
  if (d.copy_k) d.k_at = place(p.k.count() * int64_t(size_of(p.k.dtype)));
  if (d.copy_v) d.v_at = place(p.v.count() * int64_t(size_of(p.v.dtype)));
  return d;
}

namespace {

Status check_scale(const char* name, const TensorView& s, const TensorView& k) {
  if (s.absent()) return {};
  bool fits = s.dtype == DType::f32 && s.rank == 3;
  for (int d = 0; d < 3 && fits; d++) fits = s.shape[d] == 1 || s.shape[d] == k.shape[d];
  ACCELNN_CHECK(fits, shape, "attention_decode: %s is %s for a cache %s; f32 with 3 dims, each 1 or the cache's, expected", name, describe(s).text,
                describe(k).text);
  return {};
}

Status check_decode(const Call& c) {
  const TensorView &q = c.in[0], &k = c.in[1], &v = c.in[2], &n = c.in[3], &y = c.out[0];
  ACCELNN_CHECK(q.dtype == DType::f32 && (k.dtype == DType::f32 || k.dtype == DType::bf16 || k.dtype == DType::i8) && v.dtype == k.dtype, dtype,
                "attention_decode: q %s, k %s, v %s: f32, and two caches of f32, bf16 or i8 expected", describe(q).text, describe(k).text, describe(v).text);
  const bool fits = q.rank == 4 && k.rank == 4 && v.rank == 4 && k.shape[0] == q.shape[0] && v.shape[0] == q.shape[0] && v.shape[1] == k.shape[1] &&
      v.shape[2] == k.shape[2] && k.shape[3] == q.shape[3] && (k.shape[1] ? q.shape[1] % k.shape[1] == 0 : q.shape[1] == 0);
  ACCELNN_CHECK(fits, shape, "attention_decode: q %s, k %s, v %s: [B, H, L, E], [B, G, S, E], [B, G, S, D], G dividing H, expected", describe(q).text,
                describe(k).text, describe(v).text);
  ACCELNN_CHECK(q.shape[3] >= 1 && q.shape[3] <= attention_widest && v.shape[3] <= attention_widest, unsupported,
                "attention_decode: heads of %lld and %lld numbers; 1..%lld are supported", static_cast<long long>(q.shape[3]),
                static_cast<long long>(v.shape[3]), static_cast<long long>(attention_widest));
  ACCELNN_CHECK(n.absent() || (n.dtype == DType::i64 && n.rank == 1 && n.shape[0] == q.shape[0] && n.contiguous()), shape,
                "attention_decode: lengths are %s; contiguous i64[%lld] expected", describe(n).text, static_cast<long long>(q.shape[0]));
  ACCELNN_TRY(check_scale("k_scale", c.in[4], k));
  ACCELNN_TRY(check_scale("v_scale", c.in[5], v));
  const int64_t causal = c.integer(attention_decode_attr::causal);
  const double scale = c.real(attention_decode_attr::scale);
  ACCELNN_CHECK(causal == sees_all || causal == lower_right, attribute, "attention_decode: causal is %lld, expected 0 or 2", static_cast<long long>(causal));
  ACCELNN_CHECK(scale - scale == 0, attribute, "attention_decode: scale %g", scale);
  ACCELNN_CHECK(y.dtype == DType::f32 && y.rank == 4 && y.shape[0] == q.shape[0] && y.shape[1] == q.shape[1] && y.shape[2] == q.shape[2] &&
                    y.shape[3] == v.shape[3] && y.contiguous(),
                shape, "attention_decode: y is %s for q %s and v %s", describe(y).text, describe(q).text, describe(v).text);
  for (int i = 0; i < c.n_in; i++) ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "attention_decode: y overlaps input %d", i);
  ACCELNN_CHECK(q.shape[0] < 1 << 30 && q.shape[1] < 1 << 30 && q.shape[2] < int64_t(1) << 40 && k.shape[2] < int64_t(1) << 40, unsupported,
                "attention_decode: too large");
  return {};
}

size_t decode_workspace(const Call& c, const Row& row) {
  const DecodeProblem d = decode_problem(c, true);
  return row.exactness == Exactness::reference ? size_t(d.p.keys) * sizeof(double) : size_t(d.bytes);
}

}  // namespace

const Op op_attention_decode = {"attention_decode", attention_decode_attrs, attention_decode_attr::count_, 3, 6, 1, check_decode, refuse_nothing,
                                decode_workspace};

}  // namespace accelnn
