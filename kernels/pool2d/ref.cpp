// Slow truth of the family: the contract's formulas, pixel by pixel.
#include "window.h"
#include "avg_pool2d.h"
#include "avg_pool2d_grad.h"

namespace accelnn {

using pool2d::Window;

// body(h, w) for every pixel of window (oh, ow) inside the image, in row order.
template <class F> static void in_window(const Window& g, int64_t oh, int64_t ow, const F& body) {
  for (int64_t h = g.row(oh); h < g.row(oh) + g.kernel_h; h++)
    for (int64_t w = g.column(ow); w < g.column(ow) + g.kernel_w; w++)
      if (h >= 0 && h < g.h && w >= 0 && w < g.w) body(h, w);
}

template <class T> static Status max_ref(const Call& c) {
  const Window g = pool2d::window_of(c, c.in[0], c.out[0]);
  const T* x = c.in[0].as<T>();
  int64_t o = 0;
  for (int64_t p = 0; p < g.planes; p++, x += g.h * g.w)
    for (int64_t oh = 0; oh < g.oh; oh++)
      for (int64_t ow = 0; ow < g.ow; ow++, o++) {
        int64_t first = -1;
        in_window(g, oh, ow, [&](int64_t h, int64_t w) {
          const T v = x[h * g.w + w];
          if (first < 0 || (x[first] == x[first] && (v > x[first] || v != v))) first = h * g.w + w;
        });
        c.out[0].as<T>()[o] = x[first];
        if (!c.out[1].absent()) c.out[1].as<int32_t>()[o] = int32_t(first);
      }
  return {};
}
Status max_pool2d_f32_ref(const Call& c) { return max_ref<float>(c); }
Status max_pool2d_u8_ref(const Call& c) { return max_ref<uint8_t>(c); }

Status max_pool2d_grad_f32_ref(const Call& c) {
  const Window g = pool2d::window_of(c, c.out[0], c.in[0]);
  const int64_t pixels = g.h * g.w, count = g.oh * g.ow;
  pool2d::FirstBad wrong;
  for (int64_t p = 0; p < g.planes; p++) {
    const float* dy = c.in[0].as<float>() + p * count;
    const int32_t* index = c.in[1].as<int32_t>() + p * count;
    for (int64_t i = 0; i < count; i++)
      if (index[i] < 0 || index[i] >= pixels) wrong.note(p * count + i);
    for (int64_t k = 0; k < pixels; k++) {
      double sum = 0;
      for (int64_t i = 0; i < count; i++)
        if (index[i] == k) sum += double(dy[i]);
      c.out[0].as<float>()[p * pixels + k] = float(sum);
    }
  }
  return pool2d::index_status("max_pool2d_grad", wrong, g, c.in[1].as<int32_t>());
}

Status max_pool2d_gather_f32_ref(const Call& c) {
  const Window g = pool2d::window_of(c, c.in[0], c.out[0]);
  const int64_t pixels = g.h * g.w, count = g.oh * g.ow;
  const int32_t* index = c.in[1].as<int32_t>();
  pool2d::FirstBad wrong;
  for (int64_t i = 0; i < g.planes * count; i++) {
    if (index[i] < 0 || index[i] >= pixels) wrong.note(i);
    else c.out[0].as<float>()[i] = c.in[0].as<float>()[i / count * pixels + index[i]];
  }
  return pool2d::index_status("max_pool2d_gather", wrong, g, index);
}

static double count_of(const Window& g, bool with_pad, int64_t oh, int64_t ow) {
  int64_t n = 0;
  in_window(g, oh, ow, [&](int64_t, int64_t) { n++; });
  return double(with_pad ? g.kernel_h * g.kernel_w : n);
}

Status avg_pool2d_f32_ref(const Call& c) {
  const Window g = pool2d::window_of(c, c.in[0], c.out[0]);
  const float* x = c.in[0].as<float>();
  float* y = c.out[0].as<float>();
  for (int64_t p = 0; p < g.planes; p++, x += g.h * g.w)
    for (int64_t oh = 0; oh < g.oh; oh++)
      for (int64_t ow = 0; ow < g.ow; ow++) {
        double sum = 0;
        in_window(g, oh, ow, [&](int64_t h, int64_t w) { sum += double(x[h * g.w + w]); });
        *y++ = float(sum / count_of(g, c.integer(avg_pool2d_attr::count_include_pad) != 0, oh, ow));
      }
  return {};
}

Status avg_pool2d_grad_f32_ref(const Call& c) {
  const Window g = pool2d::window_of(c, c.out[0], c.in[0]);
  const bool with_pad = c.integer(avg_pool2d_grad_attr::count_include_pad) != 0;
  const float* dy = c.in[0].as<float>();
  float* dx = c.out[0].as<float>();
  for (int64_t p = 0; p < g.planes; p++, dy += g.oh * g.ow)
    for (int64_t h = 0; h < g.h; h++)
      for (int64_t w = 0; w < g.w; w++) {
        double sum = 0;
        for (int64_t oh = 0; oh < g.oh; oh++)
          for (int64_t ow = 0; ow < g.ow; ow++) {
            const int64_t i = h - g.row(oh), j = w - g.column(ow);
            if (i >= 0 && i < g.kernel_h && j >= 0 && j < g.kernel_w) sum += double(dy[oh * g.ow + ow]) / count_of(g, with_pad, oh, ow);
          }
        *dx++ = float(sum);
      }
  return {};
}

}  // namespace accelnn
