#include "ceilings/ceilings.h"
#include "matmul/amx.h"

namespace accelnn {

// Four products in turn, as registers hold them; every one 16 x 16 sums of 16 groups.
template <class Ops> static void ceiling_tiles(int64_t steps, const void*, int64_t, void* sink) {
  alignas(64) char zeros[amx_tile_bytes] = {};
  amx_begin<Ops>(amx_height);
  Ops::template load<4>(zeros, 64), Ops::template load<5>(zeros, 64), Ops::template load<6>(zeros, 64), Ops::template load<7>(zeros, 64);
  Ops::template zero<0>(), Ops::template zero<1>(), Ops::template zero<2>(), Ops::template zero<3>();
  for (int64_t i = 0; i < steps; i++) {
    Ops::template dot<0, 4, 6>();
    Ops::template dot<1, 5, 6>();
    Ops::template dot<2, 4, 7>();
    Ops::template dot<3, 5, 7>();
  }
  Ops::template store<0>(zeros, 64);
  TileOps::release();
  std::memcpy(sink, zeros, 64);
}

constexpr double groups = 4.0 * amx_height * amx_height * 16;
const Ceiling ceilings_x86_amx[] = {
    {"int8", "AMX INT8", isa::avx512 | isa::vnni | isa::amx, 8 * groups, ceiling_tiles<AmxBytes>},
    {"bf16", "AMX BF16", isa::avx512 | isa::bf16 | isa::amx, 4 * groups, ceiling_tiles<AmxPairs>},
};

}  // namespace accelnn
