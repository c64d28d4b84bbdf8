#include "attention/attention_paged.h"

#define ACCELNN_OP attention_paged
#define ACCELNN_TABLE "attention/attention_paged.inc"
#include "define_op.h"

namespace accelnn {

namespace {

long long number(int64_t n) { return static_cast<long long>(n); }

// [P, N, G, ...] as [P, G, N, ...]
TensorView by_heads(TensorView v) {
  if (v.absent()) return v;
  const int64_t shape = v.shape[1], stride = v.stride[1];
  v.shape[1] = v.shape[2];
  v.stride[1] = v.stride[2];
  v.shape[2] = shape;
  v.stride[2] = stride;
  return v;
}

}  // namespace

PagedProblem paged_problem(const Call& c) {
  PagedProblem w = {};
  AttentionProblem& p = w.d.p;
  p.q = c.in[0];
  p.k = by_heads(c.in[1]);
  p.v = by_heads(c.in[2]);
  p.mask = absent_view();
  p.lengths = c.in[4];
  w.d.k_scale = by_heads(c.in[5]);
  w.d.v_scale = by_heads(c.in[6]);
  w.pages = c.in[3].as<int64_t>();
  w.count = p.k.shape[0];
  w.size = p.k.shape[2];
  w.each = c.in[3].shape[1];
  p.set_sizes(c.integer(attention_paged_attr::causal), c.real(attention_paged_attr::scale));
  p.keys = w.each * w.size;
  w.d.part = w.size >= decode_short_part ? w.size : decode_short_part / w.size * w.size;
  w.d.parts = p.keys <= w.d.part ? 1 : (p.keys + w.d.part - 1) / w.d.part;
  w.d.rows = p.repeat * p.queries;
  w.d.bytes = p.items() * w.d.parts * 2 * w.d.rows * (p.width + 2) * int64_t(sizeof(float));
  return w;
}

Status check_pages(const PagedProblem& w) {
  for (int64_t b = 0; b < w.d.p.batch; b++)
    for (int64_t m = 0; m * w.size < w.d.p.keys_of(b); m++) {
      const int64_t page = w.pages[b * w.each + m];
      ACCELNN_CHECK(page >= 0 && page < w.count, bound, "attention_paged: page %lld of item %lld is %lld: 0 to %lld expected", number(m), number(b),
                    number(page), number(w.count - 1));
    }
  return {};
}

namespace {

Status check_scale(const char* name, const TensorView& s, const TensorView& k) {
  if (s.absent()) return {};
  bool fits = s.dtype == DType::f32 && s.rank == 3 && s.contiguous();
  for (int d = 0; d < 3 && fits; d++) fits = s.shape[d] == 1 || s.shape[d] == k.shape[d];
  ACCELNN_CHECK(fits, shape, "attention_paged: %s is %s for a cache %s; f32 with 3 dims, each 1 or the cache's, expected", name, describe(s).text,
                describe(k).text);
  return {};
}

Status check_paged(const Call& c) {
  const TensorView &q = c.in[0], &k = c.in[1], &v = c.in[2], &pages = c.in[3], &n = c.in[4], &y = c.out[0];
  ACCELNN_CHECK(q.dtype == DType::f32 && (k.dtype == DType::f32 || k.dtype == DType::bf16 || k.dtype == DType::i8) && v.dtype == k.dtype, dtype,
                "attention_paged: q %s, k %s, v %s: f32, and two caches of f32, bf16 or i8 expected", describe(q).text, describe(k).text, describe(v).text);
  const bool fits = q.rank == 4 && k.rank == 4 && v.rank == 4 && v.shape[0] == k.shape[0] && v.shape[1] == k.shape[1] && v.shape[2] == k.shape[2] &&
      k.shape[3] == q.shape[3] && (k.shape[2] ? q.shape[1] % k.shape[2] == 0 : q.shape[1] == 0);
  ACCELNN_CHECK(fits, shape, "attention_paged: q %s, k %s, v %s: [B, H, L, E], [P, N, G, E], [P, N, G, D], G dividing H, expected", describe(q).text,
                describe(k).text, describe(v).text);
  ACCELNN_CHECK(q.shape[3] >= 1 && q.shape[3] <= attention_widest && v.shape[3] <= attention_widest && k.shape[1] >= 1 && k.shape[1] <= decode_part,
                unsupported, "attention_paged: heads of %lld and %lld numbers, pages of %lld keys; 1 to %lld and %lld are supported", number(q.shape[3]),
                number(v.shape[3]), number(k.shape[1]), number(attention_widest), number(decode_part));
  ACCELNN_CHECK(pages.dtype == DType::i64 && pages.rank == 2 && pages.shape[0] == q.shape[0], shape, "attention_paged: pages are %s; i64[%lld, M] expected",
                describe(pages).text, number(q.shape[0]));
  ACCELNN_CHECK(n.dtype == DType::i64 && n.rank == 1 && n.shape[0] == q.shape[0], shape, "attention_paged: lengths are %s; i64[%lld] expected",
                describe(n).text, number(q.shape[0]));
  ACCELNN_TRY(check_scale("k_scale", c.in[5], k));
  ACCELNN_TRY(check_scale("v_scale", c.in[6], v));
  const int64_t causal = c.integer(attention_paged_attr::causal);
  const double scale = c.real(attention_paged_attr::scale);
  ACCELNN_CHECK(causal == sees_all || causal == lower_right, attribute, "attention_paged: causal is %lld, expected 0 or 2", number(causal));
  ACCELNN_CHECK(scale - scale == 0, attribute, "attention_paged: scale %g", scale);
  ACCELNN_CHECK(y.dtype == DType::f32 && y.rank == 4 && y.shape[0] == q.shape[0] && y.shape[1] == q.shape[1] && y.shape[2] == q.shape[2] &&
                    y.shape[3] == v.shape[3] && y.contiguous(),
                shape, "attention_paged: y is %s for q %s and v %s", describe(y).text, describe(q).text, describe(v).text);
  for (int i = 0; i < c.n_in; i++) {
    ACCELNN_CHECK(c.in[i].absent() || c.in[i].contiguous(), shape, "attention_paged: input %d is %s; contiguous operands expected", i, describe(c.in[i]).text);
    ACCELNN_CHECK(c.in[i].absent() || !overlap(c.in[i], y), aliasing, "attention_paged: y overlaps input %d", i);
  }
  ACCELNN_CHECK(q.shape[0] < 1 << 30 && q.shape[1] < 1 << 30 && q.shape[2] < int64_t(1) << 40 && pages.shape[1] < int64_t(1) << 29, unsupported,
                "attention_paged: too large");
  return {};
}

size_t paged_workspace(const Call& c, const Row& row) {
  const PagedProblem w = paged_problem(c);
  return row.exactness == Exactness::reference ? size_t(w.d.p.keys) * sizeof(double) : size_t(w.d.bytes);
}

}  // namespace

const Op op_attention_paged = {"attention_paged", attention_paged_attrs, attention_paged_attr::count_, 5, 7, 1, check_paged, refuse_nothing,
                               paged_workspace};

}  // namespace accelnn
