// Slow truth: the formula, element by element, sums in double. The taps are the contract's, made in one place.
#include "resize/resize.h"
#include "resize/resize_grad.h"

namespace accelnn {

Status resize_f32_ref(const Call& call);
Status resize_f32_ref(const Call& call) {
  ResizeTaps r;
  resize_taps(call, call.in[0], call.out[0], &r);
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t b = 0; b < r.count; b++)
      for (int64_t i = 0; i < r.inner; i++) {
        double sum = 0;
        for (int t = 0; t < r.taps; t++)
          sum += double(r.weight[t * r.count + b]) * double(call.in[0].as<float>()[(o * r.from + r.at[t * r.count + b]) * r.inner + i]);
        call.out[0].as<float>()[(o * r.count + b) * r.inner + i] = float(sum);
      }
  return {};
}

Status resize_grad_f32_ref(const Call& call);
Status resize_grad_f32_ref(const Call& call) {
  ResizeTaps r;
  resize_taps(call, call.out[0], call.in[0], &r);
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t a = 0; a < r.from; a++)
      for (int64_t i = 0; i < r.inner; i++) {
        double sum = 0;
        for (int64_t b = 0; b < r.count; b++)
          for (int t = 0; t < r.taps; t++)
            if (r.at[t * r.count + b] == a) sum += double(r.weight[t * r.count + b]) * double(call.in[0].as<float>()[(o * r.count + b) * r.inner + i]);
        call.out[0].as<float>()[(o * r.from + a) * r.inner + i] = float(sum);
      }
  return {};
}

}  // namespace accelnn
