#include "dynamic_qmatmul/generic.h"
#include "matmul/amx.h"

namespace accelnn {

// The sums of a tile of 32 columns on their way from L1: the same operations as in every other row, columns' factors kept in registers.
template <bool Bias, bool Relu> static void amx_finish(const DynamicTile& t, const int32_t* sums, int rows) {
  vu weights[2];
  vf scale[2], bias[2];
  for (int j = 0; j < 2; j++) {
    weights[j] = reinterpret_cast<vu>(load_bits(t.b + 64 * t.k4 + j * t.b_panel));
    scale[j] = load(t.scale + j * lanes);
    if (Bias) bias[j] = load(t.bias + j * lanes);
  }
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
      const vu shifted = reinterpret_cast<vu>(load_bits(sums + i * amx_columns + j * lanes)) - weights[j] * uint32_t(t.zero[i]);
      vf y = to_float(reinterpret_cast<vi>(shifted)) * (scale[j] * t.step[i]);
      if (Bias) y += bias[j];
      if (Relu) y = max(y, vf{});
      store(t.c + i * t.c_row + j * lanes, y);
    }
}

static void amx_bytes(int rows, const DynamicTile& t) {
  alignas(64) int32_t sums[amx_rows * amx_columns];
  amx_tile<AmxBytes>({4 * t.k4, t.a, t.a_row, t.b, t.b_panel, reinterpret_cast<char*>(sums), 4 * amx_columns, false}, rows,
                     t.b_panel ? amx_columns : amx_panel_columns);
  if (t.columns < amx_columns || t.activation > activation::relu) return finish_sums(t, sums, amx_columns, rows);
  const bool relu = t.activation == activation::relu;
  (t.bias ? relu ? amx_finish<true, true> : amx_finish<true, false> : relu ? amx_finish<false, true>
                                                                           : amx_finish<false, false>)(t, sums, rows);
}
static void amx_start(int rows) { amx_begin<AmxBytes>(rows < amx_height ? rows : amx_height); }

// Against the VNNI row, GOP/s on one busy core: 16 x 768 x 768 1910 (525), 8 1290 (510), 4 730 (440), 2 393 (317), 1 equal; 512^3 1890 (620). Against the
// best of torch and onnxruntime, which has AMX too: 512^3 1.7x, 1024^3 1.4x, 16 x 768 x 3072 1.1x. Tiles with all columns inside (A in L1, the weights in
// the order in which they lie) are 11 % faster at 512 and 15 % at 1024 than with all rows inside, 4 % slower at 2048.
Status dynamic_qmatmul_f32_x86_amx(const Call& call) {
  DynamicIsa isa = dynamic_isa();      // few rows stay with the vectors
  isa.rows = amx_rows;
  isa.columns = amx_columns;
  isa.tile = amx_bytes;
  isa.most_narrow = 1;
  isa.begin = amx_start;
  isa.end = TileOps::release;
  isa.least_rows = amx_height;
  return dynamic_qmatmul(call, isa);
}

}  // namespace accelnn
