// Images from NCHW to [N, H, W, C] and back: a transpose of [C][H W] for each image.
#pragma once
#include "copy/turn.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// [images][rows][columns] -> [images][columns][rows]; each part writes whole rows of the result.
inline void turn_images(const Call& call, const float* from, int64_t images, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t band = 64;
  const int64_t bands = columns < 2 * band ? 1 : columns / band;              // the last one takes what is left over
  parallel(call, images * bands, 8 * images * rows * columns, [&](int64_t part) {
    const int64_t image = part / bands, first = part % bands * band;
    turn_band<false>(to + (image * columns + first) * rows, rows, from + image * rows * columns + first, columns,
                     part % bands == bands - 1 ? columns - first : band, rows);
  });
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
