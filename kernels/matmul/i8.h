// Where the ISAs meet in the byte kernels. The loops around the tiles are compiled once for all (shared.cpp here and in conv2d); an ISA brings its
// tiles and its epilogue (gemm_i8.h). A copy of the loops in every row took 30 KB of each program and gained nothing.
#pragma once
#include "op.h"

namespace accelnn {

constexpr int i8_most_rows = 32, i8_most_columns = 32;       // of any ISA's tile

// A: 32-bit group k of row i at a + i * a_row + 4 k. B: group (k, column j) at b + k * b_row + j / 16 * b_panel + j % 16 * 4. Strides in bytes;
// a packed panel row is 64 bytes: b_row = 64, or b_row = 64 * panels, b_panel = 64 in a local buffer. All columns of a tile are read and computed.
struct I8Tile {
  int64_t k4;                 // groups of four k; the caller pads the last one with zeros in the SIGNED operand
  const void* a;
  int64_t a_row;
  const void* b;
  int64_t b_row, b_panel;
};
struct alignas(64) I8Sums { int32_t at[i8_most_rows][i8_most_columns]; };

// What becomes of the sums: v = sum + start; relu: max(v, 0); then i32 v, f32 float(v) * scale, or u8 clamp(zero + rint(float(v) * scale), 0, 255).
// `start` and `scale` belong to columns (matmul) or rows (convolution); start = bias - (zero point - I8Isa::offset) * sum of the weights.
struct Requantize {
  DType type;                 // of the output
  const float* scale;
  const int32_t* start;
  int zero;
  bool relu;
};

struct I8Isa {
  int rows, columns;          // of a tile
  void (*tile)(int rows, const I8Tile&, I8Sums&);
  void (*finish)(const I8Sums&, int rows, int columns, void* out, int64_t out_row, const Requantize&);
  int offset = 0;             // the tile's sums are of (u - offset) * s: 128 where the ISA multiplies signed by signed bytes only
  void (*begin)(int rows) = nullptr;     // before the tiles of one part of qmatmul: so many rows, or least_rows and more
  void (*end)() = nullptr;
  int least_rows = 0;         // of a tile, where the part has as many
};
Status qmatmul(const Call&, const I8Isa&);       // its tiles broadcast the unsigned operand
Status qconv2d(const Call&, const I8Isa&);       // the signed one

}  // namespace accelnn
