// Where the ISAs meet: the loops are compiled once (shared.cpp), an ISA brings its tiles and moves the image (generic.h).
#pragma once
#include "qconv/tiles.h"
#include "sparse_conv/conv2d_sparse.h"

namespace accelnn {

constexpr int sconv_most = 32;          // pixels of a tile, at most, in whole vectors

// Some neighbouring pixels, of 1, 2 or 4 lines, against the blocks of one strip.
struct SconvTile {
  const int32_t* x;                     // the window of the first one
  int64_t line;                         // words to that of the next line
  const int32_t* offset;                // of the blocks
  int64_t count;
  const void* values;
  const int32_t* start;                 // bytes: of the strip's sums
  int32_t* sums;                        // bytes: rows of sconv_columns
  // Floats: bias and residual may be null, and lie like y; y_last: a row a pixel, else a plane an output, y_row numbers apart.
  const float *bias, *residual;
  float* y;
  int64_t y_row;
  int how, columns;
  bool y_last;
};

struct SconvIsa {
  int rows, lines;                      // pixels, lines of a tile, at most
  void (*tile)(int lines, int pixels, const SconvTile&);
  // Offsets of `count` blocks in words: index * pitch + table[tap]; false where one leads out of the window.
  bool (*offsets)(const int32_t* index, int64_t count, const SconvProblem&, const int32_t* table, int32_t* to);
  // One row of a laid out image from x, borders `fill`; number: of the row.
  void (*lay_out)(const SconvProblem&, const void* x, int64_t number, int32_t fill, int32_t* to);
  // bytes: sums to values, as of qconv
  void (*finish)(const int32_t* sums, int64_t rows, DType type, const QconvFinish&, void* values);
  void (*plain)(const int32_t* sums, int64_t rows, int columns, const QconvFinish&);
  int offset;                           // sums are of (u - offset) * s
};
Status conv2d_sparse(const Call&, const SconvIsa&);     // either op

}  // namespace accelnn
