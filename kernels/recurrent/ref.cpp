#include <cmath>
#include "copy/convert.h"
#include "recurrent/recurrent.h"

namespace accelnn {

// Slow truth: plain loops, sums in double, one step of one sequence at a time.
namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double cut(double x, double clip) { return clip > 0 && x > clip ? clip : clip > 0 && x < -clip ? -clip
                                                                                               : x; }

double function(const CellFunction& f, double x) {
  const double alpha = double(f.alpha), beta = double(f.beta);
  switch (f.code) {
    case cell_function::sigmoid: return logistic(x);
    case cell_function::tanh: return std::tanh(x);
    case cell_function::relu: return x < 0 ? 0 : x;
    case cell_function::affine: return alpha * x + beta;
    case cell_function::leaky_relu: return x < 0 ? alpha * x : x;
    case cell_function::thresholded_relu: return x < alpha ? 0 : x;
    case cell_function::scaled_tanh: return alpha * std::tanh(beta * x);
    case cell_function::hard_sigmoid: return alpha * x + beta < 0 ? 0 : alpha * x + beta > 1 ? 1
                                                                                             : alpha * x + beta;
    case cell_function::elu: return x < 0 ? alpha * std::expm1(x) : x;
    case cell_function::softsign: return x / (1 + std::fabs(x));
    default: return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
  }
}

struct Weights {
  const Call& call;
  int from;                         // of the direction's w_ih
  int64_t units;
  int gates;
  // Element [g H + u, k] of w_ih (which = 0) or w_hh (1), packed or not.
  double at(int which, int64_t row, int64_t k) const {
    const TensorView& w = call.in[from + which];
    if (w.rank == 2) return double(w.as<float>()[row * w.shape[1] + k]);
    const int64_t g = row / units, u = row % units, q = u / unit_block, j = u % unit_block;
    if (w.dtype == DType::f32) return double(w.as<float>()[((q * w.shape[1] + k) * gates + g) * unit_block + j]);
    const uint32_t bits = uint32_t(w.as<uint16_t>()[((q * w.shape[1] + k / 2) * gates + g) * 2 * unit_block + 2 * j + k % 2]) << 16;
    return double(float_of(bits));
  }
  // That of int8 panels, v rounded as they are.
  double of_bytes(int64_t row, const float* v, int64_t n) const {
    const TensorView& w = call.in[from + 1];
    const int64_t quads = w.shape[1] - 2, line = gates * 64, u = row % units;
    const int8_t* const p = w.as<int8_t>() + u / unit_block * w.shape[1] * line + row / units * 64 + u % unit_block * 4;
    float scale, most = 0;
    std::memcpy(&scale, p + quads * line, 4);
    for (int64_t k = 0; k < n; k++) most = std::fabs(v[k]) > most || v[k] != v[k] ? std::fabs(v[k]) : most;
    if (!(most <= 3.0e38f)) return double(NAN);
    if (most <= 1e-30f) return double(scale * 0.0f);
    const float factor = 127.0f / most;
    int64_t sum = 0;
    for (int64_t k = 0; k < n; k++) sum += int64_t(std::nearbyint(v[k] * factor)) * p[k / 4 * line + k % 4];
    return double(sum) * double(most / 127.0f) * double(scale);
  }
  double bias(int which, int64_t row) const {
    const TensorView& b = call.in[from + which];
    return b.absent() ? 0 : double(b.as<float>()[row]);
  }
  double product(int which, int64_t row, const float* v, int64_t n) const {
    double sum = bias(which + 2, row);
    if (call.in[from + which].dtype == DType::i8) return sum + of_bytes(row, v, n);
    for (int64_t k = 0; k < n; k++) sum += double(v[k]) * at(which, row, k);
    return sum;
  }
};

// One sequence in one direction. `h`, `c`: its states, in the outputs' own memory.
void sequence(const Call& call, const RecurrentProblem& p, int64_t d, int64_t b, float* h, float* c) {
  namespace in = recurrent_in;
  const Weights w = {call, d ? in::second : in::w_ih, p.hidden, p.gates};
  const TensorView &lengths = call.in[in::lengths], &gates = call.out[2 + (p.cell == cell::lstm)], &before = call.out[3 + (p.cell == cell::lstm)];
  const int64_t n = lengths.absent() ? p.steps : lengths.as<int64_t>()[b], H = p.hidden, P = p.outputs;
  const double clip = call.real(recurrent_attr::clip);
  const SpecialFunctions special = special_functions(call, p, d);
  const TensorView& peephole = call.in[in::peephole + d];
  const auto first = [&](double v) { return function(special.f[0], v); };
  const float* const x = call.in[in::x].as<float>();
  for (int64_t step = 0; step < n; step++) {
    const int64_t t = p.backwards(d) ? n - 1 - step : step, row = p.batch_first ? b * p.steps + t : t * p.batch + b, at = (d * p.steps + t) * p.batch + b;
    const float* const xt = x + row * p.inputs;
    float* const y = call.out[0].as<float>() + (row * p.directions + d) * P;
    float* const save = gates.absent() ? nullptr : gates.as<float>() + at * p.saved * H;
    if (!before.absent())
      for (int64_t i = 0; i < P; i++) before.as<float>()[at * P + i] = h[i];
    const auto peep = [&](int which, int64_t u, double state) { return peephole.absent() ? 0 : double(peephole.as<float>()[which * H + u]) * state; };
    const auto sum = [&](int g, int64_t u, double more = 0) {
      return cut(w.product(0, g * H + u, xt, p.inputs) + w.product(1, g * H + u, h, P) + more, clip);
    };
    const auto keep = [&](int g, int64_t u, double v) {
      if (save) save[g * H + u] = float(v);
    };
    const auto reset = [&](int64_t i) { return first(sum(0, i)) * double(h[i]); };
    const auto unit = [&](int64_t u) -> double {
      if (p.cell == cell::lstm) {
        const double before_c = double(c[u]), i = first(sum(0, u, peep(0, u, before_c)));
        const double f = special.coupled ? 1 - i : first(sum(1, u, peep(2, u, before_c))), g = function(special.f[1], sum(2, u));
        c[u] = float(f * before_c + i * g);
        const double o = first(sum(3, u, peep(1, u, double(c[u])))), all[] = {i, f, g, o, before_c}, v = o * function(special.f[2], double(c[u]));
        for (int k = 0; k < 5; k++) keep(k, u, all[k]);
        if (p.projected) keep(5, u, v);
        return v;
      }
      if (p.cell == cell::gru) {
        double inner = w.product(1, 2 * H + u, h, P);
        const double r = first(sum(0, u)), z = first(sum(1, u));
        if (p.late) {
          inner = w.bias(3, 2 * H + u);
          for (int64_t k = 0; k < P; k++) inner += reset(k) * w.at(1, 2 * H + u, k);
        }
        const double m = function(special.f[1], cut(w.product(0, 2 * H + u, xt, p.inputs) + (p.late ? inner : r * inner), clip)), all[] = {r, z, m, inner};
        for (int k = 0; k < 4; k++) keep(k, u, all[k]);
        return (1 - z) * m + z * double(h[u]);
      }
      const double v = first(sum(0, u));
      keep(0, u, v);
      return v;
    };
    // Old states are read until all units of the step are done: the new ones wait in y, or (projected) in two passes over the units.
    if (!p.projected) {
      for (int64_t u = 0; u < H; u++) y[u] = float(unit(u));
    } else {
      for (int64_t i = 0; i < P; i++) y[i] = 0;
      const float* const r = call.in[d ? in::second + in::w_hr - in::w_ih : in::w_hr].as<float>();
      for (int64_t u = 0; u < H; u++) {
        const double v = unit(u);
        for (int64_t i = 0; i < P; i++) y[i] = float(double(y[i]) + v * double(r[i * H + u]));
      }
    }
    for (int64_t i = 0; i < P; i++) h[i] = y[i];
  }
}

template <class F> void beyond(const RecurrentProblem& p, const TensorView& lengths, const F& clear) {
  for (int64_t d = 0; d < p.directions; d++)
    for (int64_t b = 0; b < p.batch; b++)
      for (int64_t t = lengths.absent() ? p.steps : lengths.as<int64_t>()[b]; t < p.steps; t++) clear(d, t, b);
}
void zero(const TensorView& v, int64_t row, int64_t n) {
  for (int64_t i = 0; !v.absent() && i < n; i++) v.as<float>()[row * n + i] = 0;
}
Status check_lengths(const TensorView& lengths, int64_t steps) {
  for (int64_t b = 0; !lengths.absent() && b < lengths.shape[0]; b++)
    ACCELNN_CHECK(lengths.as<int64_t>()[b] >= 0 && lengths.as<int64_t>()[b] <= steps, bound, "recurrent: lengths[%lld] is not in 0..%lld",
                  static_cast<long long>(b), static_cast<long long>(steps));
  return {};
}

}  // namespace

Status recurrent_f32_ref(const Call& call) {
  namespace in = recurrent_in;
  const RecurrentProblem p = recurrent_problem(call);
  ACCELNN_TRY(check_lengths(call.in[in::lengths], p.steps));
  const int at = 2 + (p.cell == cell::lstm);
  beyond(p, call.in[in::lengths], [&](int64_t d, int64_t t, int64_t b) {
    zero(call.out[0], ((p.batch_first ? b * p.steps + t : t * p.batch + b) * p.directions + d), p.outputs);
    zero(call.out[at], (d * p.steps + t) * p.batch + b, p.saved * p.hidden);
    zero(call.out[at + 1], (d * p.steps + t) * p.batch + b, p.outputs);
  });
  for (int64_t d = 0; d < p.directions; d++)
    for (int64_t b = 0; b < p.batch; b++) {
      const int64_t row = d * p.batch + b;
      float* const h = call.out[1].as<float>() + row * p.outputs;
      float* const c = p.cell == cell::lstm ? call.out[2].as<float>() + row * p.hidden : nullptr;
      for (int64_t i = 0; i < p.outputs; i++) h[i] = call.in[in::h0].absent() ? 0.0f : call.in[in::h0].as<float>()[row * p.outputs + i];
      for (int64_t i = 0; c && i < p.hidden; i++) c[i] = call.in[in::c0].absent() ? 0.0f : call.in[in::c0].as<float>()[row * p.hidden + i];
      sequence(call, p, d, b, h, c);
    }
  return {};
}

Status recurrent_grad_f32_ref(const Call& call) {
  namespace in = recurrent_grad_in;
  const RecurrentProblem p = recurrent_grad_problem(call);
  ACCELNN_TRY(check_lengths(call.in[in::lengths], p.steps));
  const int64_t H = p.hidden, P = p.outputs, G = p.gates;
  beyond(p, call.in[in::lengths], [&](int64_t d, int64_t t, int64_t b) {
    const int64_t row = (d * p.steps + t) * p.batch + b;
    zero(call.out[0], row, G * H);
    if (p.cell == cell::gru) zero(call.out[2], row, G * H);
    if (p.projected) zero(call.out[3], row, P);
  });
  for (int64_t d = 0; d < p.directions; d++)
    for (int64_t b = 0; b < p.batch; b++) {
      const int64_t n = call.in[in::lengths].absent() ? p.steps : call.in[in::lengths].as<int64_t>()[b], own = d * p.batch + b;
      float* const dh = call.out[1].as<float>() + own * P;               // carried from step to step in the outputs' own memory
      float* const dc = p.cell == cell::lstm ? call.out[2].as<float>() + own * H : nullptr;
      for (int64_t i = 0; i < P; i++) dh[i] = call.in[in::dh].absent() ? 0.0f : call.in[in::dh].as<float>()[own * P + i];
      for (int64_t i = 0; dc && i < H; i++) dc[i] = call.in[in::dc].absent() ? 0.0f : call.in[in::dc].as<float>()[own * H + i];
      const float* const w = call.in[d ? in::second : in::w_hh].as<float>();
      const float* const w_hr = p.projected ? call.in[in::w_hr + (d ? in::second - in::w_hh : 0)].as<float>() : nullptr;
      for (int64_t step = n - 1; step >= 0; step--) {
        const int64_t t = p.backwards(d) ? n - 1 - step : step, row = (d * p.steps + t) * p.batch + b;
        const int64_t out = (p.batch_first ? b * p.steps + t : t * p.batch + b) * p.directions + d;
        const float* const s = call.in[in::gates].as<float>() + row * p.saved * H;
        float* const di = call.out[0].as<float>() + row * G * H;
        float* const dj = p.cell == cell::gru ? call.out[2].as<float>() + row * G * H : di;
        for (int64_t i = 0; !call.in[in::dy].absent() && i < P; i++) dh[i] += call.in[in::dy].as<float>()[out * P + i];
        for (int64_t i = 0; p.projected && i < P; i++) call.out[3].as<float>()[row * P + i] = dh[i];
        for (int64_t u = 0; u < H; u++) {
          double g = p.projected ? 0 : double(dh[u]);
          for (int64_t i = 0; p.projected && i < P; i++) g += double(dh[i]) * double(w_hr[i * H + u]);
          if (p.cell == cell::lstm) {
            const double gi = double(s[u]), gf = double(s[H + u]), gg = double(s[2 * H + u]), go = double(s[3 * H + u]), cb = double(s[4 * H + u]);
            const double tc = std::tanh(gf * cb + gi * gg), k = double(dc[u]) + g * go * (1 - tc * tc);
            di[u] = float(k * gg * gi * (1 - gi));
            di[H + u] = float(k * cb * gf * (1 - gf));
            di[2 * H + u] = float(k * gi * (1 - gg * gg));
            di[3 * H + u] = float(g * tc * go * (1 - go));
            dc[u] = float(k * gf);
          } else if (p.cell == cell::gru) {
            const double r = double(s[u]), z = double(s[H + u]), m = double(s[2 * H + u]), inner = double(s[3 * H + u]);
            const double hb = double(call.in[in::before].as<float>()[row * P + u]), dn = g * (1 - z) * (1 - m * m);
            di[u] = dj[u] = float(dn * inner * r * (1 - r));
            di[H + u] = dj[H + u] = float(g * (hb - m) * z * (1 - z));
            di[2 * H + u] = float(dn);
            dj[2 * H + u] = float(dn * r);
          } else {
            const double v = double(s[u]);
            di[u] = float(p.cell == cell::rnn_tanh ? g * (1 - v * v) : v > 0 ? g
                                                                             : 0);
          }
        }
        for (int64_t i = 0; i < P; i++) {
          double sum = p.cell == cell::gru ? double(dh[i]) * double(s[H + i]) : 0;
          for (int64_t k = 0; k < G * H; k++) sum += double(dj[k]) * double(w[k * P + i]);
          dh[i] = float(sum);
        }
      }
    }
  return {};
}

Status recurrent_pack_f32_ref(const Call& call) {
  const TensorView &w = call.in[0], &to = call.out[0];
  const int64_t gates = call.integer(recurrent_pack_attr::gates), units = w.shape[0] / gates, rows = w.shape[1];
  const int64_t deep = to.dtype == DType::bf16 ? 2 : 1, quads = to.shape[1] - 2;
  for (int64_t i = 0; to.dtype == DType::i8 && i < to.shape[0] * gates * unit_block; i++) {
    const int64_t q = i / gates / unit_block, g = i / unit_block % gates, u = i % unit_block, unit = q * unit_block + u;
    const auto weight = [&](int64_t k) { return unit < units && k < rows ? w.as<float>()[(g * units + unit) * rows + k] : 0.0f; };
    float most = 0;
    for (int64_t k = 0; k < rows; k++) most = std::fmax(most, std::fabs(weight(k)));
    const float scale = most / 127.0f;
    int32_t sum = 0;
    const auto at = [&](int64_t k) { return to.as<int8_t>() + (q * to.shape[1] + k) * gates * 64 + g * 64 + 4 * u; };
    for (int64_t k = 0; k < 4 * quads; k++) {
      const float v = most > 0 ? std::nearbyint(weight(k) / scale) : 0.0f;
      at(k / 4)[k % 4] = int8_t(v);
      sum += int32_t(v);
    }
    std::memcpy(at(quads), &scale, 4);
    std::memcpy(at(quads + 1), &sum, 4);
  }
  if (to.dtype == DType::i8) return {};
  for (int64_t q = 0; q < to.shape[0]; q++)
    for (int64_t k = 0; k < to.shape[1] * deep; k++)
      for (int64_t g = 0; g < gates; g++)
        for (int64_t j = 0; j < unit_block; j++) {
          const int64_t u = q * unit_block + j, at = ((q * to.shape[1] + k / deep) * gates + g) * unit_block * deep + j * deep + k % deep;
          const float v = k < rows && u < units ? w.as<float>()[(g * units + u) * rows + k] : 0.0f;
          if (deep == 1) to.as<float>()[at] = v;
          else to.as<uint16_t>()[at] = narrow_bfloat(v).bits;
        }
  return {};
}

}  // namespace accelnn
