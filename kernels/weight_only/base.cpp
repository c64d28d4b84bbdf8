#include <cstring>
#include "pool.h"
#include "weight_only/generic.h"

namespace accelnn {

Status matmul_int4_f32_base(const Call& call) { return matmul_int4(call, int4_isa()); }

// float32 -> float16, halves to even. Adding 2^(e + 13) lets the float adder round at the right bit, denormals included.
static uint16_t to_f16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size > 0x7f800000) return uint16_t(sign | 0x7e00);
  if (size >= 0x477ff000) return uint16_t(sign | 0x7c00);        // 65520 rounds to 65536
  if (size < 0x38800000) {                                       // a denormal half: multiples of 2^-24
    float f;
    std::memcpy(&f, &size, 4);
    f += 0.5f;                                                   // the unit of the last place is 2^-24 there
    std::memcpy(&bits, &f, 4);
    return uint16_t(sign | (bits - 0x3f000000));
  }
  return uint16_t(sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13));
}

// Packing only moves nibbles, once a model.
Status matmul_int4_pack_u8_base(const Call& call) {
  const TensorView &q = call.in[0], &s = call.in[1], &z = call.in[2], &w = call.out[0];
  const int64_t n = q.shape[0], group = call.integer(matmul_int4_pack_attr::group), groups = s.shape[1];
  const bool nibbles = q.rank == 3;
  const int64_t k_end = nibbles ? groups * group : q.shape[1], row = nibbles ? groups * group / 2 : q.shape[1];
  parallel(call, w.shape[0], 8 * n * groups * group, [&](int64_t strip) {
    uint8_t* to = w.as<uint8_t>() + strip * groups * w.shape[2];
    const int64_t columns = n - strip * 16 < 16 ? n - strip * 16 : 16;
    for (int64_t g = 0; g < groups; g++) {
      for (int64_t k = g * group; k < (g + 1) * group; k += 8)
        for (int64_t j = 0; j < 16; j++)
          for (int64_t r = 0; r < 4; r++) {
            const uint8_t* from = q.as<uint8_t>() + (strip * 16 + j) * row;
            // A weight that is not there is its zero point: nothing times any scale.
            const uint8_t none = j < columns && !z.absent() ? z.as<uint8_t>()[(strip * 16 + j) * groups + g] & 15 : 8;
            const auto value = [&](int64_t at) -> int {
              if (j >= columns || at >= k_end) return none;
              return nibbles ? from[at / 2] >> at % 2 * 4 & 15 : from[at] & 15;
            };
            *to++ = uint8_t(value(k + r) | value(k + 4 + r) << 4);
          }
      for (int64_t j = 0; j < 16; j++, to += 2) {
        const uint16_t h = j < columns ? to_f16(s.as<float>()[(strip * 16 + j) * groups + g]) : uint16_t(0);
        std::memcpy(to, &h, 2);
      }
      if (!z.absent())
        for (int64_t j = 0; j < 16; j++) *to++ = j < columns ? z.as<uint8_t>()[(strip * 16 + j) * groups + g] : uint8_t(8);
    }
  });
  return {};
}

}  // namespace accelnn
