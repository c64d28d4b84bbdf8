// softmax, log_softmax and their gradients. A row that fits is read once, into registers, and written once; a longer one is read twice, the second time
// in a launch of its own, which finds in scratch what every piece came to. All sums are in an order that the shape alone decides.
#include "cuda_row.h"
#include "softmax/cuda_softmax.h"

namespace accelnn {

template <class Group, bool log, int wide, int threads, int held>
__device__ void softmax_row(const float* x, float* y, int n, int thread, float* room) {
  float v[held];
  load<wide, threads>(x, n, thread, -infinity, v);
  float top = -infinity, total = 0;
#pragma unroll
  for (int i = 0; i < held; i++) top = fmaxf(top, v[i]);
  top = Group::template all<Largest>(top, room);
#pragma unroll
  for (int i = 0; i < held; i++) {
    v[i] -= top;
    const float e = expf(v[i]);
    total += place_of<wide, threads>(i, thread) < n ? e : 0;            // of -inf alone every place is NaN, also those beyond
    if (!log) v[i] = e;
  }
  total = Group::template all<Sum>(total, room);
  const float off = log ? logf(total) : 0;
#pragma unroll
  for (int i = 0; i < held; i++) v[i] = log ? v[i] - off : v[i] / total;
  store<wide, threads>(y, n, thread, v);
}

template <bool log> __device__ float share(float dy, float y) { return log ? dy : dy * y; }
template <bool log> __device__ float slope(float dy, float y, float total) { return log ? dy - expf(y) * total : y * (dy - total); }

template <class Group, bool log, int wide, int threads, int held>
__device__ void softmax_grad_row(const float* dy, const float* y, float* dx, int n, int thread, float* room) {
  float g[held], v[held];
  load<wide, threads>(dy, n, thread, 0, g);
  load<wide, threads>(y, n, thread, 0, v);
  float total = 0;
#pragma unroll
  for (int i = 0; i < held; i++) total += share<log>(g[i], v[i]);
  total = Group::template all<Sum>(total, room);
#pragma unroll
  for (int i = 0; i < held; i++) g[i] = slope<log>(g[i], v[i], total);
  store<wide, threads>(dx, n, thread, g);
}

template <bool log, int held> __device__ void softmax_in_warp(const SoftmaxRows& a) {
  const int64_t row = int64_t(blockIdx.x) * softmax_warps + threadIdx.x / 32;
  if (row < a.rows) softmax_row<OfWarp, log, 1, 32, held>(a.x + row * a.n, a.y + row * a.n, int(a.n), threadIdx.x % 32, nullptr);
}
template <bool log, int wide, int threads, int held> __device__ void softmax_in_block(const SoftmaxRows& a) {
  ACCELNN_SHARED(float, room, most_warps);
  const int64_t first = blockIdx.x * a.n;
  softmax_row<OfBlock, log, wide, threads, held>(a.x + first, a.y + first, int(a.n), threadIdx.x, room);
}
template <bool log, int held> __device__ void softmax_grad_in_warp(const SoftmaxGradRows& a) {
  const int64_t row = int64_t(blockIdx.x) * softmax_warps + threadIdx.x / 32, first = row * a.n;
  if (row < a.rows) softmax_grad_row<OfWarp, log, 1, 32, held>(a.dy + first, a.y + first, a.dx + first, int(a.n), threadIdx.x % 32, nullptr);
}
template <bool log, int wide, int threads, int held> __device__ void softmax_grad_in_block(const SoftmaxGradRows& a) {
  ACCELNN_SHARED(float, room, most_warps);
  const int64_t first = blockIdx.x * a.n;
  softmax_grad_row<OfBlock, log, wide, threads, held>(a.dy + first, a.y + first, a.dx + first, int(a.n), threadIdx.x, room);
}

__device__ inline int64_t shorter(int64_t a, int64_t b) { return a < b ? a : b; }

// Blocks (row, piece). A piece of -inf alone has the maximum -inf and the sum 0, or NaN where there was one.
__device__ void softmax_pieces(const SoftmaxRows& a) {
  ACCELNN_SHARED(float, room, most_warps);
  const float* x = a.x + blockIdx.x * a.n + blockIdx.y * softmax_piece;
  const int rest = int(shorter(a.n - blockIdx.y * softmax_piece, softmax_piece));
  float v[softmax_held], top = -infinity, total = 0;
  load<1, 1024>(x, rest, threadIdx.x, -infinity, v);
#pragma unroll
  for (int i = 0; i < softmax_held; i++) top = fmaxf(top, v[i]);
  top = across_block<Largest>(top, room);
  const float from = top == -infinity ? 0 : top;
#pragma unroll
  for (int i = 0; i < softmax_held; i++) total += expf(v[i] - from);
  total = across_block<Sum>(total, room);
  if (threadIdx.x == 0) {
    a.top[int64_t(blockIdx.x) * a.pieces + blockIdx.y] = top;
    a.total[int64_t(blockIdx.x) * a.pieces + blockIdx.y] = total;
  }
}

template <bool log> __device__ void softmax_join(const SoftmaxRows& a) {
  ACCELNN_SHARED(float, room, most_warps);
  const float *tops = a.top + int64_t(blockIdx.x) * a.pieces, *totals = a.total + int64_t(blockIdx.x) * a.pieces;
  float top = -infinity, total = 0;
  for (int p = threadIdx.x; p < a.pieces; p += blockDim.x) top = fmaxf(top, tops[p]);
  top = across_block<Largest>(top, room);
  // A piece without a maximum has nothing to scale: exp(0 - top) could be inf, and 0 times that NaN.
  for (int p = threadIdx.x; p < a.pieces; p += blockDim.x) total += tops[p] == -infinity ? totals[p] : totals[p] * expf(tops[p] - top);
  total = across_block<Sum>(total, room);
  const float off = log ? logf(total) : 0;
  const int64_t first = blockIdx.x * a.n + blockIdx.y * softmax_piece, rest = shorter(a.n - blockIdx.y * softmax_piece, softmax_piece);
  for (int64_t c = threadIdx.x; c < rest; c += blockDim.x) {
    const float v = a.x[first + c] - top;
    a.y[first + c] = log ? v - off : expf(v) / total;
  }
}

template <bool log> __device__ void softmax_grad_pieces(const SoftmaxGradRows& a) {
  ACCELNN_SHARED(float, room, most_warps);
  const int64_t first = blockIdx.x * a.n + blockIdx.y * softmax_grad_piece, rest = shorter(a.n - blockIdx.y * softmax_grad_piece, softmax_grad_piece);
  float total = 0;
  for (int64_t c = threadIdx.x; c < rest; c += blockDim.x) total += share<log>(a.dy[first + c], log ? 0 : a.y[first + c]);
  total = across_block<Sum>(total, room);
  if (threadIdx.x == 0) a.sums[int64_t(blockIdx.x) * a.pieces + blockIdx.y] = total;
}

template <bool log> __device__ void softmax_grad_join(const SoftmaxGradRows& a) {
  ACCELNN_SHARED(float, room, most_warps);
  float total = 0;
  for (int p = threadIdx.x; p < a.pieces; p += blockDim.x) total += a.sums[int64_t(blockIdx.x) * a.pieces + p];
  total = across_block<Sum>(total, room);
  const int64_t first = blockIdx.x * a.n + blockIdx.y * softmax_grad_piece, rest = shorter(a.n - blockIdx.y * softmax_grad_piece, softmax_grad_piece);
  for (int64_t c = threadIdx.x; c < rest; c += blockDim.x)
    a.dx[first + c] = slope<log>(a.dy[first + c], a.y[first + c], total);
}

using AxisPart = float[axis_lanes];

// Any axis: a lane has a place, the warps of a block share its axis. Read three times, of which the caches see two.
template <class Join> __device__ float across_parts(float v, AxisPart* room) {
  const int lane = threadIdx.x % axis_lanes, part = threadIdx.x / axis_lanes;
  room[part][lane] = v;
  __syncthreads();
  v = room[0][lane];
  for (int p = 1; p < axis_parts; p++) v = Join::of(v, room[p][lane]);
  __syncthreads();
  return v;
}

struct Lane {
  int64_t first, step;                    // of its place: the first element, and from one to the next along the axis
  int64_t along;                          // 0 beyond the last place, where only barriers are met
  int part;
  __device__ Lane(int64_t places, int64_t n, int64_t inner) {
    const int64_t place = int64_t(blockIdx.x) * axis_lanes + threadIdx.x % axis_lanes;
    first = place / inner * n * inner + place % inner;
    step = inner;
    along = place < places ? n : 0;
    part = threadIdx.x / axis_lanes;
  }
};

template <bool log> __device__ void softmax_axis(const SoftmaxAxis& a) {
  ACCELNN_SHARED(AxisPart, room, axis_parts);
  const Lane l(a.places, a.along, a.inner);
  float top = -infinity, total = 0;
  for (int64_t c = l.part; c < l.along; c += axis_parts) top = fmaxf(top, a.x[l.first + c * l.step]);
  top = across_parts<Largest>(top, room);
  for (int64_t c = l.part; c < l.along; c += axis_parts) total += expf(a.x[l.first + c * l.step] - top);
  total = across_parts<Sum>(total, room);
  const float off = log ? logf(total) : 0;
  for (int64_t c = l.part; c < l.along; c += axis_parts) {
    const float v = a.x[l.first + c * l.step] - top;
    a.y[l.first + c * l.step] = log ? v - off : expf(v) / total;
  }
}

template <bool log> __device__ void softmax_grad_axis(const SoftmaxGradAxis& a) {
  ACCELNN_SHARED(AxisPart, room, axis_parts);
  const Lane l(a.places, a.along, a.inner);
  float total = 0;
  for (int64_t c = l.part; c < l.along; c += axis_parts) total += share<log>(a.dy[l.first + c * l.step], log ? 0 : a.y[l.first + c * l.step]);
  total = across_parts<Sum>(total, room);
  for (int64_t c = l.part; c < l.along; c += axis_parts)
    a.dx[l.first + c * l.step] = slope<log>(a.dy[l.first + c * l.step], a.y[l.first + c * l.step], total);
}

// A row of at most threads * held numbers is a block's (cuda_softmax.h says which).
#define SOFTMAX_BLOCK(threads, wide, held)                                                                                           \
  ACCELNN_KERNEL(softmax_block_##threads##_##wide, threads, SoftmaxRows, softmax_in_block<false, wide, threads, held>(a))            \
  ACCELNN_KERNEL(log_softmax_block_##threads##_##wide, threads, SoftmaxRows, softmax_in_block<true, wide, threads, held>(a))         \
  ACCELNN_KERNEL(softmax_grad_block_##threads##_##wide, threads, SoftmaxGradRows, softmax_grad_in_block<false, wide, threads, held / 2>(a)) \
  ACCELNN_KERNEL(log_softmax_grad_block_##threads##_##wide, threads, SoftmaxGradRows, softmax_grad_in_block<true, wide, threads, held / 2>(a))
SOFTMAX_BLOCK(128, 1, 32)
SOFTMAX_BLOCK(128, 4, 32)
SOFTMAX_BLOCK(1024, 1, softmax_held_alone)
SOFTMAX_BLOCK(1024, 4, softmax_held)

ACCELNN_KERNEL(softmax_warp_4, 32 * softmax_warps, SoftmaxRows, softmax_in_warp<false, 4>(a))
ACCELNN_KERNEL(softmax_warp_16, 32 * softmax_warps, SoftmaxRows, softmax_in_warp<false, 16>(a))
ACCELNN_KERNEL(log_softmax_warp_4, 32 * softmax_warps, SoftmaxRows, softmax_in_warp<true, 4>(a))
ACCELNN_KERNEL(log_softmax_warp_16, 32 * softmax_warps, SoftmaxRows, softmax_in_warp<true, 16>(a))
ACCELNN_KERNEL(softmax_pieces_of_rows, 1024, SoftmaxRows, softmax_pieces(a))
ACCELNN_KERNEL(softmax_joined, 1024, SoftmaxRows, softmax_join<false>(a))
ACCELNN_KERNEL(log_softmax_joined, 1024, SoftmaxRows, softmax_join<true>(a))
ACCELNN_KERNEL(softmax_along, axis_lanes* axis_parts, SoftmaxAxis, softmax_axis<false>(a))
ACCELNN_KERNEL(log_softmax_along, axis_lanes* axis_parts, SoftmaxAxis, softmax_axis<true>(a))
ACCELNN_KERNEL(softmax_grad_warp_4, 32 * softmax_warps, SoftmaxGradRows, softmax_grad_in_warp<false, 4>(a))
ACCELNN_KERNEL(softmax_grad_warp_16, 32 * softmax_warps, SoftmaxGradRows, softmax_grad_in_warp<false, 16>(a))
ACCELNN_KERNEL(log_softmax_grad_warp_4, 32 * softmax_warps, SoftmaxGradRows, softmax_grad_in_warp<true, 4>(a))
ACCELNN_KERNEL(log_softmax_grad_warp_16, 32 * softmax_warps, SoftmaxGradRows, softmax_grad_in_warp<true, 16>(a))
ACCELNN_KERNEL(softmax_grad_pieces_of_rows, 1024, SoftmaxGradRows, softmax_grad_pieces<false>(a))
ACCELNN_KERNEL(log_softmax_grad_pieces_of_rows, 1024, SoftmaxGradRows, softmax_grad_pieces<true>(a))
ACCELNN_KERNEL(softmax_grad_joined, 1024, SoftmaxGradRows, softmax_grad_join<false>(a))
ACCELNN_KERNEL(log_softmax_grad_joined, 1024, SoftmaxGradRows, softmax_grad_join<true>(a))
ACCELNN_KERNEL(softmax_grad_along, axis_lanes* axis_parts, SoftmaxGradAxis, softmax_grad_axis<false>(a))
ACCELNN_KERNEL(log_softmax_grad_along, axis_lanes* axis_parts, SoftmaxGradAxis, softmax_grad_axis<true>(a))

}  // namespace accelnn
