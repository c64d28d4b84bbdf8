// Philox over lanes of 64 bits, one block of four numbers a lane: its 32 x 32 -> 64 products are one instruction there. Four vectors in flight.
#pragma once
#include "op.h"
#include "philox.h"
#include "pool.h"
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

typedef uint64_t vq __attribute__((vector_size(vector_bytes)));

// Both operands below 2^32. Written as a product of 64-bit lanes it would become three multiplications, or a slow one.
ACCELNN_INLINE vq multiply_wide(vq a, vq b) {
#if defined(__AVX512F__)
  // maskz: the plain form warns of an undefined operand under g++ 12
  return reinterpret_cast<vq>(_mm512_maskz_mul_epu32(__mmask8(-1), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<vq>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__x86_64__)
  return reinterpret_cast<vq>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return a * b;
#endif
}

constexpr int philox_vectors = 4, philox_blocks = philox_vectors * (vector_bytes / 8);       // 32, 16, 8 blocks of four numbers

ACCELNN_INLINE void uniform_blocks(uint64_t seed, uint64_t number, uint64_t block, float* to) {
  constexpr int W = vector_bytes / 8;
  constexpr uint64_t low = 0xffffffffu;
  const vq m0 = vq{} + 0xD2511F53u, m1 = vq{} + 0xCD9E8D57u;
  vq c0[philox_vectors], c1[philox_vectors], c2[philox_vectors], c3[philox_vectors];
  for (int u = 0; u < philox_vectors; u++) {
    uint64_t index[W];
    for (int l = 0; l < W; l++) index[l] = block + uint64_t(u * W + l);
    std::memcpy(&c0[u], index, sizeof index);
    c1[u] = c0[u] >> 32;
    c0[u] &= low;
    c2[u] = vq{} + (number & low);
    c3[u] = vq{} + (number >> 32);
  }
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
#pragma GCC unroll 4
    for (int u = 0; u < philox_vectors; u++) {
      const vq p0 = multiply_wide(c0[u], m0), p1 = multiply_wide(c2[u], m1);
      c0[u] = (p1 >> 32) ^ c1[u] ^ uint64_t(k0);
      c2[u] = (p0 >> 32) ^ c3[u] ^ uint64_t(k1);
      c1[u] = p1 & low;
      c3[u] = p0 & low;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  alignas(64) uint32_t bits[philox_blocks * 4];
#pragma GCC unroll 4
  for (int u = 0; u < philox_vectors; u++) {
    const vq even = c0[u] | c1[u] << 32, odd = c2[u] | c3[u] << 32;
    for (int l = 0; l < W; l++) {
      const uint64_t a = even[l], b = odd[l];
      std::memcpy(bits + (u * W + l) * 4, &a, 8);
      std::memcpy(bits + (u * W + l) * 4 + 2, &b, 8);
    }
  }
  for (int i = 0; i < philox_blocks * 4; i += lanes)
    store(to + i, to_float(as_bits(load(reinterpret_cast<float*>(bits + i))) >> 8 & 0xffffff) * 0x1p-24f);
}

inline Status run_uniform(const Call& call) {
  const uint64_t seed = call.in[0].as<uint64_t>()[0], number = call.in[0].as<uint64_t>()[1];
  float* out = call.out[0].as<float>();
  const int64_t n = call.out[0].count();
  constexpr int64_t step = philox_blocks * 4, part_floats = 1 << 14;
  parallel(call, (n + part_floats - 1) / part_floats, n > INT64_MAX / 32 ? INT64_MAX : n * 32, [&](int64_t part) __attribute__((noinline)) {
    const int64_t begin = part * part_floats, end = begin + part_floats < n ? begin + part_floats : n;
    int64_t i = begin;
    for (; i + step <= end; i += step) uniform_blocks(seed, number, uint64_t(i) / 4, out + i);
    if (i == end) return;
    float last[step];
    uniform_blocks(seed, number, uint64_t(i) / 4, last);
    std::memcpy(out + i, last, size_t(end - i) * sizeof(float));
  });
  if (!call.out[1].absent()) call.out[1].as<uint64_t>()[0] = seed, call.out[1].as<uint64_t>()[1] = number + 1;
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
