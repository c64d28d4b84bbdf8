// Element types. The numbers are part of the Plan format: append only.
#pragma once
#include <cstddef>
#include <cstdint>

#define ACCELNN_INLINE inline __attribute__((always_inline))

namespace accelnn {

enum class DType : uint8_t { f32 = 0,
                             f16 = 1,
                             bf16 = 2,
                             i8 = 3,
                             u8 = 4,
                             i32 = 5,
                             i64 = 6,
                             boolean = 7,
                             f64 = 8,
                             i16 = 9,
                             u16 = 10,
                             u32 = 11,
                             u64 = 12 };
constexpr int n_dtypes = 13;

// f64 and the other integers: models count and convert in them, and nothing is tuned for them. They are moved, cast, calculated with exactly
// (kernels/arithmetic) and summed up, by a base and a reference row each. DO(name, element, what moves it)
#define ACCELNN_SELDOM_DTYPES(DO) \
  DO(f64, double, uint64_t)       \
  DO(i16, int16_t, uint16_t)      \
  DO(u16, uint16_t, uint16_t)     \
  DO(u32, uint32_t, uint32_t)     \
  DO(u64, uint64_t, uint64_t)
constexpr ACCELNN_INLINE bool is_seldom(DType t) { return t > DType::boolean; }
constexpr ACCELNN_INLINE bool is_real(DType t) { return t <= DType::bf16 || t == DType::f64; }

// Two bits a dtype hold the logarithm of its size: a table would lie in every object, a switch was 60 bytes a use.
constexpr ACCELNN_INLINE size_t size_of(DType t) { return size_t(1) << (0x3973816 >> 2 * int(t) & 3); }
const char* name_of(DType t);      // tensor.cpp

}  // namespace accelnn
