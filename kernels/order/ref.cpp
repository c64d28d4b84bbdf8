// Slow truth: every element compared with every other.
#include "order/argmax.h"
#include "order/topk.h"

namespace accelnn {

namespace {

// a before b where the larger comes first; NaN is the largest
template <class T> bool larger(T a, T b) { return a != a ? b == b : a > b; }
template <class T> bool same(T a, T b) { return a == b || (a != a && b != b); }

template <class T> Status argmax(const Call& call) {
  const TensorView &x = call.in[0], &y = call.out[0];
  const int64_t axis = call.integer(argmax_attr::axis), n = x.shape[axis], count = y.count();
  const bool least = call.integer(argmax_attr::least) != 0, last = call.integer(argmax_attr::last) != 0;
  int64_t inner = 1;
  for (int d = int(axis) + 1; d < x.rank; d++) inner *= x.shape[d];
  for (int64_t e = 0; e < count; e++) {
    const T* p = x.as<T>() + e / inner * n * inner + e % inner;
    int64_t found = -1;
    for (int64_t a = 0; a < n; a++) {
      bool top = true;
      const T v = p[a * inner];
      for (int64_t b = 0; b < n; b++) {
        const T w = p[b * inner];
        if (v != v) break;
        if (w != w || (least ? w < v : w > v)) top = false;
      }
      if (top && (found < 0 || last)) found = a;
    }
    y.as<int64_t>()[e] = found;
  }
  return {};
}

template <class T> Status topk(const Call& call) {
  const TensorView& x = call.in[0];
  const int64_t n = x.shape[x.rank - 1], k = call.out[0].shape[x.rank - 1], rows = n ? x.count() / n : 0;
  const bool largest = call.integer(topk_attr::largest) != 0;
  for (int64_t r = 0; r < rows; r++) {
    const T* p = x.as<T>() + r * n;
    for (int64_t i = 0; i < n; i++) {
      int64_t before = 0;                                // elements that come before i
      for (int64_t j = 0; j < n; j++) before += same(p[i], p[j]) ? j < i : larger(p[i], p[j]) ? !largest
                                                                                              : largest;
      if (before >= k) continue;
      call.out[0].as<T>()[r * k + before] = p[i];
      call.out[1].as<int64_t>()[r * k + before] = i;
    }
  }
  return {};
}

}  // namespace

#define PUBLISH(dtype, type)                                                   \
  Status argmax_##dtype##_ref(const Call& call);                               \
  Status argmax_##dtype##_ref(const Call& call) { return argmax<type>(call); } \
  Status topk_##dtype##_ref(const Call& call);                                 \
  Status topk_##dtype##_ref(const Call& call) { return topk<type>(call); }
PUBLISH(f32, float)
PUBLISH(i8, int8_t)
PUBLISH(u8, uint8_t)
PUBLISH(i32, int32_t)
PUBLISH(i64, int64_t)

}  // namespace accelnn
