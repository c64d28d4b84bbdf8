// Softmax of rows longer than a vector, and of any axis, at full speed. Apart from generic.h, whose body for the last layer's ten classes is in every small
// program.
#pragma once
#include "softmax/rows.h"
#include "softmax/softmax.h"
#include "softmax/softmax_axis.h"
#include "softmax/softmax_axis_grad.h"
#include "strips.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace softmax {

using namespace strips;

ACCELNN_INLINE vf lowest() { return splat(-__builtin_inff()); }
// -inf behind the end: no maximum, and its exponential is 0.
ACCELNN_INLINE vf or_lowest(const float* p, int n) { return n == lanes ? load(p) : select(ramp() < n, load(p, n), lowest()); }
ACCELNN_INLINE void put_lanes(float* p, vf v, int n) {
  if (n == lanes) store(p, v);
  else store(p, v, n);
}

// A NaN may be passed over by the maximum: its own exponential is NaN and brings it into the sum.
ACCELNN_INLINE float top_of(const float* x, int64_t c) {
  vf m[4] = {lowest(), lowest(), lowest(), lowest()};
  by_fours(c, [&](int64_t i, int u, int k) INLINED { m[u] = larger(or_lowest(x + i, k), m[u]); });
  return max_across(larger(larger(m[0], m[1]), larger(m[2], m[3])))[0];
}
// Sum of exp(x - m); the exponentials go to e unless it is null. Meanwhile the next row is called for.
template <bool keep, bool past> ACCELNN_INLINE float exps_of(const float* x, float* e, float m, int64_t c, int64_t ahead) {
  vf s[4] = {};
  by_fours(c, [&](int64_t i, int u, int k) INLINED {
    if constexpr (past) call_for(x + i + ahead);
    const vf v = exp_below(or_lowest(x + i, k) - m);
    if constexpr (keep) put_lanes(e + i, v, k);
    s[u] += v;
  });
  return total(s);
}

ACCELNN_INLINE int64_t row_ahead(int64_t c) { return c > 2048 ? c : 2048; }

template <class F> ACCELNN_INLINE void over_parts(const Call& call, int64_t items, int64_t most, int64_t worth, const F& item) {
  const int64_t parts = items < most ? items : most;
  parallel(call, parts, worth, [&](int64_t part) {
    for (int64_t i = items * part / parts; i < items * (part + 1) / parts; i++) item(part, i);
    finish_past();
  });
}

// Past the caches a part has room for a row of exponentials, which would otherwise lie in the output and be written twice.
inline Status softmax_wide(const Call& call) {
  const Rows r = rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  float *y = call.out[0].as<float>(), *room = static_cast<float*>(call.work);
  with_flag(room && goes_past(y, 2 * r.count * r.c), [&](auto past) INLINED {
    using P = decltype(past);
    over_parts(call, r.count, P::value ? softmax_large_parts : 64, r.count * r.c * 16, [&](int64_t part, int64_t i) {
      const float* from = x + i * r.c;
      float *to = y + i * r.c, *e = P::value ? room + part * r.c : to;
      const float scale = 1.0f / exps_of<true, P::value>(from, e, top_of(from, r.c), r.c, row_ahead(r.c));
      write_row<P::value>(to, r.c, [&](int64_t j, int k) INLINED { return zeroed(e + j, k) * scale; });
    });
  });
  return {};
}

inline Status log_softmax_wide(const Call& call) {
  const Rows r = rows_of(call.in[0]);
  const float* x = call.in[0].as<float>();
  float* y = call.out[0].as<float>();
  with_flag(goes_past(y, 2 * r.count * r.c), [&](auto past) INLINED {
    using P = decltype(past);
    over_parts(call, r.count, 64, r.count * r.c * 16, [&](int64_t, int64_t i) {
      const float* from = x + i * r.c;
      if (r.c <= lanes) {               // one register from load to store
        const vf v = or_lowest(from, int(r.c)), d = v - max_across(v);
        store(y + i * r.c, d - log(sum_across(exp_below(d))), int(r.c));
        return;
      }
      const float m = top_of(from, r.c), lse = log(splat(exps_of<false, P::value>(from, nullptr, m, r.c, row_ahead(r.c))))[0];
      write_row<P::value>(y + i * r.c, r.c, [&](int64_t j, int k) INLINED { return (zeroed(from + j, k) - m) - lse; });
    });
  });
  return {};
}

// dx = (dy - sum dy y) y, or dy - exp(y) sum dy where y is a logarithm
template <bool logarithm> ACCELNN_INLINE Status rows_grad(const Call& call) {
  const Rows r = rows_of(call.in[0]);
  const float *dy = call.in[0].as<float>(), *y = call.in[1].as<float>();
  float* dx = call.out[0].as<float>();
  with_flag(goes_past(dx, 3 * r.count * r.c), [&](auto past) INLINED {
    using P = decltype(past);
    const int64_t ahead = row_ahead(r.c);
    over_parts(call, r.count, 64, r.count * r.c * (logarithm ? 12 : 6), [&](int64_t, int64_t row) {
      const float *g = dy + row * r.c, *v = y + row * r.c;
      vf s[4] = {};
      by_fours(r.c, [&](int64_t i, int u, int k) INLINED {
        if constexpr (logarithm) s[u] += zeroed(g + i, k);
        else s[u] = fma(zeroed(g + i, k), zeroed(v + i, k), s[u]);
      });
      const float sum = total(s);
      write_row<P::value>(dx + row * r.c, r.c, [&](int64_t i, int k) INLINED {
        if constexpr (P::value) call_for(g + i + ahead), call_for(v + i + ahead);
        if constexpr (logarithm) return zeroed(g + i, k) - exp_below(zeroed(v + i, k)) * sum;
        else return (zeroed(g + i, k) - sum) * zeroed(v + i, k);
      });
    });
  });
  return {};
}
inline Status softmax_grad_wide(const Call& call) { return rows_grad<false>(call); }
inline Status log_softmax_grad_wide(const Call& call) { return rows_grad<true>(call); }

// Along an inner axis: [outer, C, inner], four vectors of neighbouring columns at a time.
struct Axis {
  int64_t outer = 1, c, inner = 1;
  ACCELNN_INLINE int64_t blocks() const { return (inner + across - 1) / across; }
};
ACCELNN_INLINE Axis axis_of(const TensorView& x, int64_t axis) {
  Axis a;
  a.c = x.shape[axis];
  for (int64_t i = 0; i < x.rank; i++) (i < axis ? a.outer : a.inner) *= i == axis ? 1 : x.shape[i];
  return a;
}
template <class F> ACCELNN_INLINE void over_columns(const Call& call, const Axis& a, int64_t work, const F& block) {
  over_parts(call, a.outer * a.blocks(), 64, a.outer * a.c * a.inner * work, [&](int64_t, int64_t item) {
    const int64_t begin = item % a.blocks() * across, left = a.inner - begin;
    block(item / a.blocks() * a.c * a.inner + begin, left < across ? left : across);
  });
}

inline Status softmax_axis(const Call& call) {
  const Axis a = axis_of(call.in[0], call.integer(softmax_axis_attr::axis));
  const bool logarithm = call.integer(softmax_axis_attr::log) != 0;
  over_columns(call, a, 16, [&](int64_t at, int64_t width) {
    const float* x = call.in[0].as<float>() + at;
    float* y = call.out[0].as<float>() + at;
    vf m[4] = {lowest(), lowest(), lowest(), lowest()}, s[4] = {};
    for (int64_t j = 0; j < a.c; j++) four_vectors(width, [&](int64_t i, int u, int k) INLINED { m[u] = larger(zeroed(x + j * a.inner + i, k), m[u]); });
    for (int64_t j = 0; j < a.c; j++)
      four_vectors(width, [&](int64_t i, int u, int k) INLINED {
        const vf e = exp_below(zeroed(x + j * a.inner + i, k) - m[u]);
        if (!logarithm) put_lanes(y + j * a.inner + i, e, k);
        s[u] += e;
      });
    for (int u = 0; u < 4; u++) s[u] = logarithm ? log(s[u]) : 1.0f / s[u];
    for (int64_t j = 0; j < a.c; j++)
      four_vectors(width, [&](int64_t i, int u, int k) INLINED {
        const int64_t p = j * a.inner + i;
        put_lanes(y + p, logarithm ? (zeroed(x + p, k) - m[u]) - s[u] : zeroed(y + p, k) * s[u], k);
      });
  });
  return {};
}

inline Status softmax_axis_grad(const Call& call) {
  const Axis a = axis_of(call.in[0], call.integer(softmax_axis_grad_attr::axis));
  const bool logarithm = call.integer(softmax_axis_grad_attr::log) != 0;
  over_columns(call, a, logarithm ? 12 : 6, [&](int64_t at, int64_t width) {
    const float *dy = call.in[0].as<float>() + at, *y = call.in[1].as<float>() + at;
    float* dx = call.out[0].as<float>() + at;
    vf s[4] = {};
    for (int64_t j = 0; j < a.c; j++)
      four_vectors(width, [&](int64_t i, int u, int k) INLINED {
        const int64_t p = j * a.inner + i;
        s[u] = logarithm ? s[u] + zeroed(dy + p, k) : fma(zeroed(dy + p, k), zeroed(y + p, k), s[u]);
      });
    for (int64_t j = 0; j < a.c; j++)
      four_vectors(width, [&](int64_t i, int u, int k) INLINED {
        const int64_t p = j * a.inner + i;
        const vf g = zeroed(dy + p, k), v = zeroed(y + p, k);
        put_lanes(dx + p, logarithm ? g - exp_below(v) * s[u] : (g - s[u]) * v, k);
      });
  });
  return {};
}

}  // namespace softmax
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
