// Where the ISAs meet: the loops are compiled once (shared.cpp), an ISA brings its quantizer and its tiles (generic.h).
#pragma once
#include "dynamic_qmatmul/dynamic_qmatmul.h"
#include "quantize/dynamic_quantize.h"

namespace accelnn {

// `rows` rows of k floats into bytes (or 16-bit pairs, where quad_bytes is 8), whole vectors of them.
using QuantizeRows = void (*)(const float* from, int64_t from_row, int64_t rows, int64_t k, char* to, int64_t to_row, float* step, int32_t* zero);

// The two halves of that, where all rows have one step: how far they reach, and their bytes.
using ExtremesOfRows = Extremes (*)(const float* from, int64_t from_row, int64_t rows, int64_t k);
using RowsByStep = void (*)(const float* from, int64_t from_row, int64_t rows, int64_t k, char* to, int64_t to_row, ByteStep by);

// C[rows, columns] of quantized rows and weight panels. The panels' rows of column sums stand behind the k4 groups.
struct DynamicTile {
  int64_t k4;
  const char* a;
  int64_t a_row;              // bytes
  const char* b;
  int64_t b_panel;            // bytes to the next panel
  float* c;
  int64_t c_row;
  int columns;
  const float* step;          // of the rows
  const int32_t* zero;
  const float* scale;         // of the columns: whole vectors are read
  const float* bias;
  int activation;
  bool large;                 // the weights come from the far end of L3 or from memory
};

struct DynamicIsa {
  int quad_bytes;             // of four quantized k
  int rows, columns;          // of a tile
  int narrow_rows, narrow_columns;      // so few rows take one panel at a time: one stream of weights
  QuantizeRows quantize;
  void (*tile)(int rows, const DynamicTile&);
  void (*narrow)(int rows, const DynamicTile&);
  ExtremesOfRows extremes;
  RowsByStep by_step;
  void (*begin)(int rows) = nullptr;     // before the tiles of one part: so many rows, or least_rows and more
  void (*end)() = nullptr;
  int least_rows = 0;         // of a tile, where the part has as many
  int most_narrow = 0;        // rows of a call that goes by narrow tiles; 0: two of them
};
Status dynamic_qmatmul(const Call&, const DynamicIsa&);

}  // namespace accelnn
