// dynamic_quantize(x f32 [...]) -> (q u8, x's shape; scale f32[]; zero u8[])        ONNX's DynamicQuantizeLinear, as onnxruntime computes it
//   low = min(0, x), high = max(0, x);  scale = (high / 2 - low / 2) / 127.5, at least 2^-126, or 1 where both are 0;
//   zero = rint(min(-low / scale, 255));
//   q = clamp(rint(x / scale) + zero, 0, 255);  true divisions, rint rounds half to even, all in float32.
// Where an element is NaN or infinite: scale NaN, zero and q 0, so that whatever follows is NaN. Contiguous, no overlap, any alignment, any size 0.
// Exact: the same bits in every row and for any number of threads.
#pragma once
#include <cstring>
#include "pool.h"

#define ACCELNN_OP dynamic_quantize
#define ACCELNN_TABLE "quantize/dynamic_quantize.inc"
#include "attr_slots.h"

namespace accelnn {

// The largest number above 0 as bits, and the lowest one below it: of floats as integers with a sign the largest is the largest positive one, without a
// sign the most negative one if there is any. Infinities and NaNs of either sign lie beyond.
struct Extremes {
  int32_t top;
  uint32_t bottom;
};
// Step and zero point of numbers that lie between those.
struct ByteStep {
  float step;
  int32_t zero;
};
ACCELNN_INLINE Extremes widest(Extremes a, Extremes b) { return {a.top > b.top ? a.top : b.top, a.bottom > b.bottom ? a.bottom : b.bottom}; }
ACCELNN_INLINE ByteStep byte_step(Extremes e) {
  float high, low = 0.0f;
  std::memcpy(&high, &e.top, 4);
  if (e.bottom > 0x80000000u) std::memcpy(&low, &e.bottom, 4);
  if (e.top >= 0x7f800000 || e.bottom >= 0xff800000u) return {__builtin_nanf(""), 0};
  const float width = (0.5f * high - 0.5f * low) / 127.5f, step = high == low ? 1.0f : width > 1.17549435e-38f ? width
                                                                                                               : 1.17549435e-38f,
              zero = -low / step;
  return {step, int32_t(__builtin_rintf(zero > 255.0f ? 255.0f : zero))};
}

}  // namespace accelnn
