// resize(x [.., A, ..]) -> y [.., B, ..], attribute axis: one dim sampled at other places. A picture is resized along one dim after the other.
//
//   y[o, b, i] = sum over taps t of w[b, t] x[o, clamp(at[b, t], 0, A - 1), i]
//
// p(b), where b lies in x, with r = 1 / scale, or A / B where scale is 0 (in double):
//   coordinate 0 half_pixel (b + 1/2) r - 1/2; 1 pytorch_half_pixel: the same, 0 where B = 1; 2 asymmetric b r; 3 align_corners b (A - 1) / (B - 1), 0 where
//   B = 1; 4 half_pixel_symmetric: half_pixel about the middle of x.
// mode 0 nearest: one tap, p rounded: nearest 0 round_prefer_floor, 1 round_prefer_ceil, 2 floor, 3 ceil.
// mode 1 linear: taps floor(p), floor(p) + 1.   mode 2 cubic: floor(p) - 1 .. floor(p) + 2, Keys' weights with a = cubic_a.
// outside 1: taps outside of [0, A) count nothing, the others are divided by their sum (ONNX's exclude_outside).
// Weights are made in double and rounded to float32 once. f32, contiguous, A >= 1 where y has elements; y shares no memory with x. Any alignment.
// |err| <= gamma_(T + 2) sum |w| |x|, T taps; nearest is exact.
#pragma once
#include "op.h"

#define ACCELNN_OP resize
#define ACCELNN_TABLE "resize/resize.inc"
#include "attr_slots.h"

namespace accelnn {

namespace resize_mode {
enum Mode : int64_t { nearest = 0,
                      linear = 1,
                      cubic = 2 };
}

// The taps of a checked call, b by b in T lists: at[t * count + b], weight[t * count + b].
struct ResizeTaps {
  int64_t outer, from, count, inner;           // x [outer, from, inner], y [outer, count, inner]
  int taps;
  int32_t* at;
  float* weight;
};
int resize_taps_of(const Call&);
void resize_taps(const Call&, const TensorView& x, const TensorView& y, ResizeTaps*);   // into call.work

}  // namespace accelnn
