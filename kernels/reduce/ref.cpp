// Slow truth: one accumulator in double an output.
#include <cmath>
#include "reduce/reduce.h"

namespace accelnn {

Status reduce_f32_ref(const Call& call);
Status reduce_f32_ref(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t kind = call.integer(reduce_attr::kind), outputs = y.count();
  const Attr& axes = call.attrs[reduce_attr::axes];
  bool reduced[max_rank] = {};
  int64_t terms = 1;
  for (int64_t i = 0; i < axes.n; i++) reduced[axes.list[i]] = true, terms *= x.shape[axes.list[i]];
  for (int64_t o = 0; o < outputs; o++) {
    int64_t rest = o, base = 0;
    for (int d = x.rank - 1; d >= 0; d--)
      if (!reduced[d]) base += rest % x.shape[d] * x.stride[d], rest /= x.shape[d];
    double r = kind == reduce_kind::max ? -INFINITY : kind == reduce_kind::min ? INFINITY
        : kind == reduce_kind::prod                                            ? 1
                                                                               : 0;
    for (int64_t t = 0; t < terms; t++) {
      int64_t offset = base;
      rest = t;
      for (int d = x.rank - 1; d >= 0; d--)
        if (reduced[d]) offset += rest % x.shape[d] * x.stride[d], rest /= x.shape[d];
      const double v = x.as<float>()[offset];
      if (kind == reduce_kind::max) r = r > v || r != r ? r : v;
      else if (kind == reduce_kind::min) r = r < v || r != r ? r : v;
      else if (kind == reduce_kind::prod) r *= v;
      else r += v;
    }
    y.as<float>()[o] = float(kind == reduce_kind::mean ? r / double(terms) : r);
  }
  return {};
}

}  // namespace accelnn
