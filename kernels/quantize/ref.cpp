// Slow truth of the family: the contract's formula, element by element. Division and product are in float, as the contract says.
#include <cmath>
#include "byte_table.h"
#include "dynamic_quantize.h"
#include "quantize_linear.h"
#include "dequantize_linear.h"

namespace accelnn {

// The channel of element i.
static int64_t channel_of(const TensorView& x, const TensorView& scale, int64_t axis, int64_t i) {
  if (scale.rank == 0) return 0;
  if (axis < 0) axis += x.rank;
  for (int d = x.rank - 1; d > axis; d--) i /= x.shape[d];
  return i % x.shape[axis];
}

template <class T> static void quantize_ref(const Call& c) {
  constexpr double least = T(-1) < T(0) ? -128 : 0, greatest = least + 255;
  const int64_t count = c.in[0].count();
  for (int64_t i = 0; i < count; i++) {
    const int64_t k = channel_of(c.in[0], c.in[1], c.integer(quantize_linear_attr::axis), i);
    const double zero = c.in[2].as<T>()[k], q = ::nearbyint(double(c.in[0].as<float>()[i] / c.in[1].as<float>()[k])) + zero;
    c.out[0].as<T>()[i] = T(q != q ? zero : q < least ? least
                                : q > greatest        ? greatest
                                                      : q);
  }
}
Status quantize_linear_f32_ref(const Call& c) {
  if (c.out[0].dtype == DType::u8) quantize_ref<uint8_t>(c);
  else quantize_ref<int8_t>(c);
  return {};
}

template <class T> static Status dequantize_ref(const Call& c) {
  const int64_t count = c.in[0].count();
  for (int64_t i = 0; i < count; i++) {
    const int64_t k = channel_of(c.in[0], c.in[1], c.integer(dequantize_linear_attr::axis), i);
    const int64_t zero = c.in[2].absent() ? 0 : int64_t(c.in[2].as<T>()[k]);
    c.out[0].as<float>()[i] = float(int64_t(c.in[0].as<T>()[i]) - zero) * c.in[1].as<float>()[k];
  }
  return {};
}
Status dequantize_linear_u8_ref(const Call& c) { return dequantize_ref<uint8_t>(c); }
Status dequantize_linear_i8_ref(const Call& c) { return dequantize_ref<int8_t>(c); }
Status dequantize_linear_i32_ref(const Call& c) { return dequantize_ref<int32_t>(c); }

Status byte_table_u8_ref(const Call& c) {
  const int64_t count = c.in[0].count();
  for (int64_t i = 0; i < count; i++) c.out[0].as<uint8_t>()[i] = c.in[1].as<uint8_t>()[c.in[0].as<uint8_t>()[i]];
  return {};
}

Status dynamic_quantize_f32_ref(const Call& c) {
  const int64_t count = c.in[0].count();
  const float* x = c.in[0].as<float>();
  float low = 0, high = 0;
  bool finite = true;
  for (int64_t i = 0; i < count; i++) {
    finite = finite && std::isfinite(x[i]);
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
  }
  const float scale = high == low ? 1.0f : ::fmaxf((0.5f * high - 0.5f * low) / 127.5f, 1.17549435e-38f);
  const double zero = ::nearbyint(double(::fminf(-low / scale, 255.0f)));
  *c.out[1].as<float>() = finite ? scale : NAN;
  *c.out[2].as<uint8_t>() = finite ? uint8_t(zero) : 0;
  for (int64_t i = 0; i < count; i++) {
    const double q = ::nearbyint(double(x[i] / scale)) + zero;
    c.out[0].as<uint8_t>()[i] = finite ? uint8_t(q < 0 ? 0 : q > 255 ? 255
                                                                     : q)
                                       : 0;
  }
  return {};
}

}  // namespace accelnn
