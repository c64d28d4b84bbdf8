#include "adaptive_pool/adaptive_max_pool2d.h"

namespace accelnn {

Status adaptive_max_pool2d_f32_ref(const Call& c) {
  const TensorView &in = c.in[0], &out = c.out[0];
  const int64_t planes = in.shape[0] * in.shape[1], h = in.shape[2], w = in.shape[3], oh = out.shape[2], ow = out.shape[3];
  int64_t o = 0;
  for (int64_t p = 0; p < planes; p++)
    for (int64_t i = 0; i < oh; i++)
      for (int64_t j = 0; j < ow; j++, o++) {
        const Span rows = adaptive_span(i, h, oh), columns = adaptive_span(j, w, ow);
        const float* x = in.as<float>() + p * h * w;
        int64_t first = rows.begin * w + columns.begin;
        for (int64_t r = rows.begin; r < rows.end; r++)
          for (int64_t k = columns.begin; k < columns.end; k++) {
            const float v = x[r * w + k];
            if (x[first] == x[first] && (v > x[first] || v != v)) first = r * w + k;
          }
        out.as<float>()[o] = x[first];
        if (!c.out[1].absent()) c.out[1].as<int32_t>()[o] = int32_t(first);
      }
  return {};
}

}  // namespace accelnn
