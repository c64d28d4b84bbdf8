// Classes that lie together are swept as rows, classes with places between them as columns, four vectors of places side by side.
#pragma once
#include "cross_entropy/places.h"
#include "strips.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace entropy {

using namespace strips;
using namespace ::accelnn::places;

struct Loss {
  Places p;
  const int64_t* labels;
  const float* weight;
  int64_t ignored;
  double smoothing;
  bool log_input;
  double weights;                       // sum w
  ACCELNN_INLINE float weight_of(int64_t label) const { return weight ? weight[label] : 1.0f; }
};
ACCELNN_INLINE Loss loss_of(const Call& call, const TensorView& weight) {
  using namespace cross_entropy_attr;   // the gradient has the same attributes at the same places
  Loss l = {places_of(call.in[0]), call.in[1].as<int64_t>(), weight.absent() ? nullptr : weight.as<float>(), call.integer(ignore_index),
            call.real(label_smoothing), call.integer(log_input) != 0, double(call.in[0].shape[1])};
  if (l.weight && l.smoothing != 0) {
    l.weights = 0;
    for (int64_t c = 0; c < l.p.c; c++) l.weights += double(l.weight[c]);
  }
  return l;
}

ACCELNN_INLINE vf lowest() { return splat(-__builtin_inff()); }
// -inf behind the end: no maximum, and its exponential is 0.
ACCELNN_INLINE vf lanes_of(const float* p, int n) { return n == lanes ? load(p) : select(ramp() < n, load(p, n), lowest()); }

// A NaN may be passed over by the maximum: its own exponential is NaN and brings it into the sum.
ACCELNN_INLINE float max_of_row(const float* x, int64_t c) {
  vf m[4] = {lowest(), lowest(), lowest(), lowest()};
  by_fours(c, [&](int64_t i, int u, int k) INLINED { m[u] = larger(lanes_of(x + i, k), m[u]); });
  return max_across(larger(larger(m[0], m[1]), larger(m[2], m[3])))[0];
}
struct Sums { float exps, weighted; };  // sum exp(x - m), sum w (x - m)
template <bool smooth> ACCELNN_INLINE Sums sums_of_row(const Loss& l, const float* x, float m, const float* next) {
  vf s[4] = {}, q[4] = {};
  by_fours(l.p.c, [&](int64_t i, int u, int k) INLINED {
    const vf t = lanes_of(x + i, k) - m;
    call_for(next + i);
    s[u] += l.log_input ? vf{} : exp_below(t);
    if constexpr (smooth) q[u] += only(l.weight ? t * zeroed(l.weight + i, k) : t, k);
  });
  return {l.log_input ? 1.0f : total(s), smooth ? total(q) : 0.0f};
}

struct Result { double loss, weight; };
template <class F> ACCELNN_INLINE Status reduced(const Call& call, int64_t parts, int64_t worth, const F& part_of) {
  const int64_t reduction = call.integer(cross_entropy_attr::reduction);
  Result* sums = static_cast<Result*>(call.work);
  parallel(call, parts, worth, [&](int64_t part) { sums[part] = part_of(part); });
  Result all = {0, 0};
  for (int64_t i = 0; i < parts; i++) all.loss += sums[i].loss, all.weight += sums[i].weight;
  *call.out[1].as<float>() = reduction == reduction_mean ? float(all.weight) : 1.0f;
  if (reduction != reduction_none) *call.out[0].as<float>() = float(reduction == reduction_mean ? all.loss / all.weight : all.loss);
  return {};
}

template <bool smooth> ACCELNN_INLINE Status loss_of_rows(const Call& call, const Loss& l) {
  const bool none = call.integer(cross_entropy_attr::reduction) == reduction_none;
  const int64_t n = l.p.n, c = l.p.c, parts = n < most_parts ? n : most_parts;
  const float flat = float(l.smoothing / double(c)), sharp = float(1 - l.smoothing), all = float(l.weights);
  return reduced(call, parts, n * c * 10, [&](int64_t part) {
    Result r = {0, 0};
    for (int64_t i = n * part / parts; i < n * (part + 1) / parts; i++) {
      const float* x = call.in[0].as<float>() + i * c;
      const float m = l.log_input ? 0.0f : max_of_row(x, c);
      const Sums s = l.log_input && !smooth ? Sums{1, 0} : sums_of_row<smooth>(l, x, m, x + c);
      const int64_t label = l.labels[i];
      const bool here = label != l.ignored;
      float loss = 0;
      if (here) {
        const float w = l.weight_of(label), log_sum = l.log_input ? 0.0f : log(splat(s.exps))[0];
        loss = sharp * w * (log_sum - (x[label] - m));
        if (smooth) loss += flat * (all * log_sum - s.weighted);
        r.weight += double(w);
      }
      r.loss += double(loss);
      if (none) call.out[0].as<float>()[i] = loss;
      if (!l.log_input) call.out[2].as<float>()[i] = m, call.out[3].as<float>()[i] = s.exps;
    }
    return r;
  });
}

// One block of neighbouring places: their logits are `stride` apart from class to class.
struct Block {
  int64_t at, width;
  const float* x;
  const int64_t* labels;
};
ACCELNN_INLINE Block block_of(const Loss& l, const float* logits, int64_t blocks, int64_t i) {
  const int64_t n = i / blocks, s = i % blocks * across, left = l.p.s - s;
  return {n * l.p.s + s, left < across ? left : across, logits + n * l.p.c * l.p.s + s, l.labels + n * l.p.s + s};
}

template <bool smooth> ACCELNN_INLINE Status loss_of_columns(const Call& call, const Loss& l) {
  const bool none = call.integer(cross_entropy_attr::reduction) == reduction_none;
  const int64_t c = l.p.c, stride = l.p.s, blocks = (stride + across - 1) / across, items = l.p.n * blocks, parts = items < most_parts ? items : most_parts;
  const float flat = float(l.smoothing / double(c)), sharp = float(1 - l.smoothing), all = float(l.weights);
  return reduced(call, parts, l.p.count() * c * 10, [&](int64_t part) {
    Result r = {0, 0};
    for (int64_t item = items * part / parts; item < items * (part + 1) / parts; item++) {
      const Block b = block_of(l, call.in[0].as<float>(), blocks, item);
      vf m[4] = {lowest(), lowest(), lowest(), lowest()}, s[4] = {}, q[4] = {};
      if (l.log_input) m[0] = m[1] = m[2] = m[3] = vf{};
      for (int64_t j = 0; j < c && !l.log_input; j++)
        four_vectors(b.width, [&](int64_t i, int u, int k) INLINED { m[u] = larger(zeroed(b.x + j * stride + i, k), m[u]); });
      for (int64_t j = 0; j < c && (smooth || !l.log_input); j++) {
        const float w = l.weight_of(j);
        four_vectors(b.width, [&](int64_t i, int u, int k) INLINED {
          const vf t = zeroed(b.x + j * stride + i, k) - m[u];
          if (!l.log_input) s[u] += exp_below(t);
          if constexpr (smooth) q[u] += t * w;
        });
      }
      float max[across], sum[across], log_sum[across], weighted[across];
      for (int u = 0; u < 4; u++) {
        store(max + u * lanes, m[u]), store(sum + u * lanes, s[u]), store(weighted + u * lanes, q[u]);
        store(log_sum + u * lanes, l.log_input ? vf{} : log(s[u]));
      }
      for (int64_t i = 0; i < b.width; i++) {
        const int64_t label = b.labels[i];
        float loss = 0;
        if (label != l.ignored) {
          const float w = l.weight_of(label);
          loss = sharp * w * (log_sum[i] - (b.x[label * stride + i] - max[i]));
          if (smooth) loss += flat * (all * log_sum[i] - weighted[i]);
          r.weight += double(w);
        }
        r.loss += double(loss);
        if (none) call.out[0].as<float>()[b.at + i] = loss;
        if (!l.log_input) call.out[2].as<float>()[b.at + i] = max[i], call.out[3].as<float>()[b.at + i] = sum[i];
      }
    }
    return r;
  });
}

inline Status cross_entropy(const Call& call) {
  const Loss l = loss_of(call, call.in[2]);
  ACCELNN_TRY(check_labels("cross_entropy", l.labels, l.p, l.ignored));
  if (l.p.s == 1) return l.smoothing != 0 ? loss_of_rows<true>(call, l) : loss_of_rows<false>(call, l);
  return l.smoothing != 0 ? loss_of_columns<true>(call, l) : loss_of_columns<false>(call, l);
}

// What the gradient of a place multiplies: p, 1 at the label, w[c].
struct Factors { float p, hot, flat; };
ACCELNN_INLINE Factors factors_of(const Loss& l, int64_t label, float d, float sum) {
  if (label == l.ignored) return {0, 0, 0};
  const float hot = float((1 - l.smoothing) * double(l.weight_of(label))), flat = float(l.smoothing / double(l.p.c));
  return {l.log_input ? 0.0f : d * ((hot + flat * float(l.weights)) / sum), d * hot, d * flat};
}

template <bool smooth, class P> ACCELNN_INLINE void grad_of_row(const Loss& l, const float* x, float* dx, float m, int64_t label, const Factors& f) {
  write_row<P::past>(dx, l.p.c, [&](int64_t i, int k) INLINED {
    if constexpr (P::ahead) call_for(x + i + 2048);
    vf v = l.log_input ? vf{} : exp_below(zeroed(x + i, k) - m) * f.p;
    if constexpr (smooth) v = v - (l.weight ? zeroed(l.weight + i, k) * f.flat : splat(f.flat));
    return select(ramp() == int32_t(label - i), v - f.hot, v);
  });
}

inline Status cross_entropy_grad(const Call& call) {
  const Loss l = loss_of(call, call.in[6]);
  ACCELNN_TRY(check_labels("cross_entropy_grad", l.labels, l.p, l.ignored));
  const int64_t reduction = call.integer(cross_entropy_grad_attr::reduction), c = l.p.c, stride = l.p.s;
  const float *x = call.in[0].as<float>(), *dloss = call.in[2].as<float>();
  const float *max = l.log_input ? nullptr : call.in[4].as<float>(), *sum = l.log_input ? nullptr : call.in[5].as<float>();
  float* dx = call.out[0].as<float>();
  const float share = reduction == reduction_mean ? *dloss / *call.in[3].as<float>() : 0.0f;
  const auto d_of = [&](int64_t at) { return reduction == reduction_none ? dloss[at] : reduction == reduction_mean ? share
                                                                                                                   : *dloss; };
  if (stride == 1) {
    const int64_t n = l.p.n, parts = n < most_parts ? n : most_parts;
    with_flag(l.smoothing != 0, [&](auto smooth) INLINED {
      with_reach(dx, 2 * l.p.count() * c, [&](auto past) INLINED {
        using S = decltype(smooth);
        using P = decltype(past);
        parallel(call, parts, n * c * 8, [&](int64_t part) {
          for (int64_t i = n * part / parts; i < n * (part + 1) / parts; i++) {
            if (l.labels[i] == l.ignored) {
              std::memset(dx + i * c, 0, size_t(c) * sizeof(float));
              continue;
            }
            const Factors f = factors_of(l, l.labels[i], d_of(i), l.log_input ? 1.0f : sum[i]);
            grad_of_row<S::value, P>(l, x + i * c, dx + i * c, l.log_input ? 0.0f : max[i], l.labels[i], f);
          }
          if (P::past) finish_past();
        });
      });
    });
    return {};
  }
  const int64_t blocks = (stride + across - 1) / across, items = l.p.n * blocks, parts = items < most_parts ? items : most_parts;
  parallel(call, parts, l.p.count() * c * 8, [&](int64_t part) {
    for (int64_t item = items * part / parts; item < items * (part + 1) / parts; item++) {
      const Block b = block_of(l, x, blocks, item);
      float p[across] = {}, hot[across] = {}, flat[across] = {}, top[across] = {};
      int32_t label[across] = {};
      for (int64_t i = 0; i < b.width; i++) {
        const Factors f = factors_of(l, b.labels[i], d_of(b.at + i), l.log_input ? 1.0f : sum[b.at + i]);
        p[i] = f.p, hot[i] = f.hot, flat[i] = f.flat;
        label[i] = b.labels[i] == l.ignored ? -1 : int32_t(b.labels[i]);
        top[i] = l.log_input || label[i] < 0 ? 0.0f : max[b.at + i];
      }
      for (int64_t j = 0; j < c; j++) {
        const float w = l.weight_of(j);
        const float* from = b.x + j * stride;
        float* to = dx + (from - x);
        four_vectors(b.width, [&](int64_t i, int, int k) INLINED {
          const vi here = load_bits(label + i);
          vf v = l.log_input ? vf{} : exp_below(zeroed(from + i, k) - load(top + i)) * load(p + i);
          v = v - load(flat + i) * w;
          v = select(here == int32_t(j), v - load(hot + i), v);
          v = select(here < 0, vf{}, v);          // whatever the logits of an ignored place are
          if (k == lanes) store(to + i, v);
          else store(to + i, v, k);
        });
      }
    }
  });
  return {};
}

}  // namespace entropy
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
