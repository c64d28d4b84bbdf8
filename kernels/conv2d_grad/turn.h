// Images turned to channels last, with borders.
#pragma once
#include "conv2d/columns.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// One image, or a group's share of its channels.
struct Planes {
  const float* data;
  int64_t channels, h, w;
};
// Rows `top`.. , columns `left`.. : to[(i * width + j) * pixel + channel], zeros outside of the image.
inline void turn(const Planes& x, int64_t top, int64_t left, int64_t rows, int64_t width, float* to, int64_t pixel) {
  const int64_t first = conv::at_most(conv::at_least(-left, 0), width), last = conv::at_least(conv::at_most(x.w - left, width), first);
  for (int64_t i = 0; i < rows; i++, to += width * pixel) {
    if (top + i < 0 || top + i >= x.h) {
      std::memset(to, 0, size_t(width * pixel) * sizeof(float));
      continue;
    }
    std::memset(to, 0, size_t(first * pixel) * sizeof(float));
    std::memset(to + last * pixel, 0, size_t((width - last) * pixel) * sizeof(float));
    // Sixteen columns at a time: their lines stay in L1 while the channels pass by.
    for (int64_t j = first; j < last; j += 16)
      transpose(x.data + (top + i) * x.w + left + j, x.h * x.w, x.channels, conv::at_most(16, last - j), to + j * pixel, pixel);
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
