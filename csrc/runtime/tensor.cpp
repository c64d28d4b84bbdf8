#include "tensor.h"
#include "text.h"

namespace accelnn {

const char* name_of(DType t) {
  static const char names[n_dtypes][5] = {"f32", "f16", "bf16", "i8", "u8", "i32", "i64", "bool", "f64", "i16", "u16", "u32", "u64"};
  return names[int(t)];
}

Extent extent_of(const TensorView& v) {
  const char* base = static_cast<const char*>(v.data);
  if (v.absent() || v.count() == 0) return {base, base};
  int64_t last = 0;
  for (int i = 0; i < v.rank; i++) last += (v.shape[i] - 1) * v.stride[i];
  return {base, base + (last + 1) * int64_t(size_of(v.dtype))};
}

bool overlap(const TensorView& a, const TensorView& b) {
  const Extent x = extent_of(a), y = extent_of(b);
  return x.begin != x.end && y.begin != y.end && x.begin < y.end && y.begin < x.end;
}

bool same_memory(const TensorView& a, const TensorView& b) {
  if (a.data != b.data || a.dtype != b.dtype || !same_shape(a, b)) return false;
  for (int i = 0; i < a.rank; i++)
    if (a.shape[i] > 1 && a.stride[i] != b.stride[i]) return false;
  return true;
}

ShapeText describe(const TensorView& v) {
  ShapeText s;
  int at = format(s.text, sizeof s.text, "%s[", v.absent() ? "absent" : name_of(v.dtype));
  for (int i = 0; i < v.rank && i < max_rank && at < int(sizeof s.text) - 24; i++)
    at += format(s.text + at, sizeof s.text - size_t(at), i ? ", %lld" : "%lld", static_cast<long long>(v.shape[i]));
  format(s.text + at, sizeof s.text - size_t(at), "]");
  return s;
}

}  // namespace accelnn
