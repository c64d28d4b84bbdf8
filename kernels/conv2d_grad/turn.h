// Images turned to channels last, with borders.
#pragma once
#include "conv2d/columns.h"
#include "copy/turn.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

// transpose() by squares of whole vectors, so that every line is read and written once: in fours, a plane's lines fell on each other in L1 before they were
// used up, and turning was 0.38 of dw (2x2 at a stride of 2, 64 planes of 112x112). Small ones in fours; where no multiple of 4 is left, what is left over goes
// once more with its neighbours (number by number, two columns of 14 took as long as the other twelve).
inline void transpose_all(const float* from, int64_t from_row, int64_t rows, int64_t columns, float* to, int64_t to_row) {
  if (rows >= lanes && columns >= lanes) return turn_band<false>(to, to_row, from, from_row, columns, rows);
  const int64_t r = rows < 4 ? rows : rows & ~int64_t(3), c = columns < 4 ? columns : columns & ~int64_t(3);
  const auto block = [=](int64_t i, int64_t j, int64_t m, int64_t n) { transpose(from + i * from_row + j, from_row, m, n, to + j * to_row + i, to_row); };
  block(0, 0, r, c);
  if (c < columns) block(0, columns - 4, r, 4);
  if (r < rows) block(rows - 4, 0, 4, c);
  if (r < rows && c < columns) block(rows - 4, columns - 4, 4, 4);
}

// One image, or a group's share of its channels.
struct Planes {
  const float* data;
  int64_t channels, h, w;
};
// Rows `top`, `top + down` .. , columns `left`.. : to[(i * width + j) * pixel + channel], zeros outside of the image.
inline void turn(const Planes& x, int64_t top, int64_t down, int64_t left, int64_t rows, int64_t width, float* to, int64_t pixel) {
  const int64_t first = conv::at_most(conv::at_least(-left, 0), width), last = conv::at_least(conv::at_most(x.w - left, width), first);
  for (int64_t h = top; rows > 0; rows--, h += down, to += width * pixel) {
    if (h < 0 || h >= x.h) {
      std::memset(to, 0, size_t(width * pixel) * sizeof(float));
      continue;
    }
    std::memset(to, 0, size_t(first * pixel) * sizeof(float));
    std::memset(to + last * pixel, 0, size_t((width - last) * pixel) * sizeof(float));
    transpose_all(x.data + h * x.w + left + first, x.h * x.w, x.channels, last - first, to + first * pixel, pixel);
  }
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
