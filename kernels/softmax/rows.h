// Rows of the last axis, and labels that are looked at before any of them is used as an index.
#pragma once
#include "pool.h"
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace softmax {

struct Rows { int64_t count, c; };
ACCELNN_INLINE Rows rows_of(const TensorView& x) {
  Rows r = {1, x.shape[x.rank - 1]};
  for (int i = 0; i + 1 < x.rank; i++) r.count *= x.shape[i];
  return r;
}

ACCELNN_INLINE Status check_labels(const char* op, const int64_t* labels, int64_t n, int64_t classes) {
  for (int64_t i = 0; i < n; i++)
    ACCELNN_CHECK(labels[i] >= 0 && labels[i] < classes, bound, "%s: label %lld of row %lld is outside [0, %lld)", op,
                  static_cast<long long>(labels[i]), static_cast<long long>(i), static_cast<long long>(classes));
  return {};
}

template <class F> ACCELNN_INLINE void over_rows(const Call& call, Rows r, int64_t work_per_element, const F& row) {
  const int64_t parts = r.count < 64 ? r.count : 64;
  parallel(call, parts, r.count * r.c * work_per_element, [&](int64_t part) {
    for (int64_t i = r.count * part / parts; i < r.count * (part + 1) / parts; i++) row(i);
  });
}

}  // namespace softmax
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
