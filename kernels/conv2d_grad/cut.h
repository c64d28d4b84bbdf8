// Sizes of workspaces.
#pragma once
#include "conv2d/sizes.h"
#include "conv2d_grad/layout.h"

namespace accelnn {
namespace conv_grad {

using conv::Cut;
using conv::huge;
using conv::plus;
using conv::times;

// Distances that are no multiple of 2 KiB: rows there would share L1 sets.
inline int64_t spread(int64_t n) { return n % 512 == 0 ? n + 16 : n; }

// wgrad by register tiles of 14 outputs by 32 channels: up to three by two of them go over the same pixels, whose numbers come from L2 or L3 six times less
// often than for single tiles; their sums are L2's. 2x2, 3x3, 4x4 at a stride of 2: 88, 95, 104 instead of 70, 77, 88 GFLOP/s; 5x5 by Winograd on two threads
// 3.9 instead of 5.0 ms. Blocks of outputs: work for four, and nobody alone at the end.
inline int64_t channel_block(const Geometry& g) { return g.cg > 2 * panel_width ? 2 * panel_width : panel_width; }
inline int64_t out_blocks(int64_t outs, int64_t others) {
  int64_t blocks = divide_up(outs, 3 * most_outs);
  while (times(blocks, others) < 4 && blocks * most_outs < outs) blocks++;
  return blocks > 1 && times(blocks, others) % 2 ? blocks + 1 : blocks;
}

}  // namespace conv_grad
}  // namespace accelnn
