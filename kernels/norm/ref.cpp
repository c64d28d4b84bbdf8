// Slow truth of the family, in double.
#include <cmath>
#include "norm/layer_norm.h"
#include "norm/layer_norm_grad.h"

namespace accelnn {

namespace {

struct Spread { double mean, rstd; };
Spread spread_of(const float* x, int64_t n, double eps, bool centered) {
  double sum = 0, square = 0;
  for (int64_t j = 0; centered && j < n; j++) sum += double(x[j]);
  const double mean = sum / double(n);
  for (int64_t j = 0; j < n; j++) square += (double(x[j]) - mean) * (double(x[j]) - mean);
  return {mean, 1 / std::sqrt(square / double(n) + eps)};
}
int64_t elements(const TensorView& x, int64_t dims) {
  int64_t n = 1;
  for (int64_t i = x.rank - dims; i < x.rank; i++) n *= x.shape[i];
  return n;
}

}  // namespace

Status layer_norm_f32_ref(const Call& call) {
  const int64_t n = elements(call.in[0], call.integer(layer_norm_attr::dims)), rows = call.in[0].count() / n;
  const bool centered = !call.integer(layer_norm_attr::rms);
  for (int64_t i = 0; i < rows; i++) {
    const float* x = call.in[0].as<float>() + i * n;
    const Spread s = spread_of(x, n, call.real(layer_norm_attr::eps), centered);
    call.out[1].as<float>()[i] = float(s.rstd);
    if (centered) call.out[2].as<float>()[i] = float(s.mean);
    for (int64_t j = 0; j < n; j++) {
      const double z = (double(x[j]) - s.mean) * s.rstd * (call.in[1].absent() ? 1 : double(call.in[1].as<float>()[j]));
      call.out[0].as<float>()[i * n + j] = float(z + (call.in[2].absent() ? 0 : double(call.in[2].as<float>()[j])));
    }
  }
  return {};
}

Status layer_norm_grad_f32_ref(const Call& call) {
  const int64_t n = elements(call.in[1], call.integer(layer_norm_grad_attr::dims)), rows = call.in[1].count() / n;
  const int64_t params = call.integer(layer_norm_grad_attr::params);
  const bool centered = !call.integer(layer_norm_grad_attr::rms);
  const auto dy_at = [&](int64_t i, int64_t j) { return double(call.in[0].as<float>()[i * n + j]); };
  const auto weight = [&](int64_t j) { return call.in[4].absent() ? 1 : double(call.in[4].as<float>()[j]); };
  const auto z_at = [&](int64_t i, int64_t j) {
    return (double(call.in[1].as<float>()[i * n + j]) - (centered ? double(call.in[3].as<float>()[i]) : 0)) * double(call.in[2].as<float>()[i]);
  };
  for (int64_t j = 0; params && j < n; j++) {                 // before dx, which may lie on dy or x
    double dw = 0, db = 0;
    for (int64_t i = 0; i < rows; i++) dw += dy_at(i, j) * z_at(i, j), db += dy_at(i, j);
    call.out[1].as<float>()[j] = float(dw);
    if (params > 1) call.out[2].as<float>()[j] = float(db);
  }
  for (int64_t i = 0; i < rows; i++) {
    double g_sum = 0, gz_sum = 0;
    for (int64_t j = 0; j < n; j++) g_sum += dy_at(i, j) * weight(j), gz_sum += dy_at(i, j) * weight(j) * z_at(i, j);
    if (!centered) g_sum = 0;
    for (int64_t j = 0; j < n; j++)
      call.out[0].as<float>()[i * n + j] =
          float(double(call.in[2].as<float>()[i]) * (dy_at(i, j) * weight(j) - g_sum / double(n) - z_at(i, j) * gz_sum / double(n)));
  }
  return {};
}

}  // namespace accelnn
