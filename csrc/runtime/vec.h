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
// The larger, the smaller; b where either is NaN. One instruction on x86: of the plain form g++ 12 makes a comparison and a masked move at 512 bits.
ACCELNN_INLINE vf larger(vf a, vf b) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_max_ps(__mmask16(-1), reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#else
  return a > b ? a : b;
#endif
}
ACCELNN_INLINE vf smaller(vf a, vf b) {
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_min_ps(__mmask16(-1), reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#else
  return a < b ? a : b;
#endif
}
// NaN in either operand gives NaN (torch's and numpy's maximum): x87-style max would drop it. In a chain b is best what was there before: one
// instruction waits for it (two without mask registers: the larger is b where a is NaN, and setting every bit makes a NaN again).
ACCELNN_INLINE vf max(vf a, vf b) {
#if defined(__AVX512F__)
  const __m512 v = reinterpret_cast<__m512>(a);
  return reinterpret_cast<vf>(_mm512_mask_max_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v, reinterpret_cast<__m512>(b)));
#else
  return as_float(as_bits(a > b ? a : b) | (a != a));
#endif
}
ACCELNN_INLINE vf min(vf a, vf b) {
#if defined(__AVX512F__)
  const __m512 v = reinterpret_cast<__m512>(a);
  return reinterpret_cast<vf>(_mm512_mask_min_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v, reinterpret_cast<__m512>(b)));
#else
  return as_float(as_bits(a < b ? a : b) | (a != a));
#endif
}
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

#if defined(__AVX512F__)
// 2^(k/16) as floats, and what rounding took off, in parts of them.
alignas(64) static const float exp_sixteenth[16] = {
    1.0f, 1.04427373f, 1.09050775f, 1.13878858f, 1.18920708f, 1.24185777f, 1.29683959f, 1.35425556f,
    1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f, 1.68179286f, 1.75625217f, 1.8340081f, 1.91520655f};
alignas(64) static const float exp_sixteenth_rest[16] = {
    0.0f, 4.62854715e-08f, -1.19921575e-08f, 4.72978243e-08f, 3.19341815e-08f, 3.62105723e-08f, -3.09907193e-08f, -7.47521334e-09f,
    1.71142709e-08f, -3.04768335e-08f, 5.23333421e-09f, 6.10759177e-09f, -1.47196051e-08f, -5.25879518e-09f, -6.12825968e-09f, 5.14060927e-09f};
#endif
// exp(x) = 2^n p(r), n = rint(x / ln 2), r = x - n ln 2 in two parts, p the degree-6 polynomial of Cephes expf. Within 2 ulp; 0 below -87.34
// (no denormal results), inf above 88.72, NaN stays.
// With AVX-512 n is a multiple of 1/16: 2^(its fraction) comes from a table in a register by one shuffle, and degree 3 does. 16 floats 2.45 ns, 0.61 ulp;
// the polynomial 3.24 ns, 1.01 ulp. Measured besides: 32 parts and degree 3, 2.98 ns (a shuffle of two registers is slower), or degree 2, 2.66 ns,
// 1.4 ulp; 16 parts without the rests 2.31 ns, 1.01 ulp, but then 1 / (1 + exp(-x)) errs by 3.2 ulp at -16.65.
// scalef multiplies by 2^floor(n) and overflows by itself; whatever came of an x below -87.34 is zeroed with it, so only the upper end is cut.
ACCELNN_INLINE vf exp(vf x) {
#if defined(__AVX512F__)
  const vf inside = smaller(splat(104.0f), x), shifted = fma(inside, splat(1.44269504f), splat(786432.0f)), n = shifted - 786432.0f;   // ulp 1/16
  vf r = fma(n, splat(-0.693359375f), inside);
  r = fma(n, splat(2.12194440e-4f), r);
  const __m512i part = reinterpret_cast<__m512i>(shifted);
  const vf t = reinterpret_cast<vf>(_mm512_maskz_permutexvar_ps(__mmask16(-1), part, _mm512_load_ps(exp_sixteenth)));
  const vf rest = reinterpret_cast<vf>(_mm512_maskz_permutexvar_ps(__mmask16(-1), part, _mm512_load_ps(exp_sixteenth_rest)));
  vf q = fma(r, splat(0.166675f), splat(0.50001f));
  q = fma(fma(q, r, splat(1.0f)), r, rest);
  return reinterpret_cast<vf>(_mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(reinterpret_cast<__m512>(x), _mm512_set1_ps(-87.336548f), _CMP_NLT_UQ),
                                                     reinterpret_cast<__m512>(fma(t, q, t)), reinterpret_cast<__m512>(n)));
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
// below -126.5, inf from 128 up; NaN stays: comparisons are written so that it does, and 2^n is a factor, not a sum of bits. With scalef attention of
// 128 x 64 reaches 94 instead of 87 GFLOP/s. What would be too small is masked out before: on Intel's cores a scalef whose result is denormal or 0 takes
// a microcode assist, and causal attention of 64 x 64 took 1.7 times as long as the whole square.
ACCELNN_INLINE vf exp2(vf x) {
#if defined(__AVX512F__)
  const __mmask16 there = _mm512_cmp_ps_mask(reinterpret_cast<__m512>(x), _mm512_set1_ps(-126.5f), _CMP_NLT_UQ);
#else
  x = smaller(splat(128.0f), larger(splat(-127.0f), x));
#endif
  const vf shifted = x + 12582912.0f, n = shifted - 12582912.0f, f = x - n;
  vf p = fma(f, splat(1.32764725e-3f), splat(9.67554096e-3f));
  p = fma(p, f, splat(5.55071309e-2f));
  p = fma(p, f, splat(2.40221202e-1f));
  p = fma(p, f, splat(6.93146944e-1f));
  p = fma(p, f, splat(1.00000012f));
#if defined(__AVX512F__)
  return reinterpret_cast<vf>(_mm512_maskz_scalef_ps(there, reinterpret_cast<__m512>(p), reinterpret_cast<__m512>(n)));
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
// t / (t + 2) with t = e^2|x| - 1 = 2^n (e^r - 1) + (2^n - 1): nothing cancels, so one formula serves small x too. 2.6 ulp; 16 floats 3.7 to 4.7 ns
// (by addresses: pointwise/generic.h), an odd polynomial below 0.625 and exp above 6.57. Tried besides: those branches with 2^x in place of e^x, 5.0 ns,
// 2.1 ulp; t by a polynomial in the scaled exponent, 4.3 ns, but 3.6 ulp near 0; one rational function, x P(x^2) / Q(x^2) of degrees 11 and 8, 4.4 ns,
// but the roundings of P and Q meet just below 1: 5.1 ulp. n as a multiple of 1/32, a table and degree 4: as quick as this, 3.2 ulp at 0.006, where
// numbers of one size cancel; 2.5 without that by a comparison more, half a ns slower. rcp14 and Newton's step for the division: 4.55 ns instead of 4.5.
ACCELNN_INLINE vf tanh(vf x) {
  const vf a = smaller(splat(10.0f), abs(x));                                // NaN stays
  const vf shifted = fma(a, splat(2.88539008f), splat(12582912.0f)), n = shifted - 12582912.0f;
#if defined(__AVX2__) || defined(ACCELNN_NEON)
  const vf r = fma(n, splat(-0.69314718f), a + a);                           // ln 2 errs by n 2e-9, where tanh is n / 3 and flat: nothing of an ulp
#else
  vf r = fma(n, splat(-0.693359375f), a + a);                                // the product must be exact: it is rounded
  r = fma(n, splat(2.12194440e-4f), r);
#endif
  vf p = fma(r, splat(0.0013882522471249104f), splat(0.00836651399731636f));
  p = fma(p, r, splat(0.04166720062494278f));
  p = fma(p, r, splat(0.1666654348373413f));
  p = fma(p, r, splat(0.4999999701976776f));
  const vf power = as_float((as_bits(shifted) << 23) + 0x3f800000), t = fma(power, fma(p * r, r, r), power - 1.0f);
  return as_float(as_bits(t / (t + 2.0f)) | (as_bits(x) & int32_t(0x80000000)));
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
// Odd polynomial below 0.93; above it 1 - 2^polynomial, exactly 1 from 3.93 on. The coefficients are those of N. Juffa's erff. Within 2 ulp
// (1.7; e^x in place of 2^x: 16 floats 9.1 instead of 7.9 ns).
ACCELNN_INLINE vf erf(vf x) {
  const vf a = abs(x), t = smaller(splat(4.0f), a), s = t * t;
  vf p = fma(s, splat(-5.96761703e-4f), splat(4.99119423e-3f));
  p = fma(p, s, splat(-2.67681349e-2f));
  p = fma(p, s, splat(1.12819925e-1f));
  p = fma(p, s, splat(-3.76125336e-1f));
  p = fma(p, s, splat(1.28379166e-1f));
  vf q = fma(fma(t, splat(-1.72853470e-5f), splat(3.83197126e-4f)), s, fma(t, splat(-3.88396438e-3f), splat(2.42546219e-2f)));
  q = fma(q, t, splat(-1.06777877e-1f));
  q = fma(q, t, splat(-6.34846687e-1f));
  q = fma(q, t, splat(-1.28717512e-1f));
  const vf small = fma(p, a, a), large = 1.0f - exp2(fma(q, t, -t) * 1.44269504f);
  return as_float(as_bits(select(a < 0.927734375f, small, large)) | (as_bits(x) & int32_t(0x80000000)));
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
  x = larger(low, x);                           // NaN stays
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
