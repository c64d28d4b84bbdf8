// The ops of the family over rows.h, runs.h and columns.h.
#pragma once
#include "norm/batch_norm.h"
#include "norm/batch_norm_grad.h"
#include "norm/batch_norm_infer.h"
#include "norm/columns.h"
#include "norm/group_norm.h"
#include "norm/group_norm_grad.h"
#include "norm/layer_norm.h"
#include "norm/layer_norm_grad.h"
#include "norm/rows.h"
#include "norm/runs.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace norm {

ACCELNN_INLINE const float* floats(const TensorView& v) { return v.absent() ? nullptr : v.as<float>(); }

inline Status layer_norm(const Call& call) {
  Rows r = rows_of(call.in[0], call.integer(layer_norm_attr::dims));
  r.weight = floats(call.in[1]);
  r.bias = floats(call.in[2]);
  r.centered = call.integer(layer_norm_attr::rms) == 0;
  r.eps = call.real(layer_norm_attr::eps);
  return normalize_rows(call, r, call.in[0].as<float>(), call.out[0].as<float>(), call.out[1].as<float>(), r.centered ? call.out[2].as<float>() : nullptr);
}

ACCELNN_INLINE void grad_rows(const Call& call, int64_t params, const Rows& r, const RowGrads& t, float* dx, float* partial, int64_t parts) {
  if (params == 0) grad_rows<0>(call, r, t, dx, partial, parts);
  else if (params == 1) grad_rows<1>(call, r, t, dx, partial, parts);
  else grad_rows<2>(call, r, t, dx, partial, parts);
}
inline Status layer_norm_grad(const Call& call) {
  Rows r = rows_of(call.in[1], call.integer(layer_norm_grad_attr::dims));
  r.weight = floats(call.in[4]);
  r.centered = call.integer(layer_norm_grad_attr::rms) == 0;
  float* partial = static_cast<float*>(call.work);
  const int64_t params = call.integer(layer_norm_grad_attr::params), parts = layer_norm_grad_parts(r.count);
  const RowGrads t = {call.in[0].as<float>(), call.in[1].as<float>(), call.in[2].as<float>(), floats(call.in[3])};
  grad_rows(call, params, r, t, call.out[0].as<float>(), partial, parts);
  for (int64_t k = 0; k < params; k++) add_parts(call, partial + k * r.n, parts, params * r.n, call.out[1 + k].as<float>(), r.n);
  return {};
}

// A number for every place of a channel, from one a channel.
ACCELNN_INLINE const float* spread(const float* from, const Channels& d, float* to) {
  if (!from || d.s == 1) return from;
  for (int64_t c = 0; c < d.c; c++)
    for (int64_t j = 0; j < d.s; j++) to[c * d.s + j] = from[c];
  return to;
}

inline Status group_norm(const Call& call) {
  const Channels d = channels_of(call.in[0]);
  const int64_t groups = call.integer(group_norm_attr::groups);
  const float *x = call.in[0].as<float>(), *weight = floats(call.in[1]), *bias = floats(call.in[2]);
  float *y = call.out[0].as<float>(), *rstd = call.out[1].as<float>(), *mean = call.out[2].as<float>(), *room = static_cast<float*>(call.work);
  const double eps = call.real(group_norm_attr::eps);
  if (d.runs()) return normalize_groups(call, {d, groups, weight, bias, eps}, x, y, rstd, mean);
  const Rows rows = {d.n * groups, d.width() / groups, groups, spread(weight, d, room), spread(bias, d, room + d.width()), true, eps};
  return normalize_rows(call, rows, x, y, rstd, mean);
}

inline Status group_norm_grad(const Call& call) {
  const Channels d = channels_of(call.in[1]);
  const int64_t groups = call.integer(group_norm_grad_attr::groups), params = call.integer(group_norm_grad_attr::params);
  const RowGrads t = {call.in[0].as<float>(), call.in[1].as<float>(), call.in[2].as<float>(), call.in[3].as<float>()};
  const float* weight = floats(call.in[4]);
  float* dx = call.out[0].as<float>();
  float* out[2] = {params > 0 ? call.out[1].as<float>() : nullptr, params > 1 ? call.out[2].as<float>() : nullptr};
  if (d.runs()) {
    grad_groups(call, {d, groups, weight, nullptr, 0}, t.dy, t.x, t.rstd, t.mean, dx, out[0], out[1], static_cast<GradSums*>(call.work));
    return {};
  }
  float *room = static_cast<float*>(call.work), *sums = room + d.width(), *partial = sums + d.width();
  const int64_t parts = layer_norm_grad_parts(d.n);
  grad_rows(call, params, {d.n * groups, d.width() / groups, groups, spread(weight, d, room), nullptr, true, 0}, t, dx, partial, parts);
  for (int64_t k = 0; k < params; k++) {
    add_parts(call, partial + k * d.width(), parts, params * d.width(), sums, d.width());
    for (int64_t c = 0; c < d.c; c++) {
      float sum = 0;
      for (int64_t j = 0; j < d.s; j++) sum += sums[c * d.s + j];
      out[k][c] = sum;
    }
  }
  return {};
}

// batch_norm

struct Statistics {
  float *rstd, *mean, *var;
  double eps;
  ACCELNN_INLINE void take(int64_t c, const Moments& m) const {
    rstd[c] = m.rstd(eps);
    mean[c] = float(m.mean);
    var[c] = float(m.m2 / (m.count - 1));
  }
};

// [3][C S]: mean, scale, shift of every column
ACCELNN_INLINE void scale_columns(const Channels& d, const float* x, float* y, const float* room, int64_t n0, int64_t n1) {
  const int64_t width = d.width();
  with_reach(y, 2 * d.n * width, [&](auto past) INLINED {
    using P = decltype(past);
    for (int64_t n = n0; n < n1; n++)
      write_row<P::past>(y + n * width, width, [&](int64_t i, int k) INLINED {
        if constexpr (P::ahead) call_for(x + n * width + i + 4096);
        return fma(zeroed(x + n * width + i, k) - zeroed(room + i, k), zeroed(room + width + i, k), zeroed(room + 2 * width + i, k));
      });
    if (P::past) finish_past();
  });
}
template <bool calls, bool passes> struct Reach { static constexpr bool ahead = calls, past = passes; };
template <bool fetch>
ACCELNN_INLINE void scale_runs(const Channels& d, const float* x, float* y, int64_t n0, int64_t n1, int64_t c0, int64_t c1, const float* mean,
                               const float* scale, const float* shift, int64_t ahead) {
  with_reach(y, 2 * d.n * d.width(), [&](auto past) INLINED {
    using P = decltype(past);
    for (int64_t n = n0; n < n1; n++)
      for (int64_t c = c0; c < c1; c++) {
        const int64_t at = (n * d.c + c) * d.s;
        using F = Reach<P::ahead && fetch, P::past>;
        scale_run<F>(x + at, y + at, d.s, mean[c], scale[c], shift ? shift[c] : 0.0f, ahead);
      }
    if (P::past) finish_past();
  });
}

inline Status batch_norm(const Call& call) {
  const Channels d = channels_of(call.in[0]);
  const float *x = call.in[0].as<float>(), *weight = floats(call.in[1]), *bias = floats(call.in[2]);
  float* y = call.out[0].as<float>();
  const Statistics to = {call.out[1].as<float>(), call.out[2].as<float>(), call.out[3].as<float>(), call.real(batch_norm_attr::eps)};
  const int64_t count = d.n * d.width();
  if (d.runs()) {
    Moments* sums = static_cast<Moments*>(call.work);
    float* scale = reinterpret_cast<float*>(sums + d.run_parts() * d.c);
    if (relays_channels(d, y, 2)) {
      // Deviations from the mean of the piece before: how far means of pieces lie apart is part of what is measured, so no digit is lost to it.
      relay_channels(
          call, d, count * each::batch,
          [&](int64_t c, int64_t from, int64_t next, int64_t places, auto reads, auto writes) INLINED {
            constexpr bool R = decltype(reads)::value, W = decltype(writes)::value;
            const int64_t before = W ? from - d.s : from;
            const bool first = from == c * d.s;
            const float pivot = !R ? 0 : first ? float(moments_of_chunk<true>(x + from, places).mean)
                                               : to.mean[c];
            const float m = W ? to.mean[c - 1] : 0.0f, by = W ? scale[c - 1] : 0.0f, shift = W && bias ? bias[c - 1] : 0.0f;
            vf away[4] = {}, squares[4] = {};
            sweep_channels<R, W>(
                y + before, places, [&](int64_t i, int k) INLINED { return fma(zeroed(x + before + i, k) - m, splat(by), splat(shift)); },
                [&](int64_t i, int u, int k) INLINED {
                  call_for(x + next + i), call_near(x + from + i + relay_near);
                  const vf t = zeroed(x + from + i, k) - pivot;
                  away[u] += t;
                  squares[u] = fma(t, t, squares[u]);
                });
            if (!R) return;
            const double n = double(places), off = double(total(away)) / n;
            const Moments here = {n, double(pivot) + off, double(total(squares)) - off * off * n};
            to.mean[c] = float(here.mean);      // until all of the channel is read
            if (first) sums[c] = here;
            else sums[c].add(here);
          },
          [&](int64_t c) {
            to.take(c, sums[c]);
            scale[c] = weight ? to.rstd[c] * weight[c] : to.rstd[c];
          });
      return {};
    }
    by_channel(
        call, d, count * each::batch, [&](int64_t p, int64_t n0, int64_t n1, int64_t c0, int64_t c1) { sum_runs(d, x, sums, p, n0, n1, c0, c1); },
        [&](int64_t c0, int64_t c1) {
          for (int64_t c = c0; c < c1; c++) {
            Moments m = sums[c];
            for (int64_t p = 1; p < d.run_parts(); p++) m.add(sums[p * d.c + c]);
            to.take(c, m);
            scale[c] = weight ? to.rstd[c] * weight[c] : to.rstd[c];
          }
        },
        [&](int64_t n0, int64_t n1, int64_t c0, int64_t c1) { scale_runs<true>(d, x, y, n0, n1, c0, c1, to.mean, scale, bias, ahead_of_block(d, 3)); });
    return {};
  }
  const int64_t parts = d.column_parts(), width = d.width();
  double *mean = static_cast<double*>(call.work), *m2 = mean + parts * width;
  float* room = reinterpret_cast<float*>(m2 + parts * width);
  by_column(
      call, d, count * each::batch,
      [&](int64_t p, int64_t n0, int64_t n1, int64_t i0, int64_t i1) { column_moments(x, width, n0, n1, i0, i1, mean + p * width, m2 + p * width); },
      [&] {
        for (int64_t c = 0; c < d.c; c++) {
          Moments m = {0, 0, 0};
          for (int64_t p = 0; p < parts; p++)
            for (int64_t i = p * width + c * d.s; i < p * width + (c + 1) * d.s; i++) {
              const Moments one = {double(d.n * (p + 1) / parts - d.n * p / parts), mean[i], m2[i]};
              if (m.count > 0) m.add(one);
              else m = one;
            }
          to.take(c, m);
          for (int64_t i = c * d.s; i < (c + 1) * d.s; i++) {
            room[i] = to.mean[c];
            room[width + i] = weight ? to.rstd[c] * weight[c] : to.rstd[c];
            room[2 * width + i] = bias ? bias[c] : 0.0f;
          }
        }
      },
      [&](int64_t n0, int64_t n1) { scale_columns(d, x, y, room, n0, n1); });
  return {};
}

inline Status batch_norm_infer(const Call& call) {
  const Channels d = channels_of(call.in[0]);
  const float *x = call.in[0].as<float>(), *mean = call.in[1].as<float>(), *var = call.in[2].as<float>();
  const float *weight = floats(call.in[3]), *bias = floats(call.in[4]);
  float *y = call.out[0].as<float>(), *room = static_cast<float*>(call.work);
  const double eps = call.real(batch_norm_infer_attr::eps);
  const auto scale_of = [&](int64_t c) { return float((weight ? double(weight[c]) : 1.0) / __builtin_sqrt(double(var[c]) + eps)); };
  const int64_t count = d.n * d.width();
  if (d.runs()) {
    for (int64_t c = 0; c < d.c; c++) room[c] = scale_of(c);
    const int64_t items = d.n * d.c, per = d.s >= 8192 ? 1 : (8192 + d.s - 1) / d.s, parts = (items + per - 1) / per;
    parallel(call, parts, count * each::batch_infer, [&](int64_t part) {
      for (int64_t i = part * per, end = i + per < items ? i + per : items; i < end;) {
        const int64_t n = i / d.c, c = i % d.c, to = end - i < d.c - c ? c + end - i : d.c;
        scale_runs<false>(d, x, y, n, n + 1, c, to, mean, room, bias, 0);
        i += to - c;
      }
    });
    return {};
  }
  for (int64_t c = 0; c < d.c; c++)
    for (int64_t i = c * d.s; i < (c + 1) * d.s; i++) {
      room[i] = mean[c];
      room[d.width() + i] = scale_of(c);
      room[2 * d.width() + i] = bias ? bias[c] : 0.0f;
    }
  const int64_t bands = d.n < 64 ? d.n : 64;
  parallel(call, bands, count * each::batch_infer, [&](int64_t i) { scale_columns(d, x, y, room, d.n * i / bands, d.n * (i + 1) / bands); });
  return {};
}

inline Status batch_norm_grad(const Call& call) {
  const Channels d = channels_of(call.in[1]);
  const float *dy = call.in[0].as<float>(), *x = call.in[1].as<float>(), *rstd = call.in[2].as<float>(), *mean = call.in[3].as<float>();
  const float* weight = floats(call.in[4]);
  float *dx = call.out[0].as<float>(), *dweight = call.out[1].as<float>(), *dbias = call.out[2].as<float>();
  const int64_t count = d.n * d.width(), width = d.width();
  const float share = float(1.0 / double(d.n * d.s));
  if (d.runs()) {
    GradSums* sums = static_cast<GradSums*>(call.work);
    const int64_t step = runs_together(d.s), ahead = ahead_of_block(d, 5);
    if (relays_channels(d, dx, 3)) {
      relay_channels(
          call, d, count * each::batch_grad,
          [&](int64_t c, int64_t from, int64_t next, int64_t places, auto reads, auto writes) INLINED {
            constexpr bool R = decltype(reads)::value, W = decltype(writes)::value;
            const int64_t before = W ? from - d.s : from, b = W ? c - 1 : c;
            const float mh = R ? mean[c] : 0.0f, sh = R ? rstd[c] : 0.0f, mb = mean[b], sb = rstd[b], scale = weight ? sb * weight[b] : sb;
            const float k1 = W ? dbias[b] * share : 0.0f, k2 = W ? dweight[b] * share : 0.0f;
            vf g_sum[4] = {}, gz_sum[4] = {};
            sweep_channels<R, W>(
                dx + before, places,
                [&](int64_t i, int k) INLINED {
                  return ((zeroed(dy + before + i, k) - k1) - ((zeroed(x + before + i, k) - mb) * sb) * k2) * scale;
                },
                [&](int64_t i, int u, int k) INLINED {
                  call_for(dy + next + i), call_for(x + next + i), call_near(dy + from + i + relay_near), call_near(x + from + i + relay_near);
                  if constexpr (W) call_for(dy + next - d.s + i), call_for(x + next - d.s + i);
                  const vf g = zeroed(dy + from + i, k);
                  g_sum[u] += g;
                  gz_sum[u] = fma(g, (zeroed(x + from + i, k) - mh) * sh, gz_sum[u]);
                });
            if (!R) return;
            if (from == c * d.s) sums[c] = {0, 0};
            sums[c].dy += double(total(g_sum));
            sums[c].dyz += double(total(gz_sum));
          },
          [&](int64_t c) { dweight[c] = float(sums[c].dyz), dbias[c] = float(sums[c].dy); });
      return {};
    }
    by_channel(
        call, d, count * each::batch_grad,
        [&](int64_t p, int64_t n0, int64_t n1, int64_t c0, int64_t c1) {
          for (int64_t c = c0; c < c1; c++) sums[p * d.c + c] = {0, 0};
          for (int64_t n = n0; n < n1; n += step)
            for (int64_t c = c0; c < c1; c++) {
              const int64_t at = (n * d.c + c) * d.s;
              add_grad_sums(dy + at, x + at, n1 - n < step ? n1 - n : step, width, d.s, mean[c], rstd[c], &sums[p * d.c + c]);
            }
        },
        [&](int64_t c0, int64_t c1) {
          for (int64_t c = c0; c < c1; c++) {
            GradSums all = sums[c];
            for (int64_t p = 1; p < d.run_parts(); p++) all.dy += sums[p * d.c + c].dy, all.dyz += sums[p * d.c + c].dyz;
            dweight[c] = float(all.dyz);
            dbias[c] = float(all.dy);
          }
        },
        [&](int64_t n0, int64_t n1, int64_t c0, int64_t c1) {
          with_reach(dx, 3 * count, [&](auto past) INLINED {
            using P = decltype(past);
            for (int64_t n = n0; n < n1; n++)
              for (int64_t c = c0; c < c1; c++) {
                const int64_t at = (n * d.c + c) * d.s;
                const float scale = weight ? rstd[c] * weight[c] : rstd[c];
                grad_run<P>(dy + at, x + at, dx + at, d.s, mean[c], rstd[c], dbias[c] * share, dweight[c] * share, scale, ahead);
              }
            if (P::past) finish_past();
          });
        });
    return {};
  }
  const int64_t parts = d.column_parts();
  double *dy_sum = static_cast<double*>(call.work), *dyz_sum = dy_sum + parts * width;
  float* room = reinterpret_cast<float*>(dyz_sum + parts * width);
  float *means = room, *rstds = means + width, *c1 = rstds + width, *c2 = c1 + width, *scales = c2 + width;
  for (int64_t c = 0; c < d.c; c++)
    for (int64_t i = c * d.s; i < (c + 1) * d.s; i++) means[i] = mean[c], rstds[i] = rstd[c];
  by_column(
      call, d, count * each::batch_grad,
      [&](int64_t p, int64_t n0, int64_t n1, int64_t i0, int64_t i1) {
        column_grad_sums(dy, x, width, n0, n1, i0, i1, means, rstds, dy_sum + p * width, dyz_sum + p * width);
      },
      [&] {
        for (int64_t c = 0; c < d.c; c++) {
          double a = 0, b = 0;
          for (int64_t p = 0; p < parts; p++)
            for (int64_t i = p * width + c * d.s; i < p * width + (c + 1) * d.s; i++) a += dyz_sum[i], b += dy_sum[i];
          dweight[c] = float(a);
          dbias[c] = float(b);
          for (int64_t i = c * d.s; i < (c + 1) * d.s; i++)
            c1[i] = dbias[c] * share, c2[i] = dweight[c] * share, scales[i] = weight ? rstd[c] * weight[c] : rstd[c];
        }
      },
      [&](int64_t n0, int64_t n1) {
        with_reach(dx, 3 * count, [&](auto past) INLINED {
          using P = decltype(past);
          for (int64_t n = n0; n < n1; n++) {
            const float *pdy = dy + n * width, *px = x + n * width;
            write_row<P::past>(dx + n * width, width, [&](int64_t i, int k) INLINED {
              if constexpr (P::ahead) call_for(pdy + i + 4096), call_for(px + i + 4096);
              const vf z = (zeroed(px + i, k) - zeroed(means + i, k)) * zeroed(rstds + i, k);
              return ((zeroed(pdy + i, k) - zeroed(c1 + i, k)) - z * zeroed(c2 + i, k)) * zeroed(scales + i, k);
            });
          }
          if (P::past) finish_past();
        });
      });
  return {};
}

}  // namespace norm
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
