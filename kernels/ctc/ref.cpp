// Slow truth: the same recursion in double. States are read through functions, a path at a time; memory for two rows would not do for the way back, so
// every step's forward variables are computed again: steps^2, for tests.
#include <cmath>
#include "alloc.h"
#include "ctc/sequences.h"

namespace accelnn {

namespace {

using namespace ctc_shapes;

double log_sum(double a, double b, double c) {
  const double m = std::fmax(std::fmax(a, b), c);
  return m == -HUGE_VAL ? m : m + std::log(std::exp(a - m) + std::exp(b - m) + std::exp(c - m));
}
double emit(const Sequences& q, int64_t i, int64_t t, int64_t k) { return double(q.at(t, i)[q.symbol(i, k)]); }

// One step from row `from` to row `to`, forwards (-1) or backwards (1).
void advance(const Sequences& q, int64_t i, int64_t t, int step, const double* from, double* to) {
  const int64_t states = q.states(i);
  const auto at = [&](int64_t k) { return k < 0 || k >= states ? -HUGE_VAL : from[k]; };
  for (int64_t k = 0; k < states; k++) {
    const int64_t beyond = k + 2 * step, upper = step < 0 ? k : beyond;
    const bool skips = beyond >= 0 && beyond < states && (k & 1) && q.symbol(i, upper) != q.symbol(i, upper - 2);
    to[k] = emit(q, i, t, k) + log_sum(at(k), at(k + step), skips ? at(beyond) : -HUGE_VAL);
  }
}
// Forward variables of step `t`, or backward ones, by way of a spare row.
void variables(const Sequences& q, int64_t i, int64_t t, bool backwards, double* row, double* spare) {
  const int64_t states = q.states(i), steps = q.input_lengths[i];
  for (int64_t k = 0; k < states; k++) {
    const bool first = backwards ? k >= states - 2 : k < 2;
    row[k] = first ? emit(q, i, backwards ? steps - 1 : 0, k) : -HUGE_VAL;
  }
  for (int64_t s = backwards ? steps - 2 : 1; backwards ? s >= t : s <= t; s += backwards ? -1 : 1) {
    advance(q, i, s, backwards ? 1 : -1, row, spare);
    for (int64_t k = 0; k < states; k++) row[k] = spare[k];
  }
}
double loss_of(const Sequences& q, int64_t i, double* row, double* spare) {
  const int64_t states = q.states(i), steps = q.input_lengths[i];
  if (steps == 0) return states == 1 ? 0 : HUGE_VAL;
  variables(q, i, steps - 1, false, row, spare);
  return -log_sum(row[states - 1], states > 1 ? row[states - 2] : -HUGE_VAL, -HUGE_VAL);
}

}  // namespace

Status ctc_loss_f32_ref(const Call& call) {
  const Sequences q = sequences_of(call, call.integer(ctc_loss_attr::blank));
  ACCELNN_TRY(check_sequences("ctc_loss", q));
  double* room = static_cast<double*>(allocate(size_t(4 * q.s + 2) * sizeof(double)));
  ACCELNN_CHECK(room, memory, "ctc_loss: no memory");
  for (int64_t i = 0; i < q.n; i++) call.out[0].as<float>()[i] = float(loss_of(q, i, room, room + 2 * q.s + 1));
  release(room);
  return {};
}

Status ctc_loss_grad_f32_ref(const Call& call) {
  const Sequences q = sequences_of(call, call.integer(ctc_loss_grad_attr::blank));
  ACCELNN_TRY(check_sequences("ctc_loss_grad", q));
  const int64_t width = 2 * q.s + 1;
  double* room = static_cast<double*>(allocate(size_t(3 * width) * sizeof(double)));
  ACCELNN_CHECK(room, memory, "ctc_loss_grad: no memory");
  double *alpha = room, *beta = alpha + width, *spare = beta + width;
  float* dx = call.out[0].as<float>();
  for (int64_t i = 0; i < q.t * q.n * q.c; i++) dx[i] = 0;
  for (int64_t i = 0; i < q.n; i++) {
    const double d = double(call.in[4].as<float>()[i]), loss = loss_of(q, i, alpha, spare);
    for (int64_t t = 0; t < q.input_lengths[i] && d != 0; t++) {
      variables(q, i, t, false, alpha, spare);
      variables(q, i, t, true, beta, spare);
      for (int64_t k = 0; k < q.states(i); k++) {
        float& to = dx[(t * q.n + i) * q.c + q.symbol(i, k)];
        if (loss == HUGE_VAL) to = NAN;
        else if (alpha[k] != -HUGE_VAL) to = float(double(to) - d * std::exp(alpha[k] + beta[k] - emit(q, i, t, k) + loss));
      }
    }
  }
  release(room);
  return {};
}

}  // namespace accelnn
