// Rows of a window first, a vector of columns at a time, then the columns that are left, one by one: these are a few for each output.
#pragma once
#include "adaptive_pool/adaptive_max_pool2d.h"
#include "pool2d/generic.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

inline Status adaptive_max_pool2d(const Call& c) {
  const TensorView &in = c.in[0], &out = c.out[0];
  const int64_t planes = in.shape[0] * in.shape[1], h = in.shape[2], w = in.shape[3], oh = out.shape[2], ow = out.shape[3];
  if (!out.count()) return {};
  const int64_t parts = adaptive_parts(planes), row = adaptive_row(w), seen = h + oh;
  int32_t* const index = c.out[1].absent() ? nullptr : c.out[1].as<int32_t>();
  parallel(c, parts, planes * (4 * seen * w + 72 * oh * (w + 4 * ow)), [&](int64_t part) {
    float* best = static_cast<float*>(c.work) + part * adaptive_room(w, ow);
    int32_t *where = reinterpret_cast<int32_t*>(best + row), *columns = where + row;
    for (int64_t j = 0; j < ow; j++) columns[2 * j] = int32_t(adaptive_span(j, w, ow).begin), columns[2 * j + 1] = int32_t(adaptive_span(j, w, ow).end);
    for (int64_t p = planes * part / parts; p < planes * (part + 1) / parts; p++) {
      const float* x = in.as<float>() + p * h * w;
      int64_t at = p * oh * ow;
      for (int64_t i = 0; i < oh; i++) {
        const Span rows = adaptive_span(i, h, oh);
        pool2d::in_lanes(0, w, [&](int64_t from, int n) INLINED {
          vi place = ramp() + int32_t(rows.begin * w + from), first = place;
          vf most = pool2d::lanes_of(x + rows.begin * w + from, n);
          for (int64_t r = rows.begin + 1; r < rows.end; r++) {
            place += int32_t(w);
            pool2d::keep_larger(most, first, pool2d::lanes_of(x + r * w + from, n), place);
          }
          store(best + from, most);                   // the rows of the workspace end with a whole vector
          store_bits(where + from, first);
        });
        for (int64_t j = 0; j < ow; j++, at++) {
          const int64_t end = columns[2 * j + 1];
          int64_t k = columns[2 * j];
          float top = best[k];
          int32_t spot = where[k];
          for (k++; k < end; k++) {                   // of equal ones, and of NaNs, the one with the lower place
            const float v = best[k];
            const int32_t there = where[k];
            const bool take = (v > top) | ((v == top) & (there < spot)) | ((v != v) & ((top == top) | (there < spot)));
            top = take ? v : top;
            spot = take ? there : spot;
          }
          out.as<float>()[at] = top;
          if (index) index[at] = spot;
        }
      }
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
