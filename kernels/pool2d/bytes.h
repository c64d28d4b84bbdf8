// max_pool2d of bytes. 2x2 tiles take the largest of four in byte lanes; every other window takes one path for all ISAs (shared.cpp).
#pragma once
#include "window.h"

namespace accelnn {

// The 2x2 tiles of a plane: y[i, j] = the largest of x[2 i, 2 j], x[2 i, 2 j + 1] and the two below.
using TilePlane = void (*)(const uint8_t* x, int64_t w, uint8_t* y, int64_t oh, int64_t ow);
Status max_pool2d_bytes(const Call& c, TilePlane tile_plane);

inline namespace ACCELNN_TARGET {
namespace pool2d {

template <int W> struct ByteVector {
  typedef uint8_t bytes __attribute__((vector_size(W)));
  typedef uint16_t pairs __attribute__((vector_size(W)));
  typedef uint8_t half __attribute__((vector_size(W / 2)));
};
template <class Half, class Pairs> ACCELNN_INLINE Half narrowed(Pairs p) { return __builtin_convertvector(p, Half); }

// W bytes of each row at a time. A last vector that is not full begins further left and writes some outputs again: they do not change.
template <int W> ACCELNN_INLINE void max_tiles(const uint8_t* x, int64_t w, uint8_t* y, int64_t oh, int64_t ow) {
  using pairs = typename ByteVector<W>::pairs;
  constexpr int64_t step = W / 2;
  for (; oh > 0; oh--, x += 2 * w, y += ow)
    for (int64_t i = 0; i < ow; i += step) {
      const int64_t at = i + step <= ow ? i : ow - step;
      typename ByteVector<W>::bytes a, b;
      std::memcpy(&a, x + 2 * at, W);
      std::memcpy(&b, x + w + 2 * at, W);
      a = a > b ? a : b;
      b = reinterpret_cast<decltype(b)>(reinterpret_cast<pairs>(a) >> 8);
      a = a > b ? a : b;
      const auto best = narrowed<typename ByteVector<W>::half>(reinterpret_cast<pairs>(a) & 0xff);
      std::memcpy(y + at, &best, size_t(step));
    }
}
inline void max_tile_plane(const uint8_t* x, int64_t w, uint8_t* y, int64_t oh, int64_t ow) {
  if (vector_bytes > 16 && ow >= vector_bytes / 2) return max_tiles<vector_bytes>(x, w, y, oh, ow);
  if (ow >= 8) return max_tiles<16>(x, w, y, oh, ow);
  if (ow >= 4) return max_tiles<8>(x, w, y, oh, ow);
  for (; oh > 0; oh--, x += 2 * w, y += ow)
    for (int64_t i = 0; i < ow; i++) {
      const uint8_t *p = x + 2 * i, *q = p + w, a = p[0] > p[1] ? p[0] : p[1], b = q[0] > q[1] ? q[0] : q[1];
      y[i] = a > b ? a : b;
    }
}

}  // namespace pool2d
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
