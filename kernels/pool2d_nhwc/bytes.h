// The largest bytes of windows where channels lie side by side.
#pragma once
#include "pool2d_nhwc/pool2d_nhwc.h"
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

struct ByteWindow {
  int64_t rows, columns, row, pixel;
};
// W channels at a time; the last ones begin earlier, so channels >= W.
template <int W> ACCELNN_INLINE void largest_bytes(const uint8_t* from, const ByteWindow& w, int64_t channels, uint8_t* to) {
  typedef uint8_t bytes __attribute__((vector_size(W)));
  for (int64_t c = 0; c < channels; c += W) {
    if (c + W > channels) c = channels - W;
    bytes most = {};
    if (w.rows == 2 && w.columns == 2) {
      bytes v[4];
      for (int i = 0; i < 4; i++) std::memcpy(&v[i], from + i / 2 * w.row + i % 2 * w.pixel + c, W);
      const bytes top = v[0] > v[1] ? v[0] : v[1], low = v[2] > v[3] ? v[2] : v[3];
      most = top > low ? top : low;
      std::memcpy(to + c, &most, W);
      continue;
    }
    for (int64_t r = 0; r < w.rows; r++)
      for (int64_t s = 0; s < w.columns; s++) {
        bytes v;
        std::memcpy(&v, from + r * w.row + s * w.pixel + c, W);
        most = v > most ? v : most;
      }
    std::memcpy(to + c, &most, W);
  }
}

inline Status pool2d_nhwc_bytes(const Call& call) {
  const PoolNhwc p = pool_nhwc(call);
  const uint8_t* const x = call.in[0].as<uint8_t>();
  uint8_t* const y = call.out[0].as<uint8_t>();
  const int64_t lines = p.n * p.oh, parts = lines < 64 ? lines : 64, row = p.w * p.c;
  parallel(call, parts, lines * p.ow * p.c * (4 + p.kernel_h * p.kernel_w) / 4, [&](int64_t part) {
    for (int64_t line = lines * part / parts; line < lines * (part + 1) / parts; line++) {
      const int64_t top = line % p.oh * p.stride_h - p.top, r0 = top < 0 ? 0 : top, r1 = top + p.kernel_h < p.h ? top + p.kernel_h : p.h;
      for (int64_t j = 0; j < p.ow; j++) {
        const int64_t left = j * p.stride_w - p.left, s0 = left < 0 ? 0 : left, s1 = left + p.kernel_w < p.w ? left + p.kernel_w : p.w;
        const ByteWindow w = {r1 - r0, s1 - s0, row, p.c};
        const uint8_t* const from = x + (line / p.oh * p.h + r0) * row + s0 * p.c;
        uint8_t* const to = y + (line * p.ow + j) * p.c;
        if (p.c >= vector_bytes) largest_bytes<vector_bytes>(from, w, p.c, to);
        else if (p.c >= 16) largest_bytes<16>(from, w, p.c, to);
        else largest_bytes<1>(from, w, p.c, to);
      }
    }
  });
  return {};
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
