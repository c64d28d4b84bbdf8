// Slow truth of the family, in double.
#include "rows.h"
#include "one_hot.h"
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

Status cross_entropy_f32_ref(const Call& call) {
  const softmax::Rows r = softmax::rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  const int64_t* labels = call.in[1].as<int64_t>();
  ACCELNN_TRY(softmax::check_labels("cross_entropy", labels, r.count, r.c));
  for (int64_t i = 0; i < r.count; i++)
    call.out[0].as<float>()[i] = float(-log_probability(x[i * r.c + labels[i]], normal_of(x + i * r.c, r.c)));
  return {};
}

Status cross_entropy_grad_f32_ref(const Call& call) {
  const softmax::Rows r = softmax::rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  const int64_t* labels = call.in[1].as<int64_t>();
  ACCELNN_TRY(softmax::check_labels("cross_entropy_grad", labels, r.count, r.c));
  for (int64_t i = 0; i < r.count; i++) {
    const Normal n = normal_of(x + i * r.c, r.c);
    const double dloss = double(call.in[2].as<float>()[i]);
    for (int64_t j = 0; j < r.c; j++)
      call.out[0].as<float>()[i * r.c + j] = float((::exp(log_probability(x[i * r.c + j], n)) - (j == labels[i])) * dloss);
  }
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
