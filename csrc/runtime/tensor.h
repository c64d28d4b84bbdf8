// A strided window on memory that somebody else owns. Strides count elements; a stride of 0 repeats (broadcast), negative ones are not used.
#pragma once
#include "status.h"

namespace accelnn {

constexpr int max_rank = 8;

struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  int32_t rank = 0;
  int64_t shape[max_rank];
  int64_t stride[max_rank];

  template <class T> ACCELNN_INLINE T* as() const { return static_cast<T*>(data); }
  // An operand that was left out (an optional bias, an output nobody reads) has rank -1.
  ACCELNN_INLINE bool absent() const { return rank < 0; }
  ACCELNN_INLINE int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= shape[i];
    return n;
  }
  ACCELNN_INLINE int64_t dim(int i) const { return shape[i < 0 ? rank + i : i]; }
  ACCELNN_INLINE bool contiguous() const {
    int64_t expect = 1;
    for (int i = rank - 1; i >= 0; i--) {
      if (shape[i] == 0) return true;
      if (shape[i] != 1 && stride[i] != expect) return false;
      expect *= shape[i];
    }
    return true;
  }
  ACCELNN_INLINE void set_contiguous() {
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
      stride[i] = step;
      step *= shape[i];
    }
  }
};

ACCELNN_INLINE TensorView absent_view() {
  TensorView v;
  v.rank = -1;
  return v;
}
ACCELNN_INLINE bool same_shape(const TensorView& a, const TensorView& b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; i++)
    if (a.shape[i] != b.shape[i]) return false;
  return true;
}

// First and one-past-last byte that the view touches (equal when it is empty).
struct Extent {
  const char* begin;
  const char* end;
};
Extent extent_of(const TensorView& v);
bool overlap(const TensorView& a, const TensorView& b);
bool same_memory(const TensorView& a, const TensorView& b);   // same elements at the same addresses

// "[2, 3, 4]" into a caller's buffer, for messages.
struct ShapeText { char text[112]; };
ShapeText describe(const TensorView& v);

}  // namespace accelnn
