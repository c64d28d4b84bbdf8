// Bytes from channels first to channels last and back: blocks of 16 x 16 through registers. 256 x 56 x 56 bytes take 54 us one way and 65 the other.
// Tried and left: four blocks at a time in the quarters of 64-byte vectors, planes in whole cache lines (44 and 55 us there, but 268 for 208 us and 432 for
// 374 with 1024 planes), two blocks in 32 bytes (48 for 41 us), and 16, 32, 64 or 128 channels at a time (57 to 77 us for 54): it waits for memory.
#pragma once
#include <cstring>
#include "op.h"

namespace accelnn {
namespace turn {

typedef uint8_t bytes16 __attribute__((vector_size(16)));
#if defined(__clang__)
#define ACCELNN_ZIP(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ACCELNN_ZIP(a, b, ...) __builtin_shuffle(a, b, bytes16{__VA_ARGS__})
#endif
ACCELNN_INLINE bytes16 zip_low(bytes16 a, bytes16 b) { return ACCELNN_ZIP(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
ACCELNN_INLINE bytes16 zip_high(bytes16 a, bytes16 b) { return ACCELNN_ZIP(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); }
#undef ACCELNN_ZIP

// to[i] = column i of 16 rows of 16 bytes. Rows of `from` from number `rows` on count as zeros and are not read.
ACCELNN_INLINE void turn_16(const uint8_t* from, int64_t from_row, int rows, bytes16 (&to)[16]) {
  bytes16 v[16], u[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) {
    v[i] = bytes16{};
    if (i < rows) std::memcpy(&v[i], from + i * from_row, 16);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 8; i++) u[2 * i] = zip_low(v[i], v[i + 8]), u[2 * i + 1] = zip_high(v[i], v[i + 8]);
#pragma GCC unroll 16
  for (int i = 0; i < 8; i++) v[2 * i] = zip_low(u[i], u[i + 8]), v[2 * i + 1] = zip_high(u[i], u[i + 8]);
#pragma GCC unroll 16
  for (int i = 0; i < 8; i++) u[2 * i] = zip_low(v[i], v[i + 8]), u[2 * i + 1] = zip_high(v[i], v[i + 8]);
#pragma GCC unroll 16
  for (int i = 0; i < 8; i++) to[2 * i] = zip_low(u[i], u[i + 8]), to[2 * i + 1] = zip_high(u[i], u[i + 8]);
}

// Three channels of pixels [first, end), from[c * plane + i], to to[i * 3 + c]: a first layer's image. By the 16 x 16 turn below, 13 of whose rows are
// zeros, 128 x 128 pixels took 25 us, half of the convolution to 32 outputs.
inline void three_to_channels_last(const uint8_t* from, int64_t plane, int64_t first, int64_t end, uint8_t* to) {
  typedef uint64_t pairs __attribute__((vector_size(16)));                    // of pixels: three bytes and a zero each
  int64_t i = first;
  for (; i + 18 <= end; i += 16) {                      // a store runs two bytes into the next pixel
    bytes16 rows[3];
#pragma GCC unroll 3
    for (int c = 0; c < 3; c++) std::memcpy(&rows[c], from + c * plane + i, 16);
    const bytes16 even[2] = {zip_low(rows[0], rows[2]), zip_high(rows[0], rows[2])}, odd[2] = {zip_low(rows[1], bytes16{}), zip_high(rows[1], bytes16{})};
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
      const pairs v = reinterpret_cast<pairs>(n % 2 ? zip_high(even[n / 2], odd[n / 2]) : zip_low(even[n / 2], odd[n / 2]));
      const pairs six = (v & 0xffffff) | (v >> 8 & 0xffffff000000);
      std::memcpy(to + (i + 4 * n) * 3, &six, 8);
      std::memcpy(to + (i + 4 * n) * 3 + 6, reinterpret_cast<const char*>(&six) + 8, 8);
    }
  }
  for (; i < end; i++)
    for (int64_t c = 0; c < 3; c++) to[i * 3 + c] = from[c * plane + i];
}

// Channel c of pixel i, from[c * plane + i], to to[offset(i) + c], for i in [first, end).
template <class F> inline void to_channels_last(const uint8_t* from, int64_t plane, int64_t channels, int64_t first, int64_t end, uint8_t* to,
                                                const F& offset) {
  if (end - first < 16) {
    for (int64_t i = first; i < end; i++) {
      uint8_t* const at = to + offset(i);
      for (int64_t c = 0; c < channels; c++) at[c] = from[c * plane + i];
    }
    return;
  }
  if (channels < 16) {
    // Whole vectors: what runs into the next pixel, or into the border, is written afterwards. Not beyond the last one.
    uint8_t* const stop = to + offset(end - 1) + channels;
    for (int64_t i = first; i < end; i += 16) {
      if (i + 16 > end) i = end - 16;
      bytes16 turned[16];
      turn_16(from + i, plane, int(channels), turned);
      for (int n = 0; n < 16; n++) {
        uint8_t* const at = to + offset(i + n);
        if (at + 16 <= stop) std::memcpy(at, &turned[n], 16);
        else
          for (int64_t c = 0; c < channels; c++) at[c] = turned[n][c];
      }
    }
    return;
  }
  for (int64_t i = first; i < end; i += 16) {
    if (i + 16 > end) i = end - 16;                       // the last block begins earlier
    int64_t at[16];
    for (int n = 0; n < 16; n++) at[n] = offset(i + n);
    for (int64_t c = 0; c < channels; c += 16) {
      if (c + 16 > channels) c = channels - 16;
      bytes16 turned[16];
      turn_16(from + c * plane + i, plane, 16, turned);
#pragma GCC unroll 16
      for (int n = 0; n < 16; n++) std::memcpy(to + at[n] + c, &turned[n], 16);
    }
  }
}

// Rows of pixels, channel c of pixel i at from[i * row + c], to to[c * plane + i].
inline void to_channels_first(const uint8_t* from, int64_t row, int64_t pixels, int64_t channels, uint8_t* to, int64_t plane) {
  if (channels < 16 || pixels < 16) {
    for (int64_t c = 0; c < channels; c++)
      for (int64_t i = 0; i < pixels; i++) to[c * plane + i] = from[i * row + c];
    return;
  }
  for (int64_t c = 0; c < channels; c += 16) {
    if (c + 16 > channels) c = channels - 16;
    for (int64_t i = 0; i < pixels; i += 16) {
      if (i + 16 > pixels) i = pixels - 16;
      bytes16 turned[16];
      turn_16(from + i * row + c, row, 16, turned);
#pragma GCC unroll 16
      for (int n = 0; n < 16; n++) std::memcpy(to + (c + n) * plane + i, &turned[n], 16);
    }
  }
}

}  // namespace turn
}  // namespace accelnn
