// decode.h over a cache in pages: a page is a part of its own, merged into the part of which it is one while both are in L1.
#pragma once
#include "attention/attention_paged.h"
#include "attention/decode.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

// What a page's keys gave one query, added to those before it. Rows as DecodePart::sums has them.
inline void merge_page(int64_t width, const float* page, float* sums) {
  if (page[width] == minus_infinity && page[width + 1] == 0.0f) return;        // it hides all its keys
  const float top = page[width] > sums[width] ? page[width] : sums[width], shift = top == minus_infinity ? 0.0f : top;
  const vf old = exp2(splat(sums[width] - shift)), more = exp2(splat(page[width] - shift));
  for (int64_t c = 0; c < width; c += lanes) {
    const int n = int(width - c < lanes ? width - c : lanes);
    store(sums + c, fma(load(page + c, n), more, load(sums + c, n) * old), n);
  }
  sums[width] = top;
  sums[width + 1] = sums[width + 1] * old[0] + page[width + 1] * more[0];
}

inline Status paged(const Call& call) {
  const PagedProblem w = paged_problem(call);
  const DecodeProblem& d = w.d;
  const AttentionProblem& p = d.p;
  ACCELNN_TRY(check_pages(w));
  if (p.items() == 0 || d.rows == 0) return {};
  const auto cache = [](const TensorView& t) { return Cache{static_cast<const char*>(t.data), t.dtype, t.stride[0], t.stride[1], t.stride[2]}; };
  const Cache k = cache(p.k), v = cache(p.v);
  const Mask mask(p.mask);
  float* const sums = static_cast<float*>(call.work);
  const int64_t size = p.width + 2, step = d.rows * size, moved = p.batch * p.keys * p.groups * (p.depth + p.width) * int64_t(size_of(p.k.dtype));
  parallel(call, p.items() * d.parts, moved + 2 * p.flops() / 8, [&](int64_t part) {
    const int64_t item = part / d.parts, b = item / p.groups, first = part % d.parts * d.part, keys = p.keys_of(b);
    const int64_t end = keys < first + d.part ? keys : first + d.part;
    float *const all = sums + part * 2 * step, *const page = all + step;
    for (int64_t i = 0; i < step && first >= end; i++) all[i] = i % size == p.width ? minus_infinity : 0.0f;
    for (int64_t k0 = first; k0 < end; k0 += w.size) {
      const int64_t n = end - k0 < w.size ? end - k0 : w.size;
      const DecodePart one = {d, mask, b, item % p.groups, k0, n, k0 == first ? all : page, w.pages[b * w.each + k0 / w.size], 0};
      one.run(k, v);
      for (int64_t r = 0; r < d.rows && k0 > first; r++) merge_page(p.width, page + r * size, all + r * size);
    }
  });
  float* const y = call.out[0].as<float>();
  parallel(call, p.items(), d.parts * step * p.items(), [&](int64_t item) {
    for (int64_t r = 0; r < d.rows; r++)
      join_parts(d, sums + item * d.parts * 2 * step + r * size, 2 * step, y + (item * d.rows + r) * p.width, nullptr);
  });
  return {};
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
