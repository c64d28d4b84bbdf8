// The slow truth: the formulas of the contract, element by element.
#include "sparse/matmul_sparse.h"

namespace accelnn {

static Status valid(const Call& call, const SparseProblem& p) {
  const int32_t* const first = call.in[1].as<int32_t>();
  for (int64_t s = 0; s < p.strips; s++)
    ACCELNN_CHECK(first[s] >= 0 && first[s] <= first[s + 1] && first[s + 1] <= p.blocks, format, "`first` does not ascend: the weights are corrupt");
  for (int64_t s = 0; s < p.strips; s++)
    for (int64_t b = first[s]; b < first[s + 1]; b++) {
      const int64_t at = call.in[2].as<int32_t>()[b];
      ACCELNN_CHECK(p.m == 0 || (at >= 0 && at < p.words), format, "an index is out of range: the weights are corrupt");
    }
  return {};
}

Status matmul_sparse_f32_ref(const Call& call) {
  const SparseProblem p = sparse_problem(call);
  ACCELNN_TRY(valid(call, p));
  for (int64_t i = 0; i < p.m; i++)
    for (int64_t j = 0; j < p.n; j++) {
      double sum = 0;
      for (int64_t b = call.in[1].as<int32_t>()[j / 16]; b < call.in[1].as<int32_t>()[j / 16 + 1]; b++)
        sum += double(call.in[0].as<float>()[i * p.k + call.in[2].as<int32_t>()[b]]) * double(call.in[3].as<float>()[b * 16 + j % 16]);
      if (!call.in[4].absent()) sum += double(call.in[4].as<float>()[j]);
      call.out[0].as<float>()[i * p.n + j] = float(sum);
    }
  return {};
}

Status matmul_sparse_int8_f32_ref(const Call& call) {
  const SparseProblem p = sparse_problem(call);
  ACCELNN_TRY(valid(call, p));
  for (int64_t i = 0; i < p.m; i++) {
    const float* const a = call.in[0].as<float>() + i * p.k;
    float lo = 0, hi = 0;
    bool finite = true;
    for (int64_t k = 0; k < p.k; k++) {
      finite = finite && __builtin_fabsf(a[k]) <= 3.4028234664e38f;
      if (a[k] < lo) lo = a[k];
      if (a[k] > hi) hi = a[k];
    }
    float step = (0.5f * hi - 0.5f * lo) / 127.5f;
    if (step < 1.17549435e-38f) step = 1.17549435e-38f;
    const float inverse = 1.0f / step, zero = finite ? __builtin_rintf(-lo * inverse) : 0.0f;
    for (int64_t j = 0; j < p.n; j++) {
      uint32_t sum = 0;
      for (int64_t b = call.in[1].as<int32_t>()[j / 16]; b < call.in[1].as<int32_t>()[j / 16 + 1]; b++)
        for (int64_t r = 0; r < 4; r++) {
          const int64_t k = 4 * int64_t(call.in[2].as<int32_t>()[b]) + r;
          float x = (finite && k < p.k ? __builtin_rintf(a[k] * inverse) : 0.0f) + zero;
          if (x > 255.0f) x = 255.0f;
          sum += uint32_t(int32_t(x) * int32_t(call.in[3].as<int8_t>()[b * 64 + j % 16 * 4 + r]));
        }
      sum -= uint32_t(int32_t(zero)) * uint32_t(call.in[5].as<int32_t>()[j]);
      const float v = float(int32_t(sum)) * (call.in[4].as<float>()[j] * (finite ? step : __builtin_nanf("")));
      call.out[0].as<float>()[i * p.n + j] = call.in[6].absent() ? v : v + call.in[6].as<float>()[j];
    }
  }
  return {};
}

}  // namespace accelnn
