#include "gather/generic.h"

namespace accelnn {

Status take_grad_f32_x86_avx512(const Call& call);
Status take_grad_f32_x86_avx512(const Call& call) { return gather_rows::take_grad(call); }

#define PUBLISH(dtype, bits, SCATTER, SCATTER_ND)                                                        \
  Status take_##dtype##_x86_avx512(const Call& call);                                                    \
  Status take_##dtype##_x86_avx512(const Call& call) { return gather_rows::take(call); }                 \
  Status gather_##dtype##_x86_avx512(const Call& call);                                                  \
  Status gather_##dtype##_x86_avx512(const Call& call) { return gather_rows::gather<bits>(call); }       \
  Status gather_nd_##dtype##_x86_avx512(const Call& call);                                               \
  Status gather_nd_##dtype##_x86_avx512(const Call& call) { return gather_rows::gather_nd<bits>(call); } \
  Status scatter_##dtype##_x86_avx512(const Call& call);                                                 \
  Status scatter_##dtype##_x86_avx512(const Call& call) { return gather_rows::SCATTER(call); }           \
  Status scatter_nd_##dtype##_x86_avx512(const Call& call);                                              \
  Status scatter_nd_##dtype##_x86_avx512(const Call& call) { return gather_rows::SCATTER_ND(call); }
#define MOVED(dtype, bits) PUBLISH(dtype, bits, scatter_moved<bits>, scatter_nd_moved<bits>)
#define NUMBER(dtype, bits, type) PUBLISH(dtype, bits, scatter_numbers<type>, scatter_nd_numbers<type>)
NUMBER(f32, uint32_t, float)
MOVED(f16, uint16_t)
MOVED(bf16, uint16_t)
MOVED(i8, uint8_t)
MOVED(u8, uint8_t)
NUMBER(i32, uint32_t, int32_t)
NUMBER(i64, uint64_t, int64_t)
MOVED(bool, uint8_t)

}  // namespace accelnn
