#include "matmul/amx.h"
#include "matmul/gemm_i8.h"

namespace accelnn {

static void amx_tile(int rows, const I8Tile& t, I8Sums& sums) {
  static_assert(sizeof(I8Sums) == sizeof(AmxSums) && i8_most_columns == amx_columns);
  amx_product<TileOps>(t.k4, static_cast<const char*>(t.a), t.a_row, rows, static_cast<const char*>(t.b), t.b_panel, reinterpret_cast<AmxSums&>(sums));
}
Status qmatmul_u8_x86_amx(const Call& call) { return qmatmul(call, {amx_rows, amx_columns, amx_tile, ACCELNN_I8_FINISH<false>}); }

}  // namespace accelnn
