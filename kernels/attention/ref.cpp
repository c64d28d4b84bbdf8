// The slow truth: the formulas of the contract, score by score, in double.
#include "attention/attention.h"
#include "attention/attention_decode.h"
#include "attention/attention_paged.h"
#include "attention/cache_append.h"
#include "attention/rotary.h"
#include "philox.h"

namespace accelnn {

namespace {

double element(const TensorView& v, int64_t a, int64_t b, int64_t c, int64_t d) {
  return double(v.as<float>()[a * v.stride[0] + b * v.stride[1] + c * v.stride[2] + d * v.stride[3]]);
}

struct Score {
  double s;        // -inf: hidden
  double keep;
};
// The keys [first, first + n) that query i of item b sees, but for the mask.
struct Seen {
  int64_t first, n;
};
Seen seen_by(const AttentionProblem& p, int64_t b, int64_t i) {
  if (!p.q_starts) return {0, p.end_of(i, p.keys_of(b), p.queries)};
  for (int64_t n = 0; n < p.sequences; n++) {
    const Sequence s = p.sequence(n);
    if (i >= s.first_query && i < s.first_query + s.queries) return {s.first_key, p.end_of(i - s.first_query, s.keys, s.queries)};
  }
  return {0, 0};
}

Score score(const AttentionProblem& p, int64_t b, int64_t h, int64_t i, int64_t j, int64_t first) {
  const int64_t g = h / p.repeat, at[4] = {b, h, i, j};
  Score r = {0, 1};
  for (int64_t e = 0; e < p.depth; e++) r.s += element(p.q, b, h, i, e) * element(p.k, b, g, j, e);
  r.s *= double(p.scale);
  if (!p.mask.absent()) {
    int64_t offset = 0;
    for (int d = 0; d < 4; d++) offset += p.mask.shape[d] == 1 ? 0 : at[d] * p.mask.stride[d];
    if (p.mask.dtype == DType::f32) r.s += double(p.mask.as<float>()[offset]);
    else if (!p.mask.as<uint8_t>()[offset]) r.s = -__builtin_inf();
  }
  if (p.state) {
    const int64_t row = (b * p.heads + h) * p.queries + i;
    const uint64_t block = uint64_t(row) * uint64_t((p.keys + 3) / 4) + uint64_t(j - first) / 4;
    r.keep = uniform01(philox(p.state[0], p.state[1], block).v[(j - first) % 4]) >= p.drop ? 1 / (1 - double(p.drop)) : 0;
  }
  return r;
}

template <class F> void each_query(const AttentionProblem& p, F f) {
  for (int64_t b = 0; b < p.batch; b++)
    for (int64_t h = 0; h < p.heads; h++)
      for (int64_t i = 0; i < p.queries; i++) f(b, h, i, (b * p.heads + h) * p.queries + i);
}

}  // namespace

// All scores of a query go to the workspace: computed again for every number of the output they would take minutes under an emulator.
Status attention_f32_ref(const Call& call);
Status attention_f32_ref(const Call& call) {
  const AttentionProblem p = attention_problem(call, false);
  float* const y = call.out[0].as<float>();
  double* const e = static_cast<double*>(call.work);
  ACCELNN_TRY(check_starts(p));
  each_query(p, [&](int64_t b, int64_t h, int64_t i, int64_t row) {
    const Seen seen = seen_by(p, b, i);
    const int64_t end = seen.first + seen.n;
    double *const keep = e + p.keys, most = -__builtin_inf(), sum = 0;
    for (int64_t j = seen.first; j < end; j++) {
      const Score s = score(p, b, h, i, j, seen.first);
      e[j] = s.s;
      keep[j] = s.keep;
      most = s.s > most || s.s != s.s ? s.s : most;
    }
    if (most == -__builtin_inf()) most = 0;
    for (int64_t j = seen.first; j < end; j++) sum += e[j] = __builtin_exp(e[j] - most);
    for (int64_t c = 0; c < p.width; c++) {
      double total = 0;
      for (int64_t j = seen.first; j < end; j++) total += keep[j] * e[j] * element(p.v, b, h / p.repeat, j, c);
      y[row * p.width + c] = sum == 0 ? 0.0f : float(total / sum);
    }
    if (!call.out[1].absent()) call.out[1].as<float>()[row] = sum == 0 ? -__builtin_inff() : float(most + __builtin_log(sum));
  });
  return {};
}

Status attention_grad_f32_ref(const Call& call);
Status attention_grad_f32_ref(const Call& call) {
  const AttentionProblem p = attention_problem(call, true);
  const TensorView &dy = call.in[0], &y = call.in[4];
  ACCELNN_TRY(check_starts(p));
  const auto of_row = [](const TensorView& x, int64_t b, int64_t h, int64_t i) {
    return x.absent() ? 0.0 : double(x.as<float>()[b * x.stride[0] + h * x.stride[1] + i * x.stride[2]]);
  };
  double *const dk = static_cast<double*>(call.work), *const dv = dk + p.keys * p.depth;
  for (int64_t item = 0; item < p.batch * p.groups; item++) {
    const int64_t b = item / p.groups, g = item % p.groups;
    for (int64_t n = 0; n < p.keys * (p.depth + p.width); n++) dk[n] = 0;
    for (int64_t h = g * p.repeat; h < (g + 1) * p.repeat; h++)
      for (int64_t i = 0; i < p.queries; i++) {
        const double lse = of_row(call.in[5], b, h, i);
        double dq[attention_widest] = {}, delta = -of_row(call.in[9], b, h, i);
        for (int64_t c = 0; c < p.width; c++) delta += element(dy, b, h, i, c) * element(y, b, h, i, c);
        const Seen seen = lse == -__builtin_inf() ? Seen{0, 0} : seen_by(p, b, i);
        for (int64_t j = seen.first; j < seen.first + seen.n; j++) {
          const Score s = score(p, b, h, i, j, seen.first);
          const double w = __builtin_exp(s.s - lse);
          double product = 0;
          for (int64_t c = 0; c < p.width; c++) {
            product += s.keep * element(dy, b, h, i, c) * element(p.v, b, g, j, c);
            dv[j * p.width + c] += w * s.keep * element(dy, b, h, i, c);
          }
          const double ds = w * (product - delta) * double(p.scale);
          for (int64_t c = 0; c < p.depth; c++) {
            dq[c] += ds * element(p.k, b, g, j, c);
            dk[j * p.depth + c] += ds * element(p.q, b, h, i, c);
          }
        }
        float* const to = call.out[0].as<float>() + ((b * p.heads + h) * p.queries + i) * p.depth;
        for (int64_t c = 0; c < p.depth; c++) to[c] = float(dq[c]);
      }
    for (int64_t n = 0; n < p.keys * p.depth; n++) call.out[1].as<float>()[item * p.keys * p.depth + n] = float(dk[n]);
    for (int64_t n = 0; n < p.keys * p.width; n++) call.out[2].as<float>()[item * p.keys * p.width + n] = float(dv[n]);
  }
  for (int64_t n = 0; p.batch * p.groups == 0 && n < p.q.count(); n++) call.out[0].as<float>()[n] = 0;
  return {};
}

static double cached(const TensorView& v, const TensorView& scale, int64_t b, int64_t g, int64_t j, int64_t e) {
  const int64_t at = b * v.stride[0] + g * v.stride[1] + j * v.stride[2] + e * v.stride[3];
  const int64_t where[3] = {b, g, j};
  double factor = 1;
  if (!scale.absent()) {
    int64_t offset = 0;
    for (int d = 0; d < 3; d++) offset += scale.shape[d] == 1 ? 0 : where[d] * scale.stride[d];
    factor = double(scale.as<float>()[offset]);
  }
  if (v.dtype == DType::f32) return factor * double(v.as<float>()[at]);
  if (v.dtype == DType::i8) return factor * double(v.as<int8_t>()[at]);
  const uint32_t bits = uint32_t(v.as<uint16_t>()[at]) << 16;
  float f;
  __builtin_memcpy(&f, &bits, 4);
  return factor * double(f);
}

Status attention_decode_f32_ref(const Call& call);
Status attention_decode_f32_ref(const Call& call) {
  const DecodeProblem d = decode_problem(call, true);
  const AttentionProblem& p = d.p;
  double* const w = static_cast<double*>(call.work);
  each_query(p, [&](int64_t b, int64_t h, int64_t i, int64_t row) {
    const int64_t end = p.end_of(i, p.keys_of(b), p.queries), g = h / p.repeat;
    double most = -__builtin_inf(), sum = 0;
    for (int64_t j = 0; j < end; j++) {
      double s = 0;
      for (int64_t e = 0; e < p.depth; e++) s += element(p.q, b, h, i, e) * cached(p.k, d.k_scale, b, g, j, e);
      w[j] = s * double(p.scale);
      most = w[j] > most || w[j] != w[j] ? w[j] : most;
    }
    for (int64_t j = 0; j < end; j++) sum += w[j] = __builtin_exp(w[j] - most);
    for (int64_t c = 0; c < p.width; c++) {
      double total = 0;
      for (int64_t j = 0; j < end; j++) total += w[j] * cached(p.v, d.v_scale, b, g, j, c);
      call.out[0].as<float>()[row * p.width + c] = end ? float(total / sum) : 0.0f;
    }
  });
  return {};
}

Status attention_paged_f32_ref(const Call& call);
Status attention_paged_f32_ref(const Call& call) {
  const PagedProblem w = paged_problem(call);
  const AttentionProblem& p = w.d.p;
  ACCELNN_TRY(check_pages(w));
  double* const e = static_cast<double*>(call.work);
  each_query(p, [&](int64_t b, int64_t h, int64_t i, int64_t row) {
    const int64_t end = p.end_of(i, p.keys_of(b), p.queries), g = h / p.repeat;
    const auto page = [&](int64_t j) { return w.pages[b * w.each + j / w.size]; };
    double most = -__builtin_inf(), sum = 0;
    for (int64_t j = 0; j < end; j++) {
      double s = 0;
      for (int64_t c = 0; c < p.depth; c++) s += element(p.q, b, h, i, c) * cached(p.k, w.d.k_scale, page(j), g, j % w.size, c);
      e[j] = s * double(p.scale);
      most = e[j] > most || e[j] != e[j] ? e[j] : most;
    }
    for (int64_t j = 0; j < end; j++) sum += e[j] = __builtin_exp(e[j] - most);
    for (int64_t c = 0; c < p.width; c++) {
      double total = 0;
      for (int64_t j = 0; j < end; j++) total += e[j] * cached(p.v, w.d.v_scale, page(j), g, j % w.size, c);
      call.out[0].as<float>()[row * p.width + c] = end ? float(total / sum) : 0.0f;
    }
  });
  return {};
}

// Every element by itself, from the nearest candidate in double.
Status cache_append_f32_ref(const Call& call);
Status cache_append_f32_ref(const Call& call) {
  ACCELNN_TRY(check_append_positions(call));
  const TensorView &x = call.in[0], &cache = call.in[1];
  const int64_t groups = cache.shape[1], rows = cache.shape[2], width = cache.shape[3];
  for (int64_t row = 0; row < cache.shape[0] * groups * rows; row++) {
    const int64_t b = row / rows / groups, g = row / rows % groups, j = row % rows, l = j - call.in[2].as<int64_t>()[b * call.in[2].stride[0]];
    const bool inside = l >= 0 && l < x.shape[2];
    double most = 1e-30;
    for (int64_t e = 0; e < width && inside; e++) {
      const double a = __builtin_fabs(element(x, b, g, l, e));
      most = a != a || a > most ? a : most;
      if (most != most) break;
    }
    const float own = float(most) / 127.0f, scale = most <= 3.5e38 ? own : __builtin_nanf("");
    if (cache.dtype == DType::i8) {
      const TensorView& old = call.in[3];
      call.out[1].as<float>()[row] = inside ? scale : old.as<float>()[b * old.stride[0] + g * old.stride[1] + j * old.stride[2]];
    }
    for (int64_t e = 0; e < width; e++) {
      const int64_t at = row * width + e, old = b * cache.stride[0] + g * cache.stride[1] + j * cache.stride[2] + e * cache.stride[3];
      const float value = inside ? float(element(x, b, g, l, e)) : 0.0f;
      if (cache.dtype == DType::i8) {
        const double q = double(value / scale), down = __builtin_floor(q), part = q - down;
        const int64_t up = part > 0.5 || (part == 0.5 && int64_t(down) % 2);
        call.out[0].as<int8_t>()[at] = !inside ? cache.as<int8_t>()[old] : scale == scale ? int8_t(int64_t(down) + up)
                                                                                          : int8_t(0);
      } else if (cache.dtype == DType::bf16) {
        uint32_t bits;
        __builtin_memcpy(&bits, &value, 4);
        const uint16_t rounded = uint16_t(value != value ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
        call.out[0].as<uint16_t>()[at] = inside ? rounded : cache.as<uint16_t>()[old];
      } else {
        call.out[0].as<float>()[at] = inside ? value : cache.as<float>()[old];
      }
    }
  }
  return {};
}

Status rotary_f32_ref(const Call& call);
Status rotary_f32_ref(const Call& call) {
  const RotaryProblem p = rotary_problem(call);
  ACCELNN_TRY(check_positions(p));
  const TensorView &x = call.in[0], &cos = call.in[1], &sin = call.in[2];
  for (int64_t row = 0; row < p.batch * p.heads * p.length; row++) {
    const int64_t i = row % p.length, h = row / p.length % p.heads, b = row / p.length / p.heads, place = p.place(b, i);
    float* const y = call.out[0].as<float>() + row * p.depth;
    for (int64_t e = 0; e < p.depth; e++) y[e] = float(element(x, b, h, i, e));
    for (int64_t r = 0; r < p.pairs; r++) {
      const int64_t one = p.interleaved ? 2 * r : r, two = p.interleaved ? 2 * r + 1 : r + p.pairs;
      const double u = element(x, b, h, i, one), v = element(x, b, h, i, two);
      const double c = double(cos.as<float>()[b * p.cos_item + place * cos.stride[1] + r * cos.stride[2]]);
      const double s = (p.inverse ? -1 : 1) * double(sin.as<float>()[b * p.sin_item + place * sin.stride[1] + r * sin.stride[2]]);
      y[one] = float(c * u - s * v);
      y[two] = float(c * v + s * u);
    }
  }
  return {};
}

}  // namespace accelnn
