#include "recurrent/wgrad.h"

#define ACCELNN_OP recurrent_wgrad
#define ACCELNN_TABLE "recurrent/recurrent_wgrad.inc"
#include "define_op.h"

namespace accelnn {

// A block's features stay in L2 while gates pass, and a tile's gates in L1.
constexpr int64_t deepest_block = 400;

WeightsProblem weights_problem(const Call& c) {
  namespace in = recurrent_wgrad_in;
  WeightsProblem p = {};
  const TensorView &di = c.in[in::di], &x = c.in[in::x], &before = c.in[in::before];
  p.directions = di.shape[0];
  p.steps = di.shape[1];
  p.batch = di.shape[2];
  p.n = di.shape[3];
  p.inputs = x.shape[2];
  p.outputs = before.shape[3];
  p.turned = c.integer(recurrent_wgrad_attr::batch_first) != 0;
  p.apart = !c.in[in::dj].absent();
  p.k = p.steps * p.batch;
  p.k_blocks = p.k <= deepest_block ? 1 : (p.k + deepest_block - 1) / deepest_block;
  p.most_k = (p.k + p.k_blocks - 1) / p.k_blocks;
  const int64_t a = (p.inputs + 15) / 16, b = (p.outputs + 15) / 16;
  p.panels = !p.apart ? a + b : a > b ? a
                                      : b;
  return p;
}

WeightsSpace weights_space(const WeightsProblem& p, char* base) {
  WeightsSpace s = {};
  const int64_t features = p.k * p.panels * 16, gates = (p.n + gate_group - 1) / gate_group * group_space(p.most_k);
  s.features = reinterpret_cast<float*>(base);
  s.gates = s.features + features;
  s.bytes = size_t(features + gates) * 4;
  return s;
}

static bool is_f32(const TensorView& v, int rank, int64_t a, int64_t b, int64_t c = -1, int64_t d = -1) {
  const int64_t want[] = {a, b, c, d};
  if (v.dtype != DType::f32 || v.rank != rank || !v.contiguous()) return false;
  for (int i = 0; i < rank; i++)
    if (v.shape[i] != want[i]) return false;
  return true;
}

static Status check_recurrent_wgrad(const Call& c) {
  namespace in = recurrent_wgrad_in;
  const TensorView &di = c.in[in::di], &dj = c.in[in::dj], &x = c.in[in::x], &before = c.in[in::before];
  ACCELNN_CHECK(di.dtype == DType::f32 && di.rank == 4 && di.contiguous() && x.dtype == DType::f32 && x.rank == 3 && before.dtype == DType::f32 &&
                    before.rank == 4,
                shape, "recurrent_wgrad: f32 di [D, T, B, N], x [T, B, I] and before [D, T, B, P] expected, not %s, %s and %s", describe(di).text,
                describe(x).text, describe(before).text);
  const WeightsProblem p = weights_problem(c);
  const int64_t D = p.directions, T = p.steps, B = p.batch;
  ACCELNN_CHECK(double(p.k + 1) * double(p.n + 16) * 4 < 1e14 && double(p.k + 1) * double(p.inputs + p.outputs + 32) * 4 < 1e14, shape,
                "recurrent_wgrad: %s is too large", describe(di).text);
  ACCELNN_CHECK((dj.absent() || is_f32(dj, 4, D, T, B, p.n)) && is_f32(x, 3, p.turned ? B : T, p.turned ? T : B, p.inputs) &&
                    is_f32(before, 4, D, T, B, p.outputs),
                shape, "recurrent_wgrad: contiguous dj %s, x %s, before %s do not fit %s", describe(dj).text, describe(x).text, describe(before).text,
                describe(di).text);
  const bool fits = is_f32(c.out[0], 3, D, p.n, p.inputs) && is_f32(c.out[1], 3, D, p.n, p.outputs) && is_f32(c.out[2], 2, D, p.n) &&
      (p.apart ? is_f32(c.out[3], 2, D, p.n) : c.out[3].absent());
  ACCELNN_CHECK(fits, shape, "recurrent_wgrad: outputs %s, %s, %s do not fit %s", describe(c.out[0]).text, describe(c.out[1]).text, describe(c.out[2]).text,
                describe(di).text);
  for (int i = 0; i < c.n_out; i++) {
    if (c.out[i].absent()) continue;
    for (int k = 0; k < c.n_in; k++)
      ACCELNN_CHECK(c.in[k].absent() || !overlap(c.in[k], c.out[i]), aliasing, "recurrent_wgrad: output %d overlaps input %d", i, k);
    for (int k = 0; k < i; k++) ACCELNN_CHECK(!overlap(c.out[k], c.out[i]), aliasing, "recurrent_wgrad: outputs %d and %d overlap", k, i);
  }
  return {};
}

static size_t recurrent_wgrad_workspace(const Call& c, const Row& row) {
  return row.exactness == Exactness::reference ? 0 : weights_space(weights_problem(c), nullptr).bytes;
}

const Op op_recurrent_wgrad = {"recurrent_wgrad", recurrent_wgrad_attrs, recurrent_wgrad_attr::count_, 3, recurrent_wgrad_in::count_, 4,
                               check_recurrent_wgrad, refuse_nothing, recurrent_wgrad_workspace};

// A plain loop, in double precision.
Status recurrent_wgrad_f32_ref(const Call& call) {
  namespace in = recurrent_wgrad_in;
  const WeightsProblem p = weights_problem(call);
  for (int64_t d = 0; d < p.directions; d++)
    for (int which = 0; which < 2; which++) {
      const float* const a = call.in[which && p.apart ? in::dj : in::di].as<float>() + d * p.k * p.n;
      const float* const b = which ? call.in[in::before].as<float>() + d * p.k * p.outputs : call.in[in::x].as<float>();
      const int64_t columns = which ? p.outputs : p.inputs;
      float* const bias = which == 0 || p.apart ? call.out[2 + which].as<float>() + d * p.n : nullptr;
      for (int64_t g = 0; g < p.n; g++)
        for (int64_t j = 0; j <= columns; j++) {
          double sum = 0;
          for (int64_t k = 0; k < p.k; k++) {
            const int64_t row = which == 0 && p.turned ? k % p.batch * p.steps + k / p.batch : k;
            sum += double(a[k * p.n + g]) * (j < columns ? double(b[row * columns + j]) : 1.0);
          }
          if (j < columns) call.out[which].as<float>()[(d * p.n + g) * columns + j] = float(sum);
          else if (bias) bias[g] = float(sum);
        }
    }
  return {};
}

}  // namespace accelnn
