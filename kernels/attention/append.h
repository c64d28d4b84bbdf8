// Rows written into a cache, in place where it is the caller's.
#pragma once
#include "attention/cache_append.h"
#include "copy/convert.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace attend {

inline void append_quantized(const float* x, int64_t step, int64_t n, int8_t* to, float* scale) {
  float most = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; i++) {
    const float a = __builtin_fabsf(x[i * step]);
    most = a > most ? a : most;
    finite = finite && a <= 3.40282347e38f;
  }
  *scale = finite ? (most > 1e-30f ? most : 1e-30f) / 127.0f : __builtin_nanf("");
  for (int64_t i = 0; i < n; i++) to[i] = finite ? int8_t(__builtin_rintf(x[i * step] / *scale)) : int8_t(0);
}

inline void copy_cache(const TensorView& from, char* to) {
  const size_t size = size_of(from.dtype);
  if (from.contiguous()) {
    if (from.count()) std::memcpy(to, from.data, size_t(from.count()) * size);
    return;
  }
  const bool rows = from.rank == 4;
  const int64_t width = rows ? from.shape[3] : 1, step = rows ? from.stride[3] : 0;
  for (int64_t b = 0; b < from.shape[0]; b++)
    for (int64_t g = 0; g < from.shape[1]; g++)
      for (int64_t j = 0; j < from.shape[2]; j++)
        for (int64_t e = 0; e < width; e++, to += size)
          std::memcpy(to, from.as<const char>() + size_t(b * from.stride[0] + g * from.stride[1] + j * from.stride[2] + e * step) * size, size);
}

inline Status cache_append(const Call& call) {
  ACCELNN_TRY(check_append_positions(call));
  const TensorView &x = call.in[0], &cache = call.in[1];
  for (int i = 0; i < 2; i++)
    if (const TensorView &from = call.in[i ? 3 : 1], &to = call.out[i]; !to.absent() && !same_memory(from, to)) copy_cache(from, to.as<char>());
  const int64_t groups = x.shape[1], more = x.shape[2], width = x.shape[3], rows = cache.shape[2], step = x.stride[3];
  parallel(call, x.shape[0] * groups, x.count() * 4, [&](int64_t head) {
    const int64_t b = head / groups, g = head % groups;
    for (int64_t l = 0; l < more; l++) {
      const float* from = x.as<float>() + b * x.stride[0] + g * x.stride[1] + l * x.stride[2];
      const int64_t row = head * rows + call.in[2].as<int64_t>()[b * call.in[2].stride[0]] + l;
      if (cache.dtype == DType::i8) {
        append_quantized(from, step, width, call.out[0].as<int8_t>() + row * width, call.out[1].as<float>() + row);
      } else if (cache.dtype == DType::bf16) {
        for (int64_t i = 0; i < width; i++) call.out[0].as<uint16_t>()[row * width + i] = narrow_bfloat(from[i * step]).bits;
      } else {
        for (int64_t i = 0; i < width; i++) call.out[0].as<float>()[row * width + i] = from[i * step];
      }
    }
  });
  return {};
}

}  // namespace attend
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
