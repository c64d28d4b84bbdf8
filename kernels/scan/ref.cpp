// Slow truth: every result added up from the beginning, in double (integers in uint64, whose low bits are right).
#include "scan/cumulate.h"

namespace accelnn {

template <class T, class Wide> static Status run(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t axis = call.integer(cumulate_attr::axis), n = x.shape[axis], count = x.count();
  const bool product = call.integer(cumulate_attr::kind) == 1, exclusive = call.integer(cumulate_attr::exclusive) != 0;
  const bool reverse = call.integer(cumulate_attr::reverse) != 0;
  int64_t inner = 1;
  for (int d = int(axis) + 1; d < x.rank; d++) inner *= x.shape[d];
  for (int64_t e = 0; e < count; e++) {
    const int64_t a = e / inner % n;
    Wide r = product ? 1 : 0;
    for (int64_t b = 0; b < n; b++) {
      if (!(reverse ? b > a : b < a) && (exclusive || b != a)) continue;
      const Wide v = Wide(x.as<T>()[e + (b - a) * inner]);
      r = product ? r * v : r + v;
    }
    y.as<T>()[e] = T(r);
  }
  return {};
}

Status cumulate_f32_ref(const Call& call);
Status cumulate_f32_ref(const Call& call) { return run<float, double>(call); }
Status cumulate_i32_ref(const Call& call);
Status cumulate_i32_ref(const Call& call) { return run<int32_t, uint64_t>(call); }
Status cumulate_i64_ref(const Call& call);
Status cumulate_i64_ref(const Call& call) { return run<int64_t, uint64_t>(call); }
Status cumulate_f64_ref(const Call& call);
Status cumulate_f64_ref(const Call& call) { return run<double, double>(call); }

}  // namespace accelnn
