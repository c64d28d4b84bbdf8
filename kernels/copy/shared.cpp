// Casts from and to the dtypes that nothing is tuned for: a block of elements as double, float or int64, and from there on. A loop for each pair, as the
// others have it, would be 105 more of 1 KB an ISA.
#include "copy/generic.h"

namespace accelnn {
namespace {

// The nearest float, but odd where it is not exact: rounding that to 16 bits gives what rounding the double gives.
ACCELNN_INLINE float odd(double x) {
  const float f = float(x);
  const bool exact = double(f) == x, beyond = (f < 0 ? -double(f) : double(f)) > (x < 0 ? -x : x);
  return float_of(exact ? bits_of(f) : (bits_of(f) - (beyond ? 1 : 0)) | 1);
}
template <class I> ACCELNN_INLINE I saturated(double x, double low, double end, I least, I most) {
  return x >= end ? most : x > low ? I(x)
      : x == x                     ? least
                                   : I(0);
}

template <class T> struct Element {
  static ACCELNN_INLINE double real(T x) { return double(x); }
  static ACCELNN_INLINE float single(T x) { return float(x); }
  static ACCELNN_INLINE int64_t whole(T x) { return int64_t(x); }
  static ACCELNN_INLINE T of(int64_t x) { return T(x); }
  static ACCELNN_INLINE T of(double x) {
    constexpr int bits = 8 * int(sizeof(T));
    constexpr bool natural = T(-1) > T(0);
    constexpr double end = 2.0 * double(uint64_t(1) << (bits - (natural ? 1 : 2)));
    constexpr T most = natural ? T(-1) : T((uint64_t(1) << (bits - 1)) - 1);
    return saturated<T>(x, natural ? -1.0 : -end - 1.0, end, natural ? T(0) : T(-most - 1), most);
  }
};
template <class T> struct Narrow {                       // through float
  static ACCELNN_INLINE double real(T x) { return double(widen(x)); }
  static ACCELNN_INLINE T of(float x) { return narrow<T>(x); }
  static ACCELNN_INLINE T of(double x) { return narrow<T>(odd(x)); }
};
template <> struct Element<half> : Narrow<half> {};
template <> struct Element<bfloat> : Narrow<bfloat> {};
template <> struct Element<float> {
  static ACCELNN_INLINE double real(float x) { return double(x); }
  static ACCELNN_INLINE float of(float x) { return x; }
  static ACCELNN_INLINE float of(double x) { return float(x); }
};
template <> struct Element<double> {
  static ACCELNN_INLINE double real(double x) { return x; }
  static ACCELNN_INLINE double of(double x) { return x; }
};
template <> struct Element<boolean> {
  static ACCELNN_INLINE double real(boolean x) { return x.bits ? 1.0 : 0.0; }
  static ACCELNN_INLINE int64_t whole(boolean x) { return x.bits != 0; }
  static ACCELNN_INLINE boolean of(int64_t x) { return {uint8_t(x != 0)}; }
  static ACCELNN_INLINE boolean of(double x) { return {uint8_t(x != 0)}; }
};

template <class T> void as_double(void* to, const void* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) static_cast<double*>(to)[i] = Element<T>::real(static_cast<const T*>(from)[i]);
}
template <class T> void as_float(void* to, const void* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) static_cast<float*>(to)[i] = Element<T>::single(static_cast<const T*>(from)[i]);
}
template <class T> void as_whole(void* to, const void* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) static_cast<int64_t*>(to)[i] = Element<T>::whole(static_cast<const T*>(from)[i]);
}
template <class T, class Mid> void out_of(void* to, const void* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) static_cast<T*>(to)[i] = Element<T>::of(static_cast<const Mid*>(from)[i]);
}

// In the order of dtype.h.
const ConvertBlock double_of[n_dtypes] = {as_double<float>, as_double<half>, as_double<bfloat>, as_double<int8_t>, as_double<uint8_t>, as_double<int32_t>,
                                          as_double<int64_t>, as_double<boolean>, as_double<double>, as_double<int16_t>, as_double<uint16_t>,
                                          as_double<uint32_t>, as_double<uint64_t>};
const ConvertBlock of_double[n_dtypes] = {out_of<float, double>, out_of<half, double>, out_of<bfloat, double>, out_of<int8_t, double>,
                                          out_of<uint8_t, double>, out_of<int32_t, double>, out_of<int64_t, double>, out_of<boolean, double>,
                                          out_of<double, double>, out_of<int16_t, double>, out_of<uint16_t, double>, out_of<uint32_t, double>,
                                          out_of<uint64_t, double>};
const ConvertBlock single_of[n_dtypes] = {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, as_float<int16_t>,
                                          as_float<uint16_t>, as_float<uint32_t>, as_float<uint64_t>};
const ConvertBlock of_single[] = {out_of<float, float>, out_of<half, float>, out_of<bfloat, float>};
const ConvertBlock whole_of[n_dtypes] = {nullptr, nullptr, nullptr, as_whole<int8_t>, as_whole<uint8_t>, as_whole<int32_t>, as_whole<int64_t>,
                                         as_whole<boolean>, nullptr, as_whole<int16_t>, as_whole<uint16_t>, as_whole<uint32_t>, as_whole<uint64_t>};
const ConvertBlock of_whole[n_dtypes] = {nullptr, nullptr, nullptr, out_of<int8_t, int64_t>, out_of<uint8_t, int64_t>, out_of<int32_t, int64_t>,
                                         out_of<int64_t, int64_t>, out_of<boolean, int64_t>, nullptr, out_of<int16_t, int64_t>,
                                         out_of<uint16_t, int64_t>, out_of<uint32_t, int64_t>, out_of<uint64_t, int64_t>};

}  // namespace

Status cast_seldom(const Call& call) {
  const TensorView &in = call.in[0], &out = call.out[0];
  const int from = int(in.dtype), to = int(out.dtype);
  const bool real = is_real(in.dtype) || out.dtype == DType::f64, single = !real && is_real(out.dtype);
  const ConvertBlock first = real ? double_of[from] : single ? single_of[from]
                                                             : whole_of[from];
  const ConvertBlock then = real ? of_double[to] : single ? of_single[to]
                                                          : of_whole[to];
  int64_t shape[max_rank], stride[1][max_rank];
  const int rank = collapse(&in, 1, shape, stride);
  const int64_t count = out.count(), from_bytes = int64_t(size_of(in.dtype)), to_bytes = int64_t(size_of(out.dtype));
  parallel(call, (count + copy_part - 1) / copy_part, count > INT64_MAX / 32 ? INT64_MAX : count * 32, [&](int64_t part) __attribute__((noinline)) {
    alignas(64) char block[cast_block * 8];
    const int64_t begin = part * copy_part, left = count - begin;
    for_runs({rank, shape, stride[0]}, begin, left < copy_part ? left : copy_part, [&](int64_t offset, int64_t step, int64_t n, int64_t at) {
      for (int64_t i = 0; i < n; i += cast_block) {
        const int64_t some = n - i < cast_block ? n - i : cast_block;
        cast_run(first, block, 8, in.as<char>() + (offset + i * step) * from_bytes, from_bytes, step, some);
        then(out.as<char>() + (begin + at + i) * to_bytes, block, some);
      }
    });
  });
  return {};
}

}  // namespace accelnn
