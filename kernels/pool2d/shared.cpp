#include "bytes.h"

namespace accelnn {
namespace {

using namespace pool2d;

typedef uint8_t bytes16 __attribute__((vector_size(16)));
constexpr int64_t stretch = 512;             // columns at a time, in L1

// to[i] = max(to[i], from[i]), i in [0, n); `to` has 16 bytes of room behind, of which nothing is kept
void keep_larger(uint8_t* to, const uint8_t* from, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    bytes16 a, b;
    std::memcpy(&a, to + i, 16);
    std::memcpy(&b, from + i, 16);
    a = a > b ? a : b;
    std::memcpy(to + i, &a, 16);
  }
  for (; i < n; i++) to[i] = from[i] > to[i] ? from[i] : to[i];
}

// Any window: first the columns' maxima, then from column to column, then every stride_w-th. Padding is 0, the least byte.
void any_row(const Window& g, const uint8_t* x, int64_t oh, uint8_t* y) {
  const int64_t h = g.row(oh);
  const Cut r = cut(h, g.kernel_h, g.h);
  if (g.kernel_w > stretch / 2 || g.stride_w > stretch / 2) {
    for (int64_t ow = 0; ow < g.ow; ow++) max_at_edge<uint8_t>(g, x, oh, ow, y, nullptr);
    return;
  }
  const int64_t most = (stretch - g.kernel_w) / g.stride_w + 1;
  for (int64_t ow = 0; ow < g.ow; ow += most) {
    const int64_t count = g.ow - ow < most ? g.ow - ow : most, columns = (count - 1) * g.stride_w + g.kernel_w, w = g.column(ow);
    const Cut s = cut(w, columns, g.w);
    uint8_t down[stretch] = {}, best[stretch];
    for (int64_t i = r.begin; i < r.end; i++) keep_larger(down + s.begin, x + (h + i) * g.w + w + s.begin, s.end - s.begin);
    const int64_t starts = columns - g.kernel_w + 1;
    std::memcpy(best, down, size_t(starts));
    for (int64_t j = 1; j < g.kernel_w; j++) keep_larger(best, down + j, starts);
    for (int64_t i = 0; i < count; i++) y[ow + i] = best[i * g.stride_w];
  }
}

}  // namespace

Status max_pool2d_bytes(const Call& c, TilePlane tile_plane) {
  const Window g = window_of(c, c.in[0], c.out[0]);
  int32_t* const index = c.out[1].absent() ? nullptr : c.out[1].as<int32_t>();
  over_planes(c, g, [&](int64_t p) {
    const uint8_t* x = c.in[0].as<uint8_t>() + p * g.h * g.w;
    int64_t at = p * g.oh * g.ow;
    if (!index && g.tiles_2x2()) return tile_plane(x, g.w, c.out[0].as<uint8_t>() + at, g.oh, g.ow);
    for (int64_t oh = 0; oh < g.oh; oh++, at += g.ow) {
      uint8_t* y = c.out[0].as<uint8_t>() + at;
      if (!index) any_row(g, x, oh, y);
      else
        for (int64_t ow = 0; ow < g.ow; ow++) max_at_edge(g, x, oh, ow, y, index + at);
    }
  });
  return {};
}

}  // namespace accelnn
