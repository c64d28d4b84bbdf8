// conv2d with outputs as lanes (pixels.h): from shapes alone, the same for every row.
#include "conv2d/sizes.h"

namespace accelnn {
namespace conv {

namespace {
constexpr int64_t wide = 16;            // outputs of a panel
int64_t lines(int64_t count, int64_t size) { return round_up(at_most(times(count, size), huge), 64); }
}  // namespace

Pixels pixels_plan(const Geometry& g) {
  Pixels p = {};
  p.band = band(g, 256, false);         // sums of so many pixels stay in L1 until they are turned
  p.weights = p.offsets + lines(times(g.c, g.r), 8);
  p.start = p.weights + lines(times(g.k, wide), 4);
  p.part = p.start + wide * 4;
  p.sums = lines(p.band.copy ? times(g.c, p.band.plane) : 0, 4);
  p.slice = at_most(p.sums + lines(times(p.band.rows, g.ow), wide * 4), huge);
  p.parts = at_most(times(g.n, p.band.count), most_parts);
  p.bytes = size_t(at_most(p.part + times(p.parts, p.slice), huge));
  return p;
}

// Few lanes lost, and pixels of a row enough that no sum waits for itself.
bool pixels_pay(const Geometry& g) {
  const bool taps = (g.s == 3 || g.s == 5 || g.s == 7) && g.sw == 1 && g.dw == 1;
  return taps && g.groups == 1 && g.o > 12 && g.o <= wide && g.k >= 32 && g.ow >= 5;
}

}  // namespace conv
}  // namespace accelnn
