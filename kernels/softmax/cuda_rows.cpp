// What the CUDA rows of softmax, log_softmax and their gradients launch.
#include "launches.h"
#include "softmax/cuda_softmax.h"
#include "softmax/softmax_axis.h"
#include "softmax/softmax_axis_grad.h"

namespace accelnn {

namespace {

constexpr const char* image = "softmax/cuda_softmax";
#define EITHER(log, name) ((log) ? "log_" name : name)

bool wide(int64_t n, const void* a, const void* b, const void* c) { return n % 4 == 0 && aligned(a, 16) && aligned(b, 16) && aligned(c, 16); }

// How many threads hold a row of n numbers, `held` each: those of the smaller block, of the larger one, or 0 where it is too long.
int threads_for(int64_t n, int held, int held_by_most) {
  if (n <= 128 * held) return 128;
  return n <= 1024 * held_by_most ? 1024 : 0;
}

// Of 128 threads and of 1024, each alone and four at a time.
#define BLOCK_ENTRIES(log, name) \
  {EITHER(log, name "_block_128_1"), EITHER(log, name "_block_128_4"), EITHER(log, name "_block_1024_1"), EITHER(log, name "_block_1024_4")}

const char* softmax_of_rows(const Call& call, bool log, int64_t rows, int64_t n, Launches* l) {
  if (rows > max_blocks_x || n > max_blocks_yz * softmax_piece) return "more rows than a grid has blocks";
  SoftmaxRows a = {call.in[0].as<const float>(), call.out[0].as<float>(), nullptr, nullptr, rows, n, 1};
  const bool four = wide(n, a.x, a.y, nullptr);
  const int threads = threads_for(n, softmax_held, four ? softmax_held : softmax_held_alone);
  if (n <= 32 * 4) {
    l->add(image, EITHER(log, "softmax_warp_4"), {blocks_for(rows, softmax_warps)}, 32 * softmax_warps, a);
  } else if (n <= 32 * softmax_held_by_lanes) {
    l->add(image, EITHER(log, "softmax_warp_16"), {blocks_for(rows, softmax_warps)}, 32 * softmax_warps, a);
  } else if (threads) {
    const char* const entries[] = BLOCK_ENTRIES(log, "softmax");
    l->add(image, entries[2 * (threads == 1024) + four], {rows}, threads, a);
  } else {
    a.pieces = int(blocks_for(n, softmax_piece));
    a.top = l->take<float>(rows * a.pieces);
    a.total = l->take<float>(rows * a.pieces);
    l->add(image, "softmax_pieces_of_rows", {rows, a.pieces}, 1024, a);
    l->add(image, EITHER(log, "softmax_joined"), {rows, a.pieces}, 1024, a);
  }
  return nullptr;
}

const char* gradient_of_rows(const Call& call, bool log, int64_t rows, int64_t n, Launches* l) {
  if (rows > max_blocks_x || n > max_blocks_yz * softmax_grad_piece) return "more rows than a grid has blocks";
  SoftmaxGradRows a = {call.in[0].as<const float>(), call.in[1].as<const float>(), call.out[0].as<float>(), nullptr, rows, n, 1};
  const bool four = wide(n, a.dy, a.y, a.dx);
  const int threads = threads_for(n, softmax_held / 2, four ? softmax_held / 2 : softmax_held_alone / 2);
  if (n <= 32 * 4) {
    l->add(image, EITHER(log, "softmax_grad_warp_4"), {blocks_for(rows, softmax_warps)}, 32 * softmax_warps, a);
  } else if (n <= 32 * softmax_held_by_lanes) {
    l->add(image, EITHER(log, "softmax_grad_warp_16"), {blocks_for(rows, softmax_warps)}, 32 * softmax_warps, a);
  } else if (threads) {
    const char* const entries[] = BLOCK_ENTRIES(log, "softmax_grad");
    l->add(image, entries[2 * (threads == 1024) + four], {rows}, threads, a);
  } else {
    a.pieces = int(blocks_for(n, softmax_grad_piece));
    a.sums = l->take<float>(rows * a.pieces);
    l->add(image, EITHER(log, "softmax_grad_pieces_of_rows"), {rows, a.pieces}, 1024, a);
    l->add(image, EITHER(log, "softmax_grad_joined"), {rows, a.pieces}, 1024, a);
  }
  return nullptr;
}

struct Axis { int64_t places, along, inner; };
Axis axis_of(const TensorView& t, int64_t axis) {
  Axis a = {1, t.shape[axis], 1};
  for (int i = 0; i < t.rank; i++)
    if (i != axis) a.places *= t.shape[i];
  for (int i = int(axis) + 1; i < t.rank; i++) a.inner *= t.shape[i];
  return a;
}
Axis last_of(const TensorView& t) { return axis_of(t, t.rank - 1); }

}  // namespace

const char* softmax_f32_cuda(const Call& call, const Chip&, Launches* l) {
  const Axis a = last_of(call.in[0]);
  return softmax_of_rows(call, false, a.places, a.along, l);
}
const char* log_softmax_f32_cuda(const Call& call, const Chip&, Launches* l) {
  const Axis a = last_of(call.in[0]);
  return softmax_of_rows(call, true, a.places, a.along, l);
}
const char* softmax_grad_f32_cuda(const Call& call, const Chip&, Launches* l) {
  const Axis a = last_of(call.in[0]);
  return gradient_of_rows(call, false, a.places, a.along, l);
}
const char* log_softmax_grad_f32_cuda(const Call& call, const Chip&, Launches* l) {
  const Axis a = last_of(call.in[0]);
  return gradient_of_rows(call, true, a.places, a.along, l);
}

const char* softmax_axis_f32_cuda(const Call& call, const Chip&, Launches* l) {
  const Axis a = axis_of(call.in[0], call.integer(softmax_axis_attr::axis));
  const bool log = call.integer(softmax_axis_attr::log);
  if (a.inner == 1) return softmax_of_rows(call, log, a.places, a.along, l);
  const int64_t blocks = blocks_for(a.places, axis_lanes);
  if (blocks > max_blocks_x) return "more places than a grid has blocks";
  l->add(image, EITHER(log, "softmax_along"), {blocks}, axis_lanes * axis_parts,
         SoftmaxAxis{call.in[0].as<const float>(), call.out[0].as<float>(), a.places, a.along, a.inner});
  return nullptr;
}
const char* softmax_axis_grad_f32_cuda(const Call& call, const Chip&, Launches* l) {
  const Axis a = axis_of(call.in[0], call.integer(softmax_axis_grad_attr::axis));
  const bool log = call.integer(softmax_axis_grad_attr::log);
  if (a.inner == 1) return gradient_of_rows(call, log, a.places, a.along, l);
  const int64_t blocks = blocks_for(a.places, axis_lanes);
  if (blocks > max_blocks_x) return "more places than a grid has blocks";
  l->add(image, EITHER(log, "softmax_grad_along"), {blocks}, axis_lanes * axis_parts,
         SoftmaxGradAxis{call.in[0].as<const float>(), call.in[1].as<const float>(), call.out[0].as<float>(), a.places, a.along, a.inner});
  return nullptr;
}

}  // namespace accelnn
