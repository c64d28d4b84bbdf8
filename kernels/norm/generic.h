// The ops of the family over rows.h, runs.h and columns.h.
#pragma once
#include "norm/layer_norm.h"
#include "norm/layer_norm_grad.h"
#include "norm/rows.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

ACCELNN_INLINE const float* floats(const TensorView& v) { return v.absent() ? nullptr : v.as<float>(); }
ACCELNN_INLINE Rows rows_of(const TensorView& x, int64_t dims) {
  Rows r = {1, 1, 1, nullptr, nullptr, true, 0};
  for (int i = 0; i < x.rank; i++) (i < x.rank - dims ? r.count : r.n) *= x.shape[i];
  return r;
}

ACCELNN_INLINE Status layer_norm(const Call& call) {
  Rows r = rows_of(call.in[0], call.integer(layer_norm_attr::dims));
  r.weight = floats(call.in[1]);
  r.bias = floats(call.in[2]);
  r.centered = call.integer(layer_norm_attr::rms) == 0;
  r.eps = call.real(layer_norm_attr::eps);
  return normalize_rows(call, r, call.in[0].as<float>(), call.out[0].as<float>(), call.out[1].as<float>(), r.centered ? call.out[2].as<float>() : nullptr);
}

ACCELNN_INLINE Status layer_norm_grad(const Call& call) {
  Rows r = rows_of(call.in[1], call.integer(layer_norm_grad_attr::dims));
  r.weight = floats(call.in[4]);
  r.centered = call.integer(layer_norm_grad_attr::rms) == 0;
  const float *dy = call.in[0].as<float>(), *x = call.in[1].as<float>(), *rstd = call.in[2].as<float>(), *mean = floats(call.in[3]);
  float *dx = call.out[0].as<float>(), *partial = static_cast<float*>(call.work);
  const int64_t params = call.integer(layer_norm_grad_attr::params), parts = layer_norm_grad_parts(r.count);
  if (params == 0) grad_rows<0>(call, r, dy, x, rstd, mean, dx, partial, parts);
  else if (params == 1) grad_rows<1>(call, r, dy, x, rstd, mean, dx, partial, parts);
  else grad_rows<2>(call, r, dy, x, rstd, mean, dx, partial, parts);
  for (int64_t k = 0; k < params; k++) add_parts(call, partial + k * r.n, parts, params * r.n, call.out[1 + k].as<float>(), r.n);
  return {};
}

#undef INLINED

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
