// Bands of planes: from shapes alone, the same for every row.
#include "conv2d/sizes.h"

namespace accelnn {
namespace conv {

namespace {
constexpr int64_t widest = 16;          // lanes of the widest row: a row of the band has room for a vector behind its end
constexpr int64_t near = 20 << 10;      // bytes of a band, which are read as often as there are taps: two thirds of L1. 26 KB: 5 % slower, stride 2 20 %
}  // namespace

Planes planes_plan(const Geometry& g) {
  Planes p = {};
  const int64_t reach = (g.r - 1) * g.dh + 1, columns = round_up(g.ow, widest) + (g.s - 1) * g.dw / g.sw;
  p.lead = g.sw == 1 ? round_up(g.left, widest) - g.left : 0;           // rows of x are written to whole lines
  p.phase = round_up(p.lead + at_least(columns, divide_up(g.left + g.w + g.right, g.sw)) + widest, widest);
  p.row = times(p.phase, g.sw);
  // Whole blocks of 8 rows, or of 4: a single row waits for its own sums.
  const int64_t fit = near / 4 / at_least(times(p.row, g.cg), 1), rows = at_least((fit - reach) / g.sh + 1, 4);
  p.rows = rows >= 8 ? rows / 8 * 8 : 4;
  p.bands = divide_up(g.oh, p.rows);
  p.plane = times((at_most(p.rows, g.oh) - 1) * g.sh + reach, p.row);
  p.parts = at_most(times(times(g.n, g.groups), p.bands), most_parts);
  p.part = round_up(g.s * 8, 64);
  p.slice = round_up(at_most(times(times(p.plane, g.cg) + widest, 4), huge), 64);
  p.bytes = size_t(at_most(p.part + times(p.parts, p.slice), huge));
  return p;
}

// Of a row's vectors at least 4 in 7 lanes are outputs (depthwise), or 4 in 5: what few-channelled groups have against them are rows of columns and turning.
bool planes_pay(const Geometry& g) {
  const int64_t lanes = round_up(g.ow, widest);
  if (g.groups > 1 && g.cg == 1) return 7 * g.ow >= 4 * lanes;
  const bool full = 5 * g.ow >= 4 * lanes && g.r * g.s > 1;
  return g.groups > 1 ? full && g.cg <= 8 : full && g.cg > 1 && g.cg <= 4 && g.r * g.s <= 9 && g.o >= 16;
}

}  // namespace conv
}  // namespace accelnn
