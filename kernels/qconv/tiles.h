// Where the ISAs meet: the loops are compiled once (shared.cpp), an ISA brings its tiles (generic.h).
#pragma once
#include "qconv/qconv2d_packed.h"

namespace accelnn {

constexpr int64_t qconv_columns = 64;          // outputs that are finished together, of any ISA's tile

// What becomes of the sums. plain: bytes by scales in (0, 1/2], where no intermediate number leaves its type; else the sums themselves are wanted.
struct QconvFinish {
  const int32_t* start;       // of the columns: bias - (zero point - offset) * sum of the weights; whole tiles are read, of both
  const float* scale;
  int zero;
  bool relu, plain;
  uint8_t* y;                 // plain
  int64_t y_row;
  int32_t* sums;              // else, rows of qconv_columns
};

// Some pixels of a line against the weights of a tile's columns.
struct QconvTile {
  const uint8_t* x;           // the window of the first pixel
  int64_t step;               // bytes to the next one's
  int64_t pieces_h, h_step, pieces_w, w_step, quads;       // of a window; quads of a piece
  const char* b;
  int64_t b_panel;
  QconvFinish finish;
};

// Some pixels of a line, at most qconv_columns channels. Weights, start and scale in the order of the ISA's lanes; weights in quads of four rows of a
// column, those of the upper rows first.
constexpr int64_t qconv_depthwise_pixels = 28;
struct QconvDepthwise {
  const uint8_t* x;
  int64_t pixel, stride, pixels;               // bytes from pixel to pixel; from window to window in pixels
  int64_t rows, row_step, taps, dilation;      // of the window
  const char* w;
  int columns;                // channels, whole vectors of bytes
  QconvFinish finish;
};

// Lines of a map of depthwise windows of 3 x 3, plain, channels last: the channels of a vector, or of a part of one (in start, scale and weights `fold`
// times).
struct QconvLines {
  const uint8_t *x, *x_end;   // the first channel; where the image ends
  int64_t h, w, row, pixel;   // of x; bytes from row to row, from pixel to pixel
  int64_t top, left, stride_h, stride_w;
  uint8_t x_zero;
  int64_t line0, line1, width;                 // of the map
  int64_t channels, fold;
  const char* w_quads;
  QconvFinish finish;         // y, y_row: of the map
};

// Some tiles of four by four outputs at one of their 36 points: pairs of 16-bit numbers.
struct WinogradProduct {
  int64_t pairs;
  const char* a;
  int64_t a_row;
  const char* b;              // 64 bytes a pair
  int64_t b_panel;
  int32_t* sums;              // rows of qconv_columns
};

struct WinogradIsa {
  int rows, columns, narrow_rows, narrow_columns;
  void (*weights)(const char* panel, int64_t channels, char* to);
  void (*input)(const uint8_t* x, int64_t row, int64_t channels, char* to, int64_t point);
  void (*product)(int rows, const WinogradProduct&);
  void (*narrow)(int rows, const WinogradProduct&);
  void (*output)(const int32_t* from, int64_t point, int columns, const int32_t* start, int32_t* to);
  void (*plain)(const int32_t* sums, int64_t rows, int columns, const QconvFinish&);
};

struct QconvIsa {
  int rows, columns, narrow_rows, narrow_columns;
  void (*tile)(int rows, const QconvTile&);
  void (*narrow)(int rows, const QconvTile&);
  void (*depthwise)(const QconvDepthwise&);
  void (*lines)(const QconvLines&);
  // Sums to values of any type: rows of qconv_columns of them.
  void (*finish)(const int32_t* sums, int64_t rows, DType type, const QconvFinish&, void* values);
  int vector_bytes;
  int offset;                 // sums are of (u - offset) * s
  WinogradIsa winograd;
};
Status qconv2d_packed(const Call&, const QconvIsa&);

}  // namespace accelnn
