// logits as [N, C, S]: S places of N samples, each with C classes, and what the two ops and all their rows share.
#pragma once
#include "cross_entropy/cross_entropy.h"
#include "cross_entropy/cross_entropy_grad.h"

namespace accelnn {
namespace places {

struct Places {
  int64_t n, c, s;
  ACCELNN_INLINE int64_t count() const { return n * s; }
};
ACCELNN_INLINE Places places_of(const TensorView& logits) {
  Places p = {logits.shape[0], logits.shape[1], 1};
  for (int i = 2; i < logits.rank; i++) p.s *= logits.shape[i];
  return p;
}
constexpr int64_t most_parts = 64;
constexpr int64_t reduction_none = 0, reduction_mean = 1;

// Before any label is used as an index.
inline Status check_labels(const char* op, const int64_t* labels, const Places& p, int64_t ignored) {
  for (int64_t i = 0; i < p.count(); i++)
    ACCELNN_CHECK((labels[i] >= 0 && labels[i] < p.c) || labels[i] == ignored, bound, "%s: label %lld of place %lld is outside [0, %lld)", op,
                  static_cast<long long>(labels[i]), static_cast<long long>(i), static_cast<long long>(p.c));
  return {};
}

}  // namespace places
}  // namespace accelnn
