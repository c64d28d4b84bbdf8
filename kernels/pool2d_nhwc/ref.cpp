// The slow truth: the windows, pixel by pixel.
#include "pool2d_nhwc/pool2d_nhwc.h"

namespace accelnn {
Status pool2d_nhwc_f32_ref(const Call& call) {
  const PoolNhwc p = pool_nhwc(call);
  const float* const x = call.in[0].as<float>();
  float* y = call.out[0].as<float>();
  for (int64_t n = 0; n < p.n; n++)
    for (int64_t i = 0; i < p.oh; i++)
      for (int64_t j = 0; j < p.ow; j++)
        for (int64_t c = 0; c < p.c; c++) {
          double sum = 0;
          float most = -__builtin_inff();
          int64_t inside = 0;
          for (int64_t r = 0; r < p.kernel_h; r++)
            for (int64_t s = 0; s < p.kernel_w; s++) {
              const int64_t h = i * p.stride_h + r - p.top, w = j * p.stride_w + s - p.left;
              if (h < 0 || h >= p.h || w < 0 || w >= p.w) continue;
              const float v = x[((n * p.h + h) * p.w + w) * p.c + c];
              sum += double(v);
              if (inside++ == 0 || v > most || v != v) most = most == most || inside == 1 ? v : most;
            }
          *y++ = p.kind ? float(sum / double(p.kind == 1 ? p.kernel_h * p.kernel_w : inside)) : most;
        }
  return {};
}

Status pool2d_nhwc_u8_ref(const Call& call) {
  const PoolNhwc p = pool_nhwc(call);
  const uint8_t* const x = call.in[0].as<uint8_t>();
  uint8_t* y = call.out[0].as<uint8_t>();
  for (int64_t n = 0; n < p.n; n++)
    for (int64_t i = 0; i < p.oh; i++)
      for (int64_t j = 0; j < p.ow; j++)
        for (int64_t c = 0; c < p.c; c++) {
          uint8_t most = 0;
          for (int64_t r = 0; r < p.kernel_h; r++)
            for (int64_t s = 0; s < p.kernel_w; s++) {
              const int64_t h = i * p.stride_h + r - p.top, w = j * p.stride_w + s - p.left;
              if (h < 0 || h >= p.h || w < 0 || w >= p.w) continue;
              const uint8_t v = x[((n * p.h + h) * p.w + w) * p.c + c];
              most = v > most ? v : most;
            }
          *y++ = most;
        }
  return {};
}
}  // namespace accelnn
