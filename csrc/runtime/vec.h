// One width-generic SIMD vector over GCC/Clang vector extensions. A kernel body is written once over these names and compiled by each <isa>.cpp at
// that file's width; ACCELNN_TARGET (base, x86_avx2, x86_avx512 ...: from the flag table, accelnn/deploy/toolchain.py) also names an inline namespace,
// so that two widths never share a symbol. Nothing here or in a kernel body may come from the C++ library as a function: an out-of-line std::min
// compiled for AVX-512 would be picked by the linker for everyone.
#pragma once
#include <cstring>
#include "dtype.h"
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef ACCELNN_TARGET
#error "compile kernel files with the flags of accelnn/deploy/toolchain.py"
#endif

namespace accelnn {
inline namespace ACCELNN_TARGET {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
constexpr int lanes = vector_bytes / 4;

typedef float vf __attribute__((vector_size(vector_bytes)));
typedef int32_t vi __attribute__((vector_size(vector_bytes)));
typedef uint32_t vu __attribute__((vector_size(vector_bytes)));
typedef float vf_any __attribute__((vector_size(vector_bytes), aligned(4), may_alias));       // the same at any address
typedef int32_t vi_any __attribute__((vector_size(vector_bytes), aligned(1), may_alias));

ACCELNN_INLINE vf load(const float* p) { return *reinterpret_cast<const vf_any*>(p); }
ACCELNN_INLINE void store(float* p, vf v) { *reinterpret_cast<vf_any*>(p) = v; }
ACCELNN_INLINE vi load_bits(const void* p) { return *static_cast<const vi_any*>(p); }
ACCELNN_INLINE void store_bits(void* p, vi v) { *static_cast<vi_any*>(p) = v; }
ACCELNN_INLINE vf as_float(vi v) { return reinterpret_cast<vf>(v); }
ACCELNN_INLINE vi as_bits(vf v) { return reinterpret_cast<vi>(v); }
// `x - zero` is a move for g++ and clang alike; `zero + x` would be a real addition (it changes -0).
ACCELNN_INLINE vf splat(float x) { return x - vf{}; }
ACCELNN_INLINE vi splat(int32_t x) { return x - vi{}; }

// First n lanes, 0 <= n <= lanes; the rest reads as zero and is not written.
ACCELNN_INLINE vf load(const float* p, int n) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p));
#elif defined(__AVX2__)
  alignas(32) static const int32_t ramp[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return reinterpret_cast<vf>(_mm256_maskload_ps(p, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ramp + 8 - n))));
#else
  vf v = {};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}
ACCELNN_INLINE void store(float* p, vf v, int n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), reinterpret_cast<__m512>(v));
#elif defined(__AVX2__)
  alignas(32) static const int32_t ramp[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  _mm256_maskstore_ps(p, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ramp + 8 - n)), reinterpret_cast<__m256>(v));
#else
  for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

// a * b + c. One rounding where the ISA has it; the base row rounds twice on every machine (also on Arm), so that base equals base everywhere.
ACCELNN_INLINE vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_fmadd_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__AVX2__)
  return reinterpret_cast<vf>(_mm256_fmadd_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#elif defined(ACCELNN_NEON)
  return reinterpret_cast<vf>(vfmaq_f32(reinterpret_cast<float32x4_t>(c), reinterpret_cast<float32x4_t>(a), reinterpret_cast<float32x4_t>(b)));
#else
  return a * b + c;
#endif
}
ACCELNN_INLINE float fma(float a, float b, float c) {
#if defined(__AVX2__) || defined(ACCELNN_NEON)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// mask: all ones or all zeros a lane. Not (mask & yes) | (~mask & no): a comparison then stays in a mask register (exp: 42 instead of 52 instructions).
ACCELNN_INLINE vf select(vi mask, vf yes, vf no) { return mask ? yes : no; }
ACCELNN_INLINE vi select(vi mask, vi yes, vi no) { return mask ? yes : no; }
ACCELNN_INLINE vf abs(vf x) { return as_float(as_bits(x) & 0x7fffffff); }
// NaN in either operand gives NaN (torch's and numpy's maximum): x87-style max would drop it.
// One instruction gives b where either is NaN; setting every bit where a was the one makes a NaN again. In a chain b is best what was there before:
// two instructions wait for it, not a comparison, a mask and a selection.
ACCELNN_INLINE vf max(vf a, vf b) { return as_float(as_bits(a > b ? a : b) | (a != a)); }
ACCELNN_INLINE vf min(vf a, vf b) { return as_float(as_bits(a < b ? a : b) | (a != a)); }
ACCELNN_INLINE vf sqrt(vf x) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_sqrt_ps(__mmask16(-1), reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<vf>(_mm256_sqrt_ps(reinterpret_cast<__m256>(x)));
#else
  vf r;
  for (int i = 0; i < lanes; i++) r[i] = __builtin_sqrtf(x[i]);
  return r;
#endif
}
// Nearest integer, halves to even. 1.5 * 2^23 pushes the fraction out; beyond 2^22 every float is an integer or half of one, beyond 2^23 an integer.
ACCELNN_INLINE vf rint(vf x) {
  const vf magic = splat(8388608.0f), positive = abs(x);
  const vf rounded = (positive + magic) - magic;
  const vf r = select(positive < magic, rounded, positive);
  return as_float(as_bits(r) | (as_bits(x) & int32_t(0x80000000)));
}
ACCELNN_INLINE vf floor(vf x) {
  const vf r = rint(x);
  return select(r > x, r - 1.0f, r);
}
ACCELNN_INLINE vf to_float(vi x) { return __builtin_convertvector(x, vf); }
ACCELNN_INLINE vi to_int(vf x) { return __builtin_convertvector(x, vi); }       // truncates; |x| < 2^31

// Across lanes in a fixed tree, so that the sum depends on the width alone.
ACCELNN_INLINE float sum_of(vf v) {
  float part[lanes];
  std::memcpy(part, &v, sizeof v);
#pragma GCC unroll 4
  for (int step = lanes / 2; step; step /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < step; i++) part[i] = part[i] + part[i + step];
  return part[0];
}
ACCELNN_INLINE float max_of(vf v) {
  float best = v[0];
  for (int i = 1; i < lanes; i++) best = v[i] > best || v[i] != v[i] ? v[i] : best;
  return best;
}

// exp(x) = 2^n p(r), n = rint(x / ln 2), r = x - n ln 2 in two parts, p the degree-6 polynomial of Cephes expf. Within 2 ulp; 0 below -87.34
// (no denormal results), inf above 88.72, NaN stays.
ACCELNN_INLINE vf exp(vf x) {
#if defined(__AVX512F__)
  // 19 instructions instead of 42: min and max hand a NaN second on, scalef multiplies by 2^n in one step and overflows by itself. The same bits
  // (all 2^32 floats compared; signaling NaNs come out quiet).
  const __m512 bottom = _mm512_set1_ps(-87.336548f), given = reinterpret_cast<__m512>(x);
  const __mmask16 all = __mmask16(-1);           // the masked forms: g++ warns of an uninitialized source in the plain ones
  const vf inside = reinterpret_cast<vf>(_mm512_maskz_min_ps(all, _mm512_set1_ps(104.0f), _mm512_maskz_max_ps(all, bottom, given)));
  const vf turns = fma(inside, splat(1.44269504f), splat(12582912.0f)) - 12582912.0f;
  vf f = fma(turns, splat(-0.693359375f), inside);
  f = fma(turns, splat(2.12194440e-4f), f);
  vf q = fma(f, splat(1.9875691500e-4f), splat(1.3981999507e-3f));
  q = fma(q, f, splat(8.3334519073e-3f));
  q = fma(q, f, splat(4.1665795894e-2f));
  q = fma(q, f, splat(1.6666665459e-1f));
  q = fma(q, f, splat(5.0000001201e-1f));
  q = fma(q, f * f, f) + 1.0f;
  return reinterpret_cast<vf>(_mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(given, bottom, _CMP_NLT_UQ), reinterpret_cast<__m512>(q),
                                                     reinterpret_cast<__m512>(turns)));
#else
  const vf clamped = select(x < -87.336548f, splat(-87.336548f), select(x > 88.7228394f, splat(88.7228394f), x));
  const vf shifted = fma(clamped, splat(1.44269504f), splat(12582912.0f));       // 1.5 * 2^23: the integer lands in the low mantissa bits
  const vf n = shifted - 12582912.0f;
  vf r = fma(n, splat(-0.693359375f), clamped);
  r = fma(n, splat(2.12194440e-4f), r);
  vf p = fma(r, splat(1.9875691500e-4f), splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + 1.0f;
  // 2^n in two halves: n = 128 (x near 88.7) does not fit one exponent field
  const vi k = as_bits(shifted) - as_bits(splat(12582912.0f)), half = k >> 1;
  const vf lo = as_float((half + 127) << 23), hi = as_float((k - half + 127) << 23);
  vf y = p * lo * hi;
  y = select(x < -87.336548f, splat(0.0f), y);
  y = select(x > 88.7228394f, splat(__builtin_inff()), y);
  return select(x != x, x, y);
#endif
}
// 2^x by the minimax polynomial of degree 5 on [-1/2, 1/2]: for softmax, whose scores carry the factor log2 e anyway. Relative error 2.4e-7 (2 ulp), 0
// from -150 down (from -126.5 where AVX-512 lacks), inf from 128 up; NaN stays: comparisons are written so that it does, and 2^n is a factor, not a sum of
// bits. With scalef attention of 128 x 64 reaches 94 instead of 87 GFLOP/s.
ACCELNN_INLINE vf exp2(vf x) {
#if defined(__AVX512F__)
  const vf low = splat(-200.0f);
  x = low > x ? low : x;
#else
  const vf low = splat(-127.0f), high = splat(128.0f);
  x = low > x ? low : x;
  x = high < x ? high : x;
#endif
  const vf shifted = x + 12582912.0f, n = shifted - 12582912.0f, f = x - n;
  vf p = fma(f, splat(1.32764725e-3f), splat(9.67554096e-3f));
  p = fma(p, f, splat(5.55071309e-2f));
  p = fma(p, f, splat(2.40221202e-1f));
  p = fma(p, f, splat(6.93146944e-1f));
  p = fma(p, f, splat(1.00000012f));
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_scalef_ps(__mmask16(-1), reinterpret_cast<__m512>(p), reinterpret_cast<__m512>(n)));
#else
  return p * as_float((as_bits(shifted) - (as_bits(splat(12582912.0f)) - 127)) << 23);
#endif
}
ACCELNN_INLINE vf sigmoid(vf x) {
  // exp of -|x| never overflows; the other side by symmetry
  const vf e = exp(as_float(as_bits(x) | int32_t(0x80000000)));
  const vf y = 1.0f / (1.0f + e);
  return select(x < 0.0f, e * y, y);
}
// Odd polynomial (Cephes tanhf) below 0.625, where 1 - 2/(e^2x + 1) loses digits. Within 3 ulp.
ACCELNN_INLINE vf tanh(vf x) {
  const vf a = abs(x), z = x * x;
  vf p = fma(z, splat(-5.70498872745e-3f), splat(2.06390887954e-2f));
  p = fma(p, z, splat(-5.37397155531e-2f));
  p = fma(p, z, splat(1.33314422036e-1f));
  p = fma(p, z, splat(-3.33332819422e-1f));
  const vf small = fma(p * z, x, x);
  const vf large = 1.0f - 2.0f / (exp(a + a) + 1.0f);
  return select(a < 0.625f, small, as_float(as_bits(large) | (as_bits(x) & int32_t(0x80000000))));
}
// log(x) = n ln 2 + log(m), m in [sqrt(1/2), sqrt 2), the degree-8 polynomial of Cephes logf. Within 2 ulp (denormals too); 0 -> -inf, below 0 NaN.
ACCELNN_INLINE vf log(vf x) {
  const vi tiny = x < 1.17549435e-38f;
  const vi bits = as_bits(select(tiny, x * 8388608.0f, x));
  const vi k = reinterpret_cast<vi>(reinterpret_cast<vu>(bits) - 0x3f3504f3u) >> 23;      // unsigned: a negative x wraps around
  const vf f = as_float(reinterpret_cast<vi>(reinterpret_cast<vu>(bits) - (reinterpret_cast<vu>(k) << 23))) - 1.0f;
  const vf n = to_float(k) - select(tiny, splat(23.0f), splat(0.0f)), z = f * f;
  vf p = fma(f, splat(7.0376836292e-2f), splat(-1.1514610310e-1f));
  p = fma(p, f, splat(1.1676998740e-1f));
  p = fma(p, f, splat(-1.2420140846e-1f));
  p = fma(p, f, splat(1.4249322787e-1f));
  p = fma(p, f, splat(-1.6668057665e-1f));
  p = fma(p, f, splat(2.0000714765e-1f));
  p = fma(p, f, splat(-2.4999993993e-1f));
  p = fma(p, f, splat(3.3333331174e-1f));
  vf y = fma(n, splat(-2.12194440e-4f), f * z * p);
  y = fma(z, splat(-0.5f), y) + f;
  y = fma(n, splat(0.693359375f), y);
  y = select(x == 0.0f, splat(-__builtin_inff()), y);
  y = select(x < 0.0f, splat(__builtin_nanf("")), y);
  return select((x == __builtin_inff()) | (x != x), x, y);
}
// Odd polynomial below 0.93; above it 1 - exp(polynomial), exactly 1 from 3.93 on. The coefficients are those of N. Juffa's erff. Within 2 ulp.
ACCELNN_INLINE vf erf(vf x) {
  const vf a = abs(x), t = select(a > 4.0f, splat(4.0f), a), s = t * t;
  vf p = fma(s, splat(-5.96761703e-4f), splat(4.99119423e-3f));
  p = fma(p, s, splat(-2.67681349e-2f));
  p = fma(p, s, splat(1.12819925e-1f));
  p = fma(p, s, splat(-3.76125336e-1f));
  p = fma(p, s, splat(1.28379166e-1f));
  const vf small = fma(p, x, x);
  vf q = fma(fma(t, splat(-1.72853470e-5f), splat(3.83197126e-4f)), s, fma(t, splat(-3.88396438e-3f), splat(2.42546219e-2f)));
  q = fma(q, t, splat(-1.06777877e-1f));
  q = fma(q, t, splat(-6.34846687e-1f));
  q = fma(q, t, splat(-1.28717512e-1f));
  const vf large = 1.0f - exp(fma(q, t, -t));
  return select(a < 0.927734375f, small, as_float(as_bits(large) | (as_bits(x) & int32_t(0x80000000))));
}

#if defined(__AVX2__)
// Of 2^(k / 32), or / 8, the bits less k << 18, or 20: added to round(32 x / ln 2) << 18 they are 2^n 2^(k / 32).
#if defined(__AVX512F__)
constexpr int exp_parts = 5;
alignas(64) static const int32_t exp_table[32] = {
    0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0, 0x3f7837f0, 0x3f778d3a, 0x3f76f532,
    0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6, 0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be,
    0x3f76248c, 0x3f76a81e, 0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3};
#else
constexpr int exp_parts = 3;
alignas(32) static const int32_t exp_table[8] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};
#endif
#endif
// exp(x) for x <= 0, as after a maximum is taken off: no end to look at but the lower one. Within 3.1 units of 2^-24, exactly 1 at 0; 0 below -87.34 (no
// denormal results), NaN stays. With a shuffle for a table in registers the fraction left is that of 1/32 (1/8), and a polynomial of degree 2 (3) does: 8.6
// cycles for 16 numbers with maximum, sum and store, where degree 5 takes 9.8. Half a cycle to a whole one less with ln 2 in one part, but 8 units at -78.
ACCELNN_INLINE vf exp_below(vf x) {
#if defined(__AVX2__)
  constexpr float magic = 12582912.0f / float(1 << exp_parts);       // ulp 1/32 or 1/8: the part of the turn in the low bits, the turns above them
  const vf shifted = fma(x, splat(1.44269504f), splat(magic)), n = shifted - magic;
  vf r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  const vi turns = as_bits(shifted) << (23 - exp_parts);
#if defined(__AVX512F__)
  const __m512 part = _mm512_permutex2var_ps(_mm512_castsi512_ps(_mm512_load_si512(exp_table)), reinterpret_cast<__m512i>(shifted),
                                             _mm512_castsi512_ps(_mm512_load_si512(exp_table + 16)));
  const vf t = as_float(reinterpret_cast<vi>(part) + turns), q = fma(r, splat(0.49999997f), splat(1.00001466f)) * r;
  // Zeroing comes with the last step; a NaN's comparison says yes.
  return reinterpret_cast<vf>(_mm512_maskz_fmadd_ps(_mm512_cmp_ps_mask(reinterpret_cast<__m512>(x), _mm512_set1_ps(-87.3365402f), _CMP_NLT_UQ),
                                                    reinterpret_cast<__m512>(t), reinterpret_cast<__m512>(q), reinterpret_cast<__m512>(t)));
#else
  const __m256 part = _mm256_permutevar8x32_ps(_mm256_castsi256_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(exp_table))),
                                               reinterpret_cast<__m256i>(shifted));
  const vf t = as_float(reinterpret_cast<vi>(part) + turns), q = fma(fma(r, splat(0.166642979f), splat(0.50006479f)), r, splat(1.0f)) * r;
  return reinterpret_cast<vf>(_mm256_and_ps(_mm256_cmp_ps(reinterpret_cast<__m256>(x), _mm256_set1_ps(-87.3365402f), _CMP_NLT_UQ),
                                            reinterpret_cast<__m256>(fma(t, q, t))));
#endif
#else
  const vf low = splat(-88.0296936f);           // n = -127, an exponent field of 0
  x = low > x ? low : x;                        // one instruction, and NaN stays
  const vf shifted = fma(x, splat(1.44269504f), splat(12582912.0f)), n = shifted - 12582912.0f;
  vf r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  vf p = fma(r, splat(8.2902722e-3f), splat(4.1898161e-2f));
  p = fma(p, r, splat(0.16667639f));
  p = fma(p, r, splat(0.49999148f));
  p = fma(p, r, splat(0.9999997f));
  p = fma(p, r, splat(1.0f));
  return p * as_float((as_bits(shifted) - (as_bits(splat(12582912.0f)) - 127)) << 23);      // a product, no sum of bits: NaN stays NaN
#endif
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
