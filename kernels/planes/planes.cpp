#include "planes/slab.h"

#define ACCELNN_OP unfold_planes
#define ACCELNN_TABLE "planes/unfold_planes.inc"
#include "define_op.h"
#define ACCELNN_OP fold_planes
#define ACCELNN_TABLE "planes/fold_planes.inc"
#include "define_op.h"

namespace accelnn {

static Status check_slab(const char* op, const Call& call, const TensorView& x, const TensorView& y) {
  ACCELNN_CHECK(x.rank == 4 && y.rank == 5, shape, "%s: %s -> %s: [N, C, D, P] and [N, OD, C, kernel, P] expected", op, describe(call.in[0]).text,
                describe(call.out[0]).text);
  ACCELNN_CHECK(x.dtype == DType::f32 && y.dtype == DType::f32, dtype, "%s: float32 expected", op);
  ACCELNN_CHECK(x.contiguous() && y.contiguous(), shape, "%s: contiguous operands expected", op);
  const planes::Slab s = planes::slab(call, x, y);
  constexpr int64_t limit = int64_t(1) << 30;
  ACCELNN_CHECK(s.kernel >= 1 && s.kernel < limit && s.stride >= 1 && s.stride < limit && s.dilation >= 1 && s.dilation < limit && s.front >= 0 &&
                    s.front < limit && s.back >= 0 && s.back < limit,
                attribute, "%s: kernel, stride, dilation of at least 1 and front, back of at least 0 expected", op);
  const int64_t room = s.d + s.front + s.back - (s.kernel - 1) * s.dilation - 1;
  ACCELNN_CHECK(room >= 0 && s.od == room / s.stride + 1, shape, "%s: %s -> %s: the kernel does not go %lld times into these planes", op,
                describe(call.in[0]).text, describe(call.out[0]).text, static_cast<long long>(s.od));
  ACCELNN_CHECK(y.shape[0] == s.n && y.shape[2] == s.c && y.shape[3] == s.kernel && y.shape[4] == s.p, shape,
                "%s: %s -> %s: [N, C, D, P] and [N, OD, C, kernel, P] expected", op, describe(call.in[0]).text, describe(call.out[0]).text);
  ACCELNN_CHECK(!overlap(x, y), aliasing, "%s: the output overlaps the input", op);
  return {};
}

static Status check_unfold(const Call& call) { return check_slab("unfold_planes", call, call.in[0], call.out[0]); }
static Status check_fold(const Call& call) {
  ACCELNN_TRY(check_slab("fold_planes", call, call.out[0], call.in[0]));
  ACCELNN_CHECK(call.out[0].shape[2] == call.integer(fold_planes_attr::size), shape, "fold_planes: the output is %s, expected `size` planes",
                describe(call.out[0]).text);
  return {};
}

const Op op_unfold_planes = {"unfold_planes", unfold_planes_attrs, unfold_planes_attr::count_, 1, 1, 1, check_unfold, refuse_nothing, no_workspace};
const Op op_fold_planes = {"fold_planes", fold_planes_attrs, fold_planes_attr::count_, 1, 1, 1, check_fold, refuse_nothing, no_workspace};

}  // namespace accelnn
