// Rotary embedding: a row of x meets a row of cosines and one of sines. Rows split over threads.
#pragma once
#include "attention/rotary.h"
#include "lanes.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

ACCELNN_INLINE void turn(vf a, vf b, vf c, vf s, vf* y1, vf* y2) {
  *y1 = fma(a, c, -(b * s));
  *y2 = fma(b, c, a * s);
}

// Rows whose numbers are neighbours.
inline void rotate_row(const RotaryProblem& p, const float* x, const float* cos, const float* sin, float* y) {
  const int64_t pairs = p.pairs;
  vf a, b;
  int64_t c = 0;
  if (p.interleaved) {
    for (; c + lanes <= pairs; c += lanes) {
      const vf u = load(x + 2 * c), v = load(x + 2 * c + lanes), s = load(sin + c);
      turn(evens(u, v), odds(u, v), load(cos + c), p.inverse ? -s : s, &a, &b);
      store(y + 2 * c, zip_low(a, b));
      store(y + 2 * c + lanes, zip_high(a, b));
    }
    for (; c < pairs; c++) {
      const float s = p.inverse ? -sin[c] : sin[c], u = x[2 * c], v = x[2 * c + 1];
      y[2 * c] = fma(u, cos[c], -(v * s));
      y[2 * c + 1] = fma(v, cos[c], u * s);
    }
  } else {
    for (; c < pairs; c += lanes) {
      const int n = int(pairs - c < lanes ? pairs - c : lanes);
      const vf s = load(sin + c, n);
      turn(load(x + c, n), load(x + pairs + c, n), load(cos + c, n), p.inverse ? -s : s, &a, &b);
      store(y + c, a, n);
      store(y + pairs + c, b, n);
    }
  }
  for (c = 2 * pairs; c < p.depth; c += lanes) {
    const int n = int(p.depth - c < lanes ? p.depth - c : lanes);
    store(y + c, load(x + c, n), n);
  }
}

inline Status rotary(const Call& call) {
  const RotaryProblem p = rotary_problem(call);
  ACCELNN_TRY(check_positions(p));
  const TensorView &x = call.in[0], &cos = call.in[1], &sin = call.in[2];
  const bool plain = (p.depth <= 1 || x.stride[3] == 1) && (p.pairs <= 1 || (cos.stride[2] == 1 && sin.stride[2] == 1));
  const int64_t heads = p.batch * p.heads, block = 64, blocks = (p.length + block - 1) / block;
  parallel(call, heads * blocks, x.count() * 8, [&](int64_t part) {
    const int64_t head = part / blocks, b = head / p.heads, h = head % p.heads, first = part % blocks * block;
    const int64_t last = first + block < p.length ? first + block : p.length;
    for (int64_t i = first; i < last; i++) {
      const int64_t place = p.place(b, i);
      const float *from = x.as<float>() + b * x.stride[0] + h * x.stride[1] + i * x.stride[2],
                  *c = cos.as<float>() + b * p.cos_item + place * cos.stride[1], *s = sin.as<float>() + b * p.sin_item + place * sin.stride[1];
      float* const y = call.out[0].as<float>() + (head * p.length + i) * p.depth;
      if (plain) {
        rotate_row(p, from, c, s, y);
        continue;
      }
      for (int64_t e = 2 * p.pairs; e < p.depth; e++) y[e] = from[e * x.stride[3]];
      for (int64_t r = 0; r < p.pairs; r++) {
        const int64_t one = p.interleaved ? 2 * r : r, two = p.interleaved ? 2 * r + 1 : r + p.pairs;
        const float u = from[one * x.stride[3]], v = from[two * x.stride[3]], w = c[r * cos.stride[2]], sine = s[r * sin.stride[2]];
        const float z = p.inverse ? -sine : sine;
        y[one] = fma(u, w, -(v * z));
        y[two] = fma(v, w, u * z);
      }
    }
  });
  return {};
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
