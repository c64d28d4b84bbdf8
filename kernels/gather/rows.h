// The rows of take, gather, scatter and their kin, the same on every instruction set: <isa>.cpp only says where.
#pragma once
#include "gather/generic.h"
#include "here.h"

namespace accelnn {

Status ACCELNN_HERE(take_grad_f32)(const Call& call);
Status ACCELNN_HERE(take_grad_f32)(const Call& call) { return gather_rows::take_grad(call); }

#define PUBLISH(dtype, bits, SCATTER, SCATTER_ND)                                                         \
  Status ACCELNN_HERE(take_##dtype)(const Call& call);                                                    \
  Status ACCELNN_HERE(take_##dtype)(const Call& call) { return gather_rows::take(call); }                 \
  Status ACCELNN_HERE(gather_##dtype)(const Call& call);                                                  \
  Status ACCELNN_HERE(gather_##dtype)(const Call& call) { return gather_rows::gather<bits>(call); }       \
  Status ACCELNN_HERE(gather_nd_##dtype)(const Call& call);                                               \
  Status ACCELNN_HERE(gather_nd_##dtype)(const Call& call) { return gather_rows::gather_nd<bits>(call); } \
  Status ACCELNN_HERE(scatter_##dtype)(const Call& call);                                                 \
  Status ACCELNN_HERE(scatter_##dtype)(const Call& call) { return gather_rows::SCATTER(call); }           \
  Status ACCELNN_HERE(scatter_nd_##dtype)(const Call& call);                                              \
  Status ACCELNN_HERE(scatter_nd_##dtype)(const Call& call) { return gather_rows::SCATTER_ND(call); }
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
