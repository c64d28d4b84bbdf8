// A step of the recursion is a few vectors: the states of one sequence side by side, their neighbours by loads one and two places off.
#pragma once
#include "ctc/sequences.h"
#include "strips.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace ctc {

using namespace strips;
using namespace ::accelnn::ctc_shapes;

ACCELNN_INLINE vf never() { return splat(-__builtin_inff()); }

// The rows of one part: emissions of a step, whether a state may be reached from the one before the last, two rows backwards, and a row a step.
struct Room {
  float *emit, *skip, *back, *alpha;
  int64_t pitch;
};
ACCELNN_INLINE Room room_of(void* work, int64_t part, const Sequences& q, bool backwards) {
  const int64_t width = pitch(q.s), rows = backwards ? 4 + q.t : 4;
  float* p = static_cast<float*>(work) + part * rows * width + 2;
  return {p, p + width, p + 2 * width, p + (backwards ? 4 : 2) * width, width};
}
ACCELNN_INLINE void clear(float* row, int64_t states) {
  for (int64_t i = -2; i < states + 18; i++) row[i] = -__builtin_inff();
}

// log(exp a + exp b + exp c), also of nothing
ACCELNN_INLINE vf log_sum(vf a, vf b, vf c) {
  vf m = larger(larger(a, b), c);
  m = select(m == -__builtin_inff(), vf{}, m);
  return m + log(exp_below(a - m) + exp_below(b - m) + exp_below(c - m));
}
// The largest of a row; -inf where all are impossible. NaN is carried on by the states themselves.
ACCELNN_INLINE float largest(const float* row, int64_t states) {
  float best = -__builtin_inff();
  for (int64_t i = 0; i < states; i++) best = row[i] > best ? row[i] : best;
  return best;
}
// Takes the largest off a row and says what it was.
ACCELNN_INLINE float lowered(float* row, int64_t states) {
  const float top = largest(row, states);
  if (top == -__builtin_inff()) return top;
  for (int64_t i = 0; i < states; i++) row[i] -= top;
  return top;
}

// to = emit + log_sum(from, its neighbour, the one beyond where `skip` allows); step -1 forwards, 1 backwards.
template <int step> ACCELNN_INLINE void advance(const Room& r, const float* from, float* to, int64_t states) {
  for (int64_t i = 0; i < states; i += lanes) {
    const vf beyond = load(from + i + 2 * step) + load(r.skip + i + (step > 0 ? 2 : 0));
    const vf v = load(r.emit + i) + log_sum(load(from + i), load(from + i + step), beyond);
    store(to + i, select(ramp() < int32_t(states - i), v, never()));
  }
}
ACCELNN_INLINE void emissions(const Sequences& q, const Room& r, int64_t i, int64_t step) {
  const float* p = q.at(step, i);
  for (int64_t k = 0; k < q.states(i); k++) r.emit[k] = p[q.symbol(i, k)];
}
ACCELNN_INLINE void prepare(const Sequences& q, const Room& r, int64_t i) {
  const int64_t states = q.states(i);
  clear(r.emit, states);
  clear(r.skip, states);
  for (int64_t k = 3; k < states; k += 2)
    if (q.symbol(i, k) != q.symbol(i, k - 2)) r.skip[k] = 0;
}

// The loss of sequence i. keep: every step's row stays, for the way back.
template <bool keep> ACCELNN_INLINE float forwards(const Sequences& q, const Room& r, int64_t i) {
  const int64_t steps = q.input_lengths[i], states = q.states(i);
  if (steps == 0) return states == 1 ? 0.0f : __builtin_inff();
  prepare(q, r, i);
  const auto row = [&](int64_t t) { return r.alpha + (keep ? t : t & 1) * r.pitch; };
  clear(row(0), states);
  emissions(q, r, i, 0);
  row(0)[0] = r.emit[0];
  if (states > 1) row(0)[1] = r.emit[1];
  double taken = double(lowered(row(0), states));
  for (int64_t t = 1; t < steps; t++) {
    if (keep || t == 1) clear(row(t), states);
    emissions(q, r, i, t);
    advance<-1>(r, row(t - 1), row(t), states);
    taken += double(lowered(row(t), states));
  }
  const float *last = row(steps - 1) + states - 1, before = states > 1 ? last[-1] : -__builtin_inff();
  return float(-(taken + double(log_sum(splat(last[0]), splat(before), never())[0])));
}

inline Status ctc_loss(const Call& call) {
  const Sequences q = sequences_of(call, call.integer(ctc_loss_attr::blank));
  ACCELNN_TRY(check_sequences("ctc_loss", q));
  const int64_t parts = parts_of(q.n);
  parallel(call, parts, q.n * q.t * (2 * q.s + 1) * 40, [&](int64_t part) {
    const Room r = room_of(call.work, part, q, false);
    for (int64_t i = q.n * part / parts; i < q.n * (part + 1) / parts; i++) call.out[0].as<float>()[i] = forwards<false>(q, r, i);
  });
  return {};
}

// -d times the probability of each state at a step, added to its symbol; v: alpha + beta without one of the two emissions, up to a constant.
ACCELNN_INLINE void add_posterior(const Sequences& q, const Room& r, int64_t i, const float* alpha, const float* beta, float d, float* dx) {
  const int64_t states = q.states(i);
  float* p = r.emit;                            // read for the last time
  for (int64_t k = 0; k < states; k += lanes) {
    const vf e = load(p + k), a = load(alpha + k), v = (a - e) + load(beta + k);
    store(p + k, select((ramp() < int32_t(states - k)) & ~(a == -__builtin_inff()), v, never()));
  }
  const float top = largest(p, states);
  vf sum = {};
  for (int64_t k = 0; k < states; k += lanes) {
    const vf v = exp_below(load(p + k) - top);
    store(p + k, v);
    sum += v;
  }
  const float scale = -d / sum_of(sum);
  for (int64_t k = 0; k < states; k++) dx[q.symbol(i, k)] += p[k] * scale;
}

inline Status ctc_loss_grad(const Call& call) {
  const Sequences q = sequences_of(call, call.integer(ctc_loss_grad_attr::blank));
  ACCELNN_TRY(check_sequences("ctc_loss_grad", q));
  float* dx = call.out[0].as<float>();
  const int64_t parts = parts_of(q.n);
  parallel(call, parts, q.n * q.t * (2 * q.s + 1) * 90, [&](int64_t part) {
    const Room r = room_of(call.work, part, q, true);
    for (int64_t i = q.n * part / parts; i < q.n * (part + 1) / parts; i++) {
      const int64_t steps = q.input_lengths[i], states = q.states(i);
      const float d = call.in[4].as<float>()[i];
      for (int64_t t = 0; t < q.t; t++) std::memset(dx + (t * q.n + i) * q.c, 0, size_t(q.c) * sizeof(float));
      if (d == 0 || steps == 0) continue;
      const float loss = forwards<true>(q, r, i);
      if (loss == __builtin_inff()) {
        for (int64_t t = 0; t < steps; t++)
          for (int64_t k = 0; k < states; k++) dx[(t * q.n + i) * q.c + q.symbol(i, k)] = __builtin_nanf("");
        continue;
      }
      float *now = r.back, *later = r.back + r.pitch;
      clear(now, states);
      clear(later, states);
      for (int64_t t = steps - 1; t >= 0; t--) {
        emissions(q, r, i, t);
        if (t == steps - 1) {
          now[states - 1] = r.emit[states - 1];
          if (states > 1) now[states - 2] = r.emit[states - 2];
        } else advance<1>(r, later, now, states);
        lowered(now, states);
        add_posterior(q, r, i, r.alpha + t * r.pitch, now, d, dx + (t * q.n + i) * q.c);
        float* other = now;
        now = later;
        later = other;
      }
    }
  });
  return {};
}

}  // namespace ctc
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
