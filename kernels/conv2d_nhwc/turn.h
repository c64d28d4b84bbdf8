// Images from NCHW to [N, H, W, C] and back: a transpose of [C][H W] for each image.
#pragma once
#include "conv2d/geometry.h"
#include "lanes.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// lanes x lanes: log2(lanes) rounds of interleaving.
ACCELNN_INLINE void turn_block(const float* from, int64_t from_row, float* to, int64_t to_row) {
  vf r[lanes], t[lanes];
#pragma GCC unroll 16
  for (int i = 0; i < lanes; i++) r[i] = load(from + i * from_row);
#pragma GCC unroll 4
  for (int step = 1; step < lanes; step *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < lanes / 2; i++) t[2 * i] = zip_low(r[i], r[i + lanes / 2]), t[2 * i + 1] = zip_high(r[i], r[i + lanes / 2]);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; i++) r[i] = t[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes; i++) store(to + i * to_row, r[i]);
}

// to[j * to_row + i] = from[i * from_row + j]
inline void turn(const float* from, int64_t from_row, int64_t rows, int64_t columns, float* to, int64_t to_row) {
  for (int64_t i = 0; i < rows; i += lanes)
    for (int64_t j = 0; j < columns; j += lanes) {
      if (i + lanes <= rows && j + lanes <= columns) {
        turn_block(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
        continue;
      }
      for (int64_t y = i; y < rows && y < i + lanes; y++)
        for (int64_t x = j; x < columns && x < j + lanes; x++) to[x * to_row + y] = from[y * from_row + x];
    }
}

// [images][rows][columns] -> [images][columns][rows]; each part writes whole rows of the result.
inline void turn_images(const Call& call, const float* from, int64_t images, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t band = 64;
  const int64_t bands = conv::divide_up(columns, band);
  parallel(call, images * bands, 8 * images * rows * columns, [&](int64_t part) {
    const int64_t image = part / bands, first = part % bands * band;
    turn(from + image * rows * columns + first, columns, rows, conv::at_most(band, columns - first), to + (image * columns + first) * rows, rows);
  });
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
