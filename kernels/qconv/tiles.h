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

// Some pixels of a line, at most qconv_columns channels. Weights, start and scale in the order of the ISA's lanes.
struct QconvDepthwise {
  const uint8_t* x;
  int64_t step, pixels;
  int64_t rows, row_step, taps, tap_step;      // of the window
  const char* w;
  int columns;                // channels, whole vectors of bytes
  QconvFinish finish;
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
  // Sums to values of any type: rows of qconv_columns of them.
  void (*finish)(const int32_t* sums, int64_t rows, DType type, const QconvFinish&, void* values);
  int vector_bytes;
  int offset;                 // sums are of (u - offset) * s
  WinogradIsa winograd;
};
Status qconv2d_packed(const Call&, const QconvIsa&);

}  // namespace accelnn
