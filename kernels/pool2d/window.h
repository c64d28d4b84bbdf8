// The sliding window of the pool2d family. Attributes kernel, stride, pad_* (window.inc) stand first in every op of it.
//   image [N, C, H, W], pooled [N, C, OH, OW], both contiguous;  OH = (H + pad_top + pad_bottom - kernel_h) / stride_h + 1, rounded down; OW alike
//   window (oh, ow) = image rows oh * stride_h - pad_top + [0, kernel_h), columns ow * stride_w - pad_left + [0, kernel_w), cut to the image
// Every pad is smaller than its kernel (refused otherwise), so no window lies wholly in padding. N = 0 and C = 0 are fine, H = 0 and W = 0 refused.
// Rounding up (torch's ceil_mode) is asked for by larger pad_bottom and pad_right.
#pragma once
#include "max_pool2d.h"
#include "vec.h"

namespace accelnn {
inline namespace ACCELNN_TARGET {
namespace pool2d {

struct Window {
  int64_t planes, h, w, oh, ow, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int64_t inner_begin, inner_end;      // columns ow whose window no edge cuts on the left or right

  ACCELNN_INLINE int64_t row(int64_t o) const { return o * stride_h - pad_top; }
  ACCELNN_INLINE int64_t column(int64_t o) const { return o * stride_w - pad_left; }
  // The common case: whole 2x2 tiles that do not overlap, at most one row and one column left over.
  ACCELNN_INLINE bool tiles_2x2() const {
    return kernel_h == 2 && kernel_w == 2 && stride_h == 2 && stride_w == 2 && !pad_top && !pad_left && 2 * oh <= h && 2 * ow <= w;
  }
};

ACCELNN_INLINE Window window_of(const Call& c, const TensorView& image, const TensorView& pooled) {
  Window w;
  w.planes = image.shape[0] * image.shape[1];
  w.h = image.shape[2];
  w.w = image.shape[3];
  w.oh = pooled.shape[2];
  w.ow = pooled.shape[3];
  w.kernel_h = c.integer(max_pool2d_attr::kernel_h);
  w.kernel_w = c.integer(max_pool2d_attr::kernel_w);
  w.stride_h = c.integer(max_pool2d_attr::stride_h);
  w.stride_w = c.integer(max_pool2d_attr::stride_w);
  w.pad_top = c.integer(max_pool2d_attr::pad_top);
  w.pad_left = c.integer(max_pool2d_attr::pad_left);
  // A column of pixels is a row of them (1024 columns of 256 by twos: 620 us, as rows 42).
  if (w.w == 1 && w.kernel_w == 1 && w.ow == 1 && !w.pad_left) {
    w.w = w.h, w.ow = w.oh, w.kernel_w = w.kernel_h, w.stride_w = w.stride_h, w.pad_left = w.pad_top;
    w.h = w.oh = w.kernel_h = w.stride_h = 1;
    w.pad_top = 0;
  }
  const int64_t room = w.w + w.pad_left - w.kernel_w, begin = (w.pad_left + w.stride_w - 1) / w.stride_w, end = room < 0 ? 0 : room / w.stride_w + 1;
  w.inner_begin = begin < w.ow ? begin : w.ow;
  w.inner_end = end < w.inner_begin ? w.inner_begin : end < w.ow ? end
                                                                 : w.ow;
  return w;
}

struct Cut { int64_t begin, end; };    // the part of [at, at + kernel) inside [0, size), counted from `at`
ACCELNN_INLINE Cut cut(int64_t at, int64_t kernel, int64_t size) { return {at < 0 ? -at : 0, at + kernel > size ? size - at : kernel}; }

// One output, also where an edge cuts its window. index may be null.
template <class T> void max_at_edge(const Window& g, const T* x, int64_t oh, int64_t ow, T* y, int32_t* index) {
  const int64_t h = g.row(oh), w = g.column(ow);
  const Cut r = cut(h, g.kernel_h, g.h), s = cut(w, g.kernel_w, g.w);
  int64_t where = (h + r.begin) * g.w + w + s.begin;
  T best = x[where];
  for (int64_t i = r.begin; i < r.end; i++)
    for (int64_t j = s.begin; j < s.end; j++) {
      const int64_t at = (h + i) * g.w + w + j;
      if (!(x[at] <= best) && best == best) {
        best = x[at];
        where = at;
      }
    }
  y[ow] = best;
  if (index) index[ow] = int32_t(where);
}

// Planes in at most 64 groups: 384 planes of 28x28 are 60 us of work, so a group is about 1 us.
template <class F> ACCELNN_INLINE void over_planes(const Call& c, const Window& w, const F& plane) {
  const int64_t parts = w.planes < 64 ? w.planes : 64, work = 4 * w.h * w.w + 8 * w.oh * w.ow + w.oh * w.ow * w.kernel_h * w.kernel_w;
  parallel(c, parts, w.planes * work, [&](int64_t part) {
    for (int64_t p = w.planes * part / parts; p < w.planes * (part + 1) / parts; p++) plane(p);
  });
}

// Indices are data: a wrong one is reported, never followed. The lowest position wins, so that the message does not depend on threads.
struct FirstBad {
  int64_t at = INT64_MAX;
  ACCELNN_INLINE void note(int64_t position) {
    int64_t seen = __atomic_load_n(&at, __ATOMIC_RELAXED);
    while (position < seen && !__atomic_compare_exchange_n(&at, &seen, position, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  }
};
ACCELNN_INLINE Status index_status(const char* op, const FirstBad& bad, const Window& w, const int32_t* index) {
  if (bad.at == INT64_MAX) return {};
  return fail(Code::bound, "%s: index %d at element %lld (plane %lld) lies outside the %lldx%lld image", op, index[bad.at],
              static_cast<long long>(bad.at), static_cast<long long>(bad.at / (w.oh * w.ow)), static_cast<long long>(w.h),
              static_cast<long long>(w.w));
}

}  // namespace pool2d
}  // namespace ACCELNN_TARGET
}  // namespace accelnn
