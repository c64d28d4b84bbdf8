// Sizes of both ops. x is [n, c, d, p], y is [n, od, c, kernel, p].
#pragma once
#include "planes/fold_planes.h"
#include "planes/unfold_planes.h"

namespace accelnn {
namespace planes {

struct Slab {
  int64_t n, c, d, p, od, kernel, stride, dilation, front, back;
};
ACCELNN_INLINE Slab slab(const Call& call, const TensorView& x, const TensorView& y) {
  return {x.shape[0], x.shape[1], x.shape[2], x.shape[3], y.shape[1], call.integer(unfold_planes_attr::kernel), call.integer(unfold_planes_attr::stride),
          call.integer(unfold_planes_attr::dilation), call.integer(unfold_planes_attr::front), call.integer(unfold_planes_attr::back)};
}
static_assert(int(fold_planes_attr::back) == int(unfold_planes_attr::back), "read by slot");

}  // namespace planes
}  // namespace accelnn
