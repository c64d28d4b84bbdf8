// Slow truth of the family, in double.
#include "rows.h"
#include "one_hot.h"
#include "softmax_axis.h"
#include "softmax_axis_grad.h"
#include <cmath>

namespace accelnn {

namespace {

struct Normal { double max, log_sum; };             // log softmax = (x - max) - log_sum
Normal normal_of(const float* x, int64_t c) {
  double max = -HUGE_VAL, sum = 0;
  for (int64_t i = 0; i < c; i++)
    if (double(x[i]) > max) max = double(x[i]);
  for (int64_t i = 0; i < c; i++) sum += ::exp(double(x[i]) - max);
  return {max, ::log(sum)};
}
double log_probability(float x, Normal n) { return double(x) - n.max - n.log_sum; }

}  // namespace

Status softmax_f32_ref(const Call& call) {
  const softmax::Rows r = softmax::rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  for (int64_t i = 0; i < r.count; i++) {
    const Normal n = normal_of(x + i * r.c, r.c);
    for (int64_t j = 0; j < r.c; j++) call.out[0].as<float>()[i * r.c + j] = float(::exp(log_probability(x[i * r.c + j], n)));
  }
  return {};
}

Status log_softmax_f32_ref(const Call& call) {
  const softmax::Rows r = softmax::rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  for (int64_t i = 0; i < r.count; i++) {
    const Normal n = normal_of(x + i * r.c, r.c);
    for (int64_t j = 0; j < r.c; j++) call.out[0].as<float>()[i * r.c + j] = float(log_probability(x[i * r.c + j], n));
  }
  return {};
}

Status softmax_grad_f32_ref(const Call& call) {
  const softmax::Rows r = softmax::rows_of(call.in[0]);
  for (int64_t i = 0; i < r.count; i++) {
    const float* dy = call.in[0].as<float>() + i * r.c;
    const float* y = call.in[1].as<float>() + i * r.c;
    double dot = 0;
    for (int64_t j = 0; j < r.c; j++) dot += double(dy[j]) * double(y[j]);
    for (int64_t j = 0; j < r.c; j++) call.out[0].as<float>()[i * r.c + j] = float((double(dy[j]) - dot) * double(y[j]));
  }
  return {};
}

Status log_softmax_grad_f32_ref(const Call& call) {
  const softmax::Rows r = softmax::rows_of(call.in[0]);
  for (int64_t i = 0; i < r.count; i++) {
    const float* dy = call.in[0].as<float>() + i * r.c;
    const float* y = call.in[1].as<float>() + i * r.c;
    double sum = 0;
    for (int64_t j = 0; j < r.c; j++) sum += double(dy[j]);
    for (int64_t j = 0; j < r.c; j++) call.out[0].as<float>()[i * r.c + j] = float(double(dy[j]) - ::exp(double(y[j])) * sum);
  }
  return {};
}

namespace {

// f(first element, distance to the next, how many) of every line along an axis
template <class F> void along(const TensorView& x, int64_t axis, const F& f) {
  int64_t inner = 1;
  for (int64_t i = axis + 1; i < x.rank; i++) inner *= x.shape[i];
  const int64_t c = x.shape[axis];
  for (int64_t i = 0; i < x.count() / c; i++) f(i / inner * c * inner + i % inner, inner, c);
}

}  // namespace

Status softmax_axis_f32_ref(const Call& call) {
  const float* x = call.in[0].as<float>();
  along(call.in[0], call.integer(softmax_axis_attr::axis), [&](int64_t at, int64_t step, int64_t c) {
    double max = -HUGE_VAL, sum = 0;
    for (int64_t j = 0; j < c; j++)
      if (double(x[at + j * step]) > max) max = double(x[at + j * step]);
    for (int64_t j = 0; j < c; j++) sum += ::exp(double(x[at + j * step]) - max);
    for (int64_t j = 0; j < c; j++) {
      const double l = double(x[at + j * step]) - max - ::log(sum);
      call.out[0].as<float>()[at + j * step] = float(call.integer(softmax_axis_attr::log) ? l : ::exp(l));
    }
  });
  return {};
}
Status softmax_axis_grad_f32_ref(const Call& call) {
  const float *dy = call.in[0].as<float>(), *y = call.in[1].as<float>();
  const bool log = call.integer(softmax_axis_grad_attr::log) != 0;
  along(call.in[0], call.integer(softmax_axis_grad_attr::axis), [&](int64_t at, int64_t step, int64_t c) {
    double sum = 0;
    for (int64_t j = 0; j < c; j++) sum += double(dy[at + j * step]) * (log ? 1 : double(y[at + j * step]));
    for (int64_t j = 0; j < c; j++) {
      const double g = double(dy[at + j * step]), v = double(y[at + j * step]);
      call.out[0].as<float>()[at + j * step] = float(log ? g - ::exp(v) * sum : (g - sum) * v);
    }
  });
  return {};
}

Status one_hot_i64_ref(const Call& call) {
  const softmax::Rows r = softmax::rows_of(call.out[0]);
  const int64_t* labels = call.in[0].as<int64_t>();
  ACCELNN_TRY(softmax::check_labels("one_hot", labels, r.count, r.c));
  for (int64_t i = 0; i < r.count; i++)
    for (int64_t j = 0; j < r.c; j++) call.out[0].as<float>()[i * r.c + j] = j == labels[i] ? 1.0f : 0.0f;
  return {};
}

}  // namespace accelnn
