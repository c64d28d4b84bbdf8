// copy and cast. The compiler's own loops are as fast as memory here; what matters is the order in which lines are touched.
#pragma once
#include "copy/cast.h"
#include "copy/convert.h"
#include "copy/strided.h"
#include "copy/turn.h"
#include "pool.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {

constexpr int64_t copy_part = 1 << 16;                 // elements

// y[i, ..., j] = x[i + j * stride]: a transpose. Blocks of 16 rows x 8 columns: every line that is read serves 16 rows while it is in L1, and 8
// lines a power of two apart still fit one set.
template <class T> ACCELNN_INLINE void transpose(T* y, int64_t y_row, const T* x, int64_t stride, int64_t rows, int64_t columns) {
  constexpr int64_t R = 16, C = 8;
  for (int64_t i = 0; i < rows; i += R) {
    for (int64_t j = 0; j < columns; j += C) {
      if (i + R <= rows && j + C <= columns) {
        for (int64_t r = 0; r < R; r++)
          for (int64_t c = 0; c < C; c++) y[(i + r) * y_row + j + c] = x[i + r + (j + c) * stride];
      } else {
        for (int64_t r = i; r < rows && r < i + R; r++)
          for (int64_t c = j; c < columns && c < j + C; c++) y[r * y_row + c] = x[r + c * stride];
      }
    }
  }
}

template <class T> ACCELNN_INLINE void turn_part(T* y, int64_t y_row, const T* x, int64_t stride, int64_t rows, int64_t columns, bool past) {
  if (y_row == columns && columns <= 4) {
    if (columns == 2) return zip_columns<2>(y, x, stride, rows);
    if (columns == 3) return zip_columns<3>(y, x, stride, rows);
    return zip_columns<4>(y, x, stride, rows);
  }
  if (stride == rows && rows <= 4) {
    if (rows == 2) return unzip_columns<2>(y, y_row, x, columns);
    if (rows == 3) return unzip_columns<3>(y, y_row, x, columns);
    return unzip_columns<4>(y, y_row, x, columns);
  }
  if (sizeof(T) == 4 && (rows >= 12 || columns >= 12)) {
    float* to = reinterpret_cast<float*>(y);
    const float* from = reinterpret_cast<const float*>(x);
    past ? turn_band<true>(to, y_row, from, stride, rows, columns) : turn_band<false>(to, y_row, from, stride, rows, columns);
  } else {
    transpose(y, y_row, x, stride, rows, columns);
  }
}

template <class T> Status run_copy(const Call& call) {
  const TensorView &in = call.in[0], &out = call.out[0];
  const T* x = in.as<T>();
  T* y = out.as<T>();
  const int64_t count = out.count();
  if (count == 0) return {};                           // no columns would be turned as four
  int64_t shape[max_rank], stride[1][max_rank];
  const int rank = collapse(&in, 1, shape, stride), inner = rank - 1;
  const int64_t* step = stride[0];
  const int64_t worth = count > INT64_MAX / 32 ? INT64_MAX : count * int64_t(2 * sizeof(T));

  int unit = -1;                                       // the dim whose neighbours lie side by side in x
  for (int d = 0; d < inner; d++)
    if (step[d] == 1) unit = d;
  if (rank > 1 && step[inner] > 1 && unit >= 0) {
    int64_t others = 1, y_step[max_rank];
    for (int64_t d = inner, n = 1; d >= 0; n *= shape[d--]) y_step[d] = n;
    for (int d = 0; d < inner; d++)
      if (d != unit) others *= shape[d];
    const int64_t width = shape[inner], rows = width <= 4 ? 4096 : shape[unit] <= 4 ? 4
                                                                                    : 64;
    const bool aligned = reinterpret_cast<uintptr_t>(y) % vector_bytes == 0 && y_step[unit] % lanes == 0 && width % lanes == 0 && shape[unit] % lanes == 0;
    const bool past = sizeof(T) == 4 && vector_bytes >= 32 && count * 4 >= stream_bytes && aligned;      // a quarter of a line at a time goes past nothing
    const int64_t bands = shape[unit] < 2 * rows ? 1 : shape[unit] / rows;                  // the last one takes what is left over
    parallel(call, others * bands, 2 * worth, [&](int64_t part) __attribute__((noinline)) {
      const int64_t first = part % bands * rows, left = shape[unit] - first;
      int64_t rest = part / bands, from = first, to = first * y_step[unit];
      for (int d = inner - 1; d >= 0; d--) {
        if (d == unit) continue;
        from += rest % shape[d] * step[d];
        to += rest % shape[d] * y_step[d];
        rest /= shape[d];
      }
      turn_part(y + to, y_step[unit], x + from, step[inner], part % bands == bands - 1 ? left : rows, width, past);
      if (past) finish_past();
    });
    return {};
  }
  parallel(call, (count + copy_part - 1) / copy_part, worth, [&](int64_t part) __attribute__((noinline)) {
    const int64_t first = part * copy_part, left = count - first;
    for_runs({rank, shape, step}, first, left < copy_part ? left : copy_part, [&](int64_t offset, int64_t s, int64_t n, int64_t at) {
      const T* from = x + offset;
      T* to = y + first + at;
      if (s == 1) std::memcpy(to, from, size_t(n) * sizeof(T));
      else if (s == 0)
        for (int64_t i = 0; i < n; i++) to[i] = *from;
      else
        for (int64_t i = 0; i < n; i++) to[i] = from[i * s];
    });
  });
  return {};
}

// One contiguous loop a pair of dtypes, everything around it once: with the walk inlined into each pair this file was 650 KB an ISA.
template <class To, class From> __attribute__((noinline)) void convert_block(void* to, const void* from, int64_t n) {
  To* y = static_cast<To*>(to);
  const From* x = static_cast<const From*>(from);
  for (int64_t i = 0; i < n; i++) y[i] = convert<To>(x[i]);
}
typedef void (*ConvertBlock)(void*, const void*, int64_t);

template <class T> void gather_block(T* to, const T* from, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = from[i * stride];
}
constexpr int64_t cast_block = 512;                    // elements of a strided run that are brought together before they are converted

ACCELNN_APART inline void cast_run(ConvertBlock convert, char* to, int64_t to_bytes, const char* from, int64_t from_bytes, int64_t stride,
                                   int64_t n) {
  if (stride == 1) return convert(to, from, n);
  alignas(64) char block[cast_block * 8];
  for (int64_t at = 0; at < n; at += cast_block) {
    const int64_t length = n - at < cast_block ? n - at : cast_block;
    const char* x = from + at * stride * from_bytes;
    switch (from_bytes) {
      case 1: gather_block(reinterpret_cast<uint8_t*>(block), reinterpret_cast<const uint8_t*>(x), stride, length); break;
      case 2: gather_block(reinterpret_cast<uint16_t*>(block), reinterpret_cast<const uint16_t*>(x), stride, length); break;
      case 4: gather_block(reinterpret_cast<uint32_t*>(block), reinterpret_cast<const uint32_t*>(x), stride, length); break;
      default: gather_block(reinterpret_cast<uint64_t*>(block), reinterpret_cast<const uint64_t*>(x), stride, length);
    }
    convert(to + at * to_bytes, block, length);
  }
}

ACCELNN_APART inline Status cast_with(const Call& call, ConvertBlock convert) {
  const TensorView &in = call.in[0], &out = call.out[0];
  const int64_t count = out.count(), from_bytes = int64_t(size_of(in.dtype)), to_bytes = int64_t(size_of(out.dtype));
  int64_t shape[max_rank], stride[1][max_rank];
  const int rank = collapse(&in, 1, shape, stride);
  parallel(call, (count + copy_part - 1) / copy_part, count > INT64_MAX / 16 ? INT64_MAX : count * 16, [&](int64_t part) __attribute__((noinline)) {
    const int64_t first = part * copy_part, left = count - first;
    for_runs({rank, shape, stride[0]}, first, left < copy_part ? left : copy_part, [&](int64_t offset, int64_t s, int64_t n, int64_t at) {
      cast_run(convert, out.as<char>() + (first + at) * to_bytes, to_bytes, in.as<char>() + offset * from_bytes, from_bytes, s, n);
    });
  });
  return {};
}

template <class From> Status run_cast(const Call& call) {
  if (is_seldom(call.out[0].dtype)) return cast_seldom(call);
  static const ConvertBlock to[] = {convert_block<float, From>, convert_block<half, From>, convert_block<bfloat, From>,
                                    convert_block<int8_t, From>, convert_block<uint8_t, From>, convert_block<int32_t, From>,
                                    convert_block<int64_t, From>, convert_block<boolean, From>};
  return cast_with(call, to[int(call.out[0].dtype)]);
}

}  // namespace ACCELNN_TARGET
}  // namespace accelnn
