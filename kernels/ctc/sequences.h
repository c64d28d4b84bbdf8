// What is asked of the sequences of a batch, and how much room one takes.
#pragma once
#include "ctc/ctc_loss.h"
#include "ctc/ctc_loss_grad.h"

namespace accelnn {
namespace ctc_shapes {

struct Sequences {
  int64_t t, n, c, s, blank;
  const float* log_probs;
  const int64_t *targets, *input_lengths, *target_lengths;
  ACCELNN_INLINE const float* at(int64_t step, int64_t i) const { return log_probs + (step * n + i) * c; }
  ACCELNN_INLINE int64_t states(int64_t i) const { return 2 * target_lengths[i] + 1; }            // a blank between any two targets and at both ends
  ACCELNN_INLINE int64_t symbol(int64_t i, int64_t state) const { return state & 1 ? targets[i * s + state / 2] : blank; }
};
ACCELNN_INLINE Sequences sequences_of(const Call& call, int64_t blank) {
  const TensorView& x = call.in[0];
  return {x.shape[0], x.shape[1], x.shape[2], call.in[1].shape[1], blank, x.as<float>(), call.in[1].as<int64_t>(), call.in[2].as<int64_t>(),
          call.in[3].as<int64_t>()};
}
// Floats of one row of states: two impossible ones before it, and more than a vector behind.
ACCELNN_INLINE int64_t pitch(int64_t s) { return 2 * s + 1 + 2 + 18; }
constexpr int64_t most_parts = 16;
ACCELNN_INLINE int64_t parts_of(int64_t n) { return n < most_parts ? n : most_parts; }

inline Status check_sequences(const char* op, const Sequences& q) {
  for (int64_t i = 0; i < q.n; i++) {
    ACCELNN_CHECK(q.input_lengths[i] >= 0 && q.input_lengths[i] <= q.t, bound, "%s: input length %lld of sequence %lld is outside [0, %lld]", op,
                  static_cast<long long>(q.input_lengths[i]), static_cast<long long>(i), static_cast<long long>(q.t));
    ACCELNN_CHECK(q.target_lengths[i] >= 0 && q.target_lengths[i] <= q.s, bound, "%s: target length %lld of sequence %lld is outside [0, %lld]", op,
                  static_cast<long long>(q.target_lengths[i]), static_cast<long long>(i), static_cast<long long>(q.s));
    for (int64_t j = 0; j < q.target_lengths[i]; j++)
      ACCELNN_CHECK(q.targets[i * q.s + j] >= 0 && q.targets[i * q.s + j] < q.c, bound, "%s: target %lld of sequence %lld is outside [0, %lld)", op,
                    static_cast<long long>(q.targets[i * q.s + j]), static_cast<long long>(i), static_cast<long long>(q.c));
  }
  return {};
}

}  // namespace ctc_shapes
}  // namespace accelnn
