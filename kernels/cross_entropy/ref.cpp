// Slow truth of the family, in double.
#include <cmath>
#include "cross_entropy/places.h"

namespace accelnn {

namespace {

using namespace places;

double weight_of(const TensorView& weight, int64_t c) { return weight.absent() ? 1 : double(weight.as<float>()[c]); }

// The classes of one place.
struct Place {
  const float* x;
  int64_t c, stride;
  double at(int64_t j) const { return double(x[j * stride]); }
};
Place place_of(const TensorView& logits, int64_t i) {
  const Places p = places_of(logits);
  return {logits.as<float>() + i / p.s * p.c * p.s + i % p.s, p.c, p.s};
}

}  // namespace

Status cross_entropy_f32_ref(const Call& call) {
  using namespace cross_entropy_attr;
  const Places p = places_of(call.in[0]);
  const int64_t* labels = call.in[1].as<int64_t>();
  const int64_t how = call.integer(reduction);
  const double e = call.real(label_smoothing);
  ACCELNN_TRY(check_labels("cross_entropy", labels, p, call.integer(ignore_index)));
  double all = 0, weights = 0;
  for (int64_t i = 0; i < p.count(); i++) {
    const Place x = place_of(call.in[0], i);
    double max = 0, log_sum = 0;
    if (!call.integer(log_input)) {
      max = -HUGE_VAL;
      for (int64_t j = 0; j < p.c; j++)
        if (x.at(j) > max) max = x.at(j);
      double sum = 0;
      for (int64_t j = 0; j < p.c; j++) sum += ::exp(x.at(j) - max);
      log_sum = ::log(sum);
      call.out[2].as<float>()[i] = float(max);
      call.out[3].as<float>()[i] = float(sum);
    }
    double loss = 0;
    if (labels[i] != call.integer(ignore_index)) {
      const auto l = [&](int64_t j) { return log_sum - (x.at(j) - max); };
      weights += weight_of(call.in[2], labels[i]);
      loss = (1 - e) * weight_of(call.in[2], labels[i]) * l(labels[i]);
      for (int64_t j = 0; j < p.c && e != 0; j++) loss += e / double(p.c) * weight_of(call.in[2], j) * l(j);
    }
    all += loss;
    if (how == reduction_none) call.out[0].as<float>()[i] = float(loss);
  }
  call.out[1].as<float>()[0] = how == reduction_mean ? float(weights) : 1.0f;
  if (how != reduction_none) call.out[0].as<float>()[0] = float(how == reduction_mean ? all / weights : all);
  return {};
}

Status cross_entropy_grad_f32_ref(const Call& call) {
  using namespace cross_entropy_grad_attr;
  const Places p = places_of(call.in[0]);
  const int64_t* labels = call.in[1].as<int64_t>();
  const int64_t how = call.integer(reduction);
  const double e = call.real(label_smoothing), share = how == reduction_mean ? 1 / double(*call.in[3].as<float>()) : 1;
  ACCELNN_TRY(check_labels("cross_entropy_grad", labels, p, call.integer(ignore_index)));
  double weights = 0;
  for (int64_t j = 0; j < p.c; j++) weights += weight_of(call.in[6], j);
  for (int64_t i = 0; i < p.count(); i++) {
    const Place x = place_of(call.in[0], i);
    const double d = double(call.in[2].as<float>()[how == reduction_none ? i : 0]) * share;
    const bool here = labels[i] != call.integer(ignore_index);
    const double hot = here ? (1 - e) * weight_of(call.in[6], labels[i]) : 0, flat = e / double(p.c);
    for (int64_t j = 0; j < p.c; j++) {
      double g = 0;
      if (here && !call.integer(log_input))
        g = ::exp(x.at(j) - double(call.in[4].as<float>()[i])) / double(call.in[5].as<float>()[i]) * (hot + flat * weights);
      if (here) g -= (j == labels[i] ? hot : 0) + flat * weight_of(call.in[6], j);
      call.out[0].as<float>()[x.x + j * p.s - call.in[0].as<float>()] = float(here ? g * d : 0);
    }
  }
  return {};
}

}  // namespace accelnn
