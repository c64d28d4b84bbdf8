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
                             boolean = 7 };
constexpr int n_dtypes = 8;

constexpr ACCELNN_INLINE size_t size_of(DType t) {
  switch (t) {
    case DType::f32:
    case DType::i32: return 4;
    case DType::f16:
    case DType::bf16: return 2;
    case DType::i64: return 8;
    case DType::i8:
    case DType::u8:
    case DType::boolean: return 1;
  }
  return 0;
}

constexpr ACCELNN_INLINE const char* name_of(DType t) {
  switch (t) {
    case DType::f32: return "f32";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::i8: return "i8";
    case DType::u8: return "u8";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::boolean: return "bool";
  }
  return "?";
}

}  // namespace accelnn
