// What the tensor memory accelerator of sm_90 and newer needs to know of a tensor: 128 opaque bytes that a kernel takes by value.
#pragma once
#include "cuda/driver.h"

namespace accelnn::cuda {

constexpr int max_map_rank = 5;

struct MapSpec {
  int type;                               // CUtensorMapDataType: u8 0, u16 1, u32 2, i32 3, u64 4, i64 5, f16 6, f32 7, f64 8, bf16 9, f32 flushed 10, tf32 11
  int element;                            // its bytes
  int rank;
  Address address;
  uint64_t shape[max_map_rank], stride[max_map_rank];        // innermost dimension first; strides in bytes, that of the first dimension is its element's
  uint32_t box[max_map_rank], step[max_map_rank];            // what one copy takes, in elements; every step-th of them
  int swizzle;                            // bytes: 0, 32, 64, 128
  int promotion;                          // bytes that L2 fetches at least: 0, 64, 128, 256
  bool nan;                               // outside the tensor: NaN, else 0
};
Status encode(int device, const MapSpec& spec, TensorMap* map);

}  // namespace accelnn::cuda
