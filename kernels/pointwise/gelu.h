// GELU and its slope, for the interpreter and for the epilogues of products.
#pragma once
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace pointwise_function {

// Highest power first. Even and odd powers by themselves: four vectors in one chain each wait for every multiply-add.
template <int n> ACCELNN_INLINE vf polynomial(const float (&c)[n], vf u) {
  const vf u2 = u * u;
  vf p = splat(c[0]), q = splat(c[1]);
#pragma GCC unroll 32
  for (int i = 2; i < n; i += 2) {
    p = accelnn::fma(p, u2, splat(c[i]));
    if (i + 1 < n) q = accelnn::fma(q, u2, splat(c[i + 1]));
  }
  return n % 2 ? accelnn::fma(q, u, p) : accelnn::fma(p, u, q);
}
// low <= x <= high by two instructions; NaN stays.
ACCELNN_INLINE vf clamp_of(vf x, vf low, vf high) { return smaller(high, larger(low, x)); }
// 1/2 + x P(x^2) for |x| <= edge, P a minimax polynomial in u = 2 (x / edge)^2 - 1, so that no coefficient is large. One polynomial for both
// gelu and its slope: erf alone has two branches and an exp, and the slope another exp (65536 floats: gelu 49 -> 28 us, its gradient 78 -> 34).
template <int n> ACCELNN_INLINE vf step_of(vf x, float edge, const float (&c)[n]) {
  const vf inside = clamp_of(x, splat(-edge), splat(edge));
  const vf u = accelnn::fma(inside * inside, splat(2.0f / (edge * edge)), splat(-1.0f));
  return accelnn::fma(inside, polynomial(c, u), splat(0.5f));
}
ACCELNN_INLINE vf gelu_of(vf x) {
  static constexpr float c[] = {0.000239949688f, -0.00065658387f, 0.000664733641f, -0.00103953457f, 0.00289235939f, -0.00544851972f,
                                0.00841787178f, -0.0127752507f, 0.0185386483f, -0.0250419322f, 0.0320314392f, -0.0397634134f,
                                0.0496457852f, -0.067126818f, 0.13465935f};
  return select(x < -5.25f, splat(0.0f), x * step_of(x, 5.25f, c));              // -inf too
}
ACCELNN_INLINE vf gelu_slope_of(vf x) {
  static constexpr float c[] = {-0.00244535692f, 0.00621705875f, -0.00283232867f, 0.00106214837f, -0.0162201915f, 0.0316930786f,
                                -0.0349285305f, 0.0431630053f, -0.0593591966f, 0.0693850592f, -0.0705782399f, 0.0667545944f,
                                -0.059524443f, 0.0517064855f, -0.0472942367f, 0.0493672229f, -0.0622814074f, 0.123071827f};
  return select(x < -5.75f, splat(0.0f), step_of(x, 5.75f, c));
}

}  // namespace pointwise_function
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
