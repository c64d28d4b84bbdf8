// Slow truth of the family, in double.
#include <cmath>
#include "norm/batch_norm.h"
#include "norm/batch_norm_grad.h"
#include "norm/batch_norm_infer.h"
#include "norm/channels.h"
#include "norm/group_norm.h"
#include "norm/group_norm_grad.h"
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

namespace {

// Sets of elements of [N, C, S] that are normalized together: each a range of samples, one of channels, and all places.
struct Set { int64_t n0, n1, c0, c1; };
struct Sets {
  norm_shapes::Channels d;
  int64_t groups;                       // 0: a channel of all samples
  int64_t count() const { return groups ? d.n * groups : d.c; }
  Set at(int64_t i) const {
    const int64_t per = groups ? d.c / groups : 1;
    if (!groups) return {0, d.n, i, i + 1};
    return {i / groups, i / groups + 1, i % groups * per, (i % groups + 1) * per};
  }
  int64_t size() const { return groups ? d.c / groups * d.s : d.n * d.s; }
  template <class F> void each(int64_t i, const F& f) const {         // f(place, channel)
    const Set set = at(i);
    for (int64_t n = set.n0; n < set.n1; n++)
      for (int64_t c = set.c0; c < set.c1; c++)
        for (int64_t j = 0; j < d.s; j++) f((n * d.c + c) * d.s + j, c);
  }
};

double number(const TensorView& v, int64_t i, double otherwise) { return v.absent() ? otherwise : double(v.as<float>()[i]); }

// y, rstd, mean; `keep` is told the exact mean and the sum of squares around it
template <class F> void normalize(const Call& call, const Sets& sets, double eps, const F& keep) {
  const float* x = call.in[0].as<float>();
  for (int64_t i = 0; i < sets.count(); i++) {
    double sum = 0, square = 0;
    sets.each(i, [&](int64_t at, int64_t) { sum += double(x[at]); });
    const double mean = sum / double(sets.size());
    sets.each(i, [&](int64_t at, int64_t) { square += (double(x[at]) - mean) * (double(x[at]) - mean); });
    const double rstd = 1 / std::sqrt(square / double(sets.size()) + eps);
    call.out[1].as<float>()[i] = float(rstd);
    call.out[2].as<float>()[i] = float(mean);
    keep(i, mean, square);
    sets.each(i, [&](int64_t at, int64_t c) {
      call.out[0].as<float>()[at] = float((double(x[at]) - mean) * rstd * number(call.in[1], c, 1) + number(call.in[2], c, 0));
    });
  }
}

void normalize_grad(const Call& call, const Sets& sets) {
  const float *dy = call.in[0].as<float>(), *x = call.in[1].as<float>(), *rstd = call.in[2].as<float>(), *mean = call.in[3].as<float>();
  const auto z = [&](int64_t i, int64_t at) { return (double(x[at]) - double(mean[i])) * double(rstd[i]); };
  for (int64_t c = 0; c < sets.d.c && !call.out[1].absent(); c++) {        // before dx, which may lie on dy or x
    double dw = 0, db = 0;
    for (int64_t i = 0; i < sets.count(); i++)
      if (sets.at(i).c0 <= c && c < sets.at(i).c1)
        sets.each(i, [&](int64_t at, int64_t channel) {
          if (channel == c) dw += double(dy[at]) * z(i, at), db += double(dy[at]);
        });
    call.out[1].as<float>()[c] = float(dw);
    if (!call.out[2].absent()) call.out[2].as<float>()[c] = float(db);
  }
  for (int64_t i = 0; i < sets.count(); i++) {
    double g_sum = 0, gz_sum = 0;
    const double n = double(sets.size());
    const auto g = [&](int64_t at, int64_t c) { return double(dy[at]) * number(call.in[4], c, 1); };
    sets.each(i, [&](int64_t at, int64_t c) { g_sum += g(at, c), gz_sum += g(at, c) * z(i, at); });
    sets.each(i, [&](int64_t at, int64_t c) {
      call.out[0].as<float>()[at] = float((g(at, c) - g_sum / n - z(i, at) * gz_sum / n) * double(rstd[i]));
    });
  }
}

}  // namespace

Status group_norm_f32_ref(const Call& call) {
  const Sets sets = {norm_shapes::channels_of(call.in[0]), call.integer(group_norm_attr::groups)};
  normalize(call, sets, call.real(group_norm_attr::eps), [](int64_t, double, double) {});
  return {};
}
Status group_norm_grad_f32_ref(const Call& call) {
  normalize_grad(call, {norm_shapes::channels_of(call.in[1]), call.integer(group_norm_grad_attr::groups)});
  return {};
}
Status batch_norm_f32_ref(const Call& call) {
  const Sets sets = {norm_shapes::channels_of(call.in[0]), 0};
  normalize(call, sets, call.real(batch_norm_attr::eps), [&](int64_t c, double, double square) {
    call.out[3].as<float>()[c] = float(square / double(sets.size() - 1));
  });
  return {};
}
Status batch_norm_grad_f32_ref(const Call& call) {
  normalize_grad(call, {norm_shapes::channels_of(call.in[1]), 0});
  return {};
}
Status batch_norm_infer_f32_ref(const Call& call) {
  const Sets sets = {norm_shapes::channels_of(call.in[0]), 0};
  for (int64_t i = 0; i < sets.count() && sets.d.n; i++) {
    const double scale = number(call.in[3], i, 1) / std::sqrt(double(call.in[2].as<float>()[i]) + call.real(batch_norm_infer_attr::eps));
    sets.each(i, [&](int64_t at, int64_t c) {
      call.out[0].as<float>()[at] = float((double(call.in[0].as<float>()[at]) - double(call.in[1].as<float>()[c])) * scale + number(call.in[4], c, 0));
    });
  }
  return {};
}

}  // namespace accelnn
