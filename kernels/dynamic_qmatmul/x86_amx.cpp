#include "dynamic_qmatmul/generic.h"
#include "matmul/amx.h"

namespace accelnn {

// The sums come out of the tiles through L1, then the same arithmetic as in every other row.
static void amx_tile(int rows, const DynamicTile& t) {
  AmxSums sums;
  amx_product<TileOps>(t.k4, t.a, t.a_row, rows, t.b, t.b_panel, sums);
  finish_sums(t, sums.at[0], amx_columns, rows);
}

Status dynamic_qmatmul_f32_x86_amx(const Call& call) {
  DynamicIsa isa = dynamic_isa();      // few rows stay with the vectors: a tile instruction takes as long for one row as for 16
  isa.rows = amx_rows;
  isa.columns = amx_columns;
  isa.tile = amx_tile;
  isa.narrow_rows = 4;                 // twice as many at most
  return dynamic_qmatmul(call, isa);
}

}  // namespace accelnn
