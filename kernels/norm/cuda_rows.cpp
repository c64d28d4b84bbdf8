// What the CUDA row of layer_norm launches.
#include "launches.h"
#include "norm/cuda_norm.h"
#include "norm/layer_norm.h"

namespace accelnn {

namespace {

constexpr const char* image = "norm/cuda_norm";
#define EITHER(rms, name) ((rms) ? "rms_norm" name : "layer_norm" name)

template <class T> T* given(const TensorView& t) { return t.absent() ? nullptr : t.as<T>(); }

}  // namespace

const char* layer_norm_f32_cuda(const Call& call, const Chip&, Launches* l) {
  const TensorView& x = call.in[0];
  const bool rms = call.integer(layer_norm_attr::rms);
  NormRows a = {};
  a.rows = a.n = 1;
  for (int i = 0; i < x.rank; i++) (i < x.rank - int(call.integer(layer_norm_attr::dims)) ? a.rows : a.n) *= x.shape[i];
  if (a.rows > max_blocks_x) return "more rows than a grid has blocks";
  a.x = x.as<const float>();
  a.weight = given<const float>(call.in[1]);
  a.bias = given<const float>(call.in[2]);
  a.y = call.out[0].as<float>();
  a.rstd = call.out[1].as<float>();
  a.mean = given<float>(call.out[2]);
  a.eps = float(call.real(layer_norm_attr::eps));
  const bool four = a.n % 4 == 0 && aligned(a.x, 16) && aligned(a.y, 16) && aligned(a.weight, 16) && aligned(a.bias, 16);
  const int64_t shared_blocks = blocks_for(a.rows, norm_warps);
  if (a.n <= 32 * 4)
    l->add(image, EITHER(rms, "_warp_4"), {shared_blocks}, 32 * norm_warps, a);
  else if (a.n <= 32 * norm_held_by_lanes)
    l->add(image, EITHER(rms, "_warp_16"), {shared_blocks}, 32 * norm_warps, a);
  else if (a.n <= 128 * norm_held)
    l->add(image, four ? EITHER(rms, "_block_128_4") : EITHER(rms, "_block_128_1"), {a.rows}, 128, a);
  else if (a.n <= 1024 * norm_held_alone)
    l->add(image, four ? EITHER(rms, "_block_1024_4") : EITHER(rms, "_block_1024_1"), {a.rows}, 1024, a);
  else
    l->add(image, EITHER(rms, "_long"), {a.rows}, 1024, a);
  return nullptr;
}

}  // namespace accelnn
