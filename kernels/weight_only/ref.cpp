// The slow truth: the formulas of the contract, element by element.
#include <cstring>
#include "weight_only/matmul_int4.h"

namespace accelnn {

static float half(const uint8_t* p) {
  const uint32_t h = uint32_t(p[0] | p[1] << 8), exponent = h >> 10 & 31, mantissa = h & 1023;
  const float size = exponent == 31 ? (mantissa ? __builtin_nanf("") : __builtin_inff())
      : exponent                    ? __builtin_ldexpf(float(1024 + mantissa), int(exponent) - 25)
                                    : __builtin_ldexpf(float(mantissa), -24);
  return h & 0x8000 ? -size : size;
}

Status matmul_int4_f32_ref(const Call& call) {
  const Int4Problem p = int4_problem(call);
  const float* const bias = call.in[2].absent() ? nullptr : call.in[2].as<float>();
  for (int64_t i = 0; i < p.m; i++)
    for (int64_t j = 0; j < p.n; j++) {
      const float* a = call.in[0].as<float>() + i * p.k;
      double exact = 0;
      float rounded = 0;
      for (int64_t g = 0; g < p.groups; g++) {
        const uint8_t* const w = call.in[1].as<uint8_t>() + (j / 16 * p.groups + g) * p.group_bytes;
        const int64_t k0 = g * p.group, n = p.k - k0 < p.group ? p.k - k0 : p.group, column = j % 16;
        const float s = half(w + p.group * 8 + 2 * column);
        const int z = p.zero_points ? w[p.group * 8 + 32 + column] : 8;
        float t = 0;
        bool finite = true;
        for (int64_t k = 0; k < n; k++) {
          const float size = __builtin_fabsf(a[k0 + k]);
          finite = finite && size <= 3.4028234664e38f;
          if (size > t) t = size;
        }
        const float inverse = 127.0f / t;
        int32_t sum = 0;
        for (int64_t k = 0; k < n; k++) {
          const uint8_t both = w[k / 8 * 64 + 4 * column + k % 4];
          const int value = (k % 8 < 4 ? both & 15 : both >> 4) - z;
          exact += double(a[k0 + k]) * double(s) * value;
          if (p.int8 && finite && t >= int4_least) sum += int32_t(__builtin_rintf(a[k0 + k] * inverse)) * value;
        }
        if (p.int8) rounded += float(sum) * (s * (!finite ? __builtin_nanf("") : t >= int4_least ? t / 127.0f
                                                                                                 : 0.0f));
      }
      call.out[0].as<float>()[i * p.n + j] = p.int8 ? bias ? rounded + bias[j] : rounded : float(exact + (bias ? double(bias[j]) : 0.0));
    }
  return {};
}

Status matmul_int4_pack_u8_ref(const Call& call) {
  const TensorView &q = call.in[0], &s = call.in[1], &z = call.in[2], &w = call.out[0];
  const int64_t n = q.shape[0], group = call.integer(matmul_int4_pack_attr::group), groups = s.shape[1], bytes = w.shape[2];
  for (int64_t at = 0; at < w.count(); at++) {
    const int64_t strip = at / (groups * bytes), g = at / bytes % groups, byte = at % bytes;
    const int64_t j = strip * 16 + (byte < group * 8 ? byte / 4 % 16 : byte < group * 8 + 32 ? (byte - group * 8) / 2
                                                                                             : byte - group * 8 - 32);
    const uint8_t zero = j < n && !z.absent() ? z.as<uint8_t>()[j * groups + g] : uint8_t(8);
    uint8_t result = zero;
    if (byte < group * 8) {
      int nibble[2];
      for (int h = 0; h < 2; h++) {
        const int64_t k = g * group + byte / 64 * 8 + byte % 4 + 4 * h;
        const int64_t row = q.rank == 3 ? groups * group / 2 : q.shape[1];
        if (j >= n || (q.rank == 2 && k >= q.shape[1])) nibble[h] = zero & 15;
        else nibble[h] = q.rank == 3 ? q.as<uint8_t>()[j * row + k / 2] >> k % 2 * 4 & 15 : q.as<uint8_t>()[j * row + k] & 15;
      }
      result = uint8_t(nibble[0] | nibble[1] << 4);
    } else if (byte < group * 8 + 32) {
      // The nearest half: the truncated one or its successor, by their distances; the even one where these are equal.
      const float x = j < n ? s.as<float>()[j * groups + g] : 0.0f, size = __builtin_fabsf(x);
      uint32_t h = 0;
      for (uint32_t bit = 0x4000; bit; bit >>= 1) {
        const uint8_t candidate[2] = {uint8_t((h | bit) & 255), uint8_t((h | bit) >> 8)};
        if ((h | bit) <= 0x7c00 && half(candidate) <= size) h |= bit;
      }
      if (h < 0x7c00) {
        const uint8_t here[2] = {uint8_t(h & 255), uint8_t(h >> 8)}, next[2] = {uint8_t((h + 1) & 255), uint8_t((h + 1) >> 8)};
        const double above = (h + 1 == 0x7c00 ? 65536.0 : double(half(next))) - double(size), below = double(size) - double(half(here));
        if (above < below || (above == below && h & 1)) h++;
      }
      if (x != x) h = 0x7e00;
      if (__builtin_signbit(x)) h |= 0x8000;
      result = uint8_t(byte % 2 ? h >> 8 : h & 255);
    }
    w.as<uint8_t>()[at] = result;
  }
  return {};
}

}  // namespace accelnn
