#include "random/random_uniform.h"
#define ACCELNN_OP random_uniform
#define ACCELNN_TABLE "random/random_uniform.inc"
#include "define_op.h"

namespace accelnn {

static bool is_state(const TensorView& v) { return v.dtype == DType::i64 && v.rank == 1 && v.shape[0] == 2 && v.contiguous(); }

static Status check(const Call& call) {
  const TensorView &state = call.in[0], &u = call.out[0], &next = call.out[1];
  ACCELNN_CHECK(!state.absent() && is_state(state), shape, "random_uniform: the state is %s; a contiguous i64[2] (seed, call number) is expected",
                describe(state).text);
  ACCELNN_CHECK(!u.absent() && u.dtype == DType::f32 && u.contiguous(), dtype, "random_uniform: the output is %s; a contiguous f32 is expected",
                describe(u).text);
  ACCELNN_CHECK(!overlap(u, state), aliasing, "random_uniform: the output shares memory with the state");
  if (next.absent()) return {};
  ACCELNN_CHECK(is_state(next), shape, "random_uniform: the next state is %s; a contiguous i64[2] is expected", describe(next).text);
  ACCELNN_CHECK(!overlap(u, next), aliasing, "random_uniform: the two outputs share memory");
  ACCELNN_CHECK(!overlap(state, next) || same_memory(state, next), aliasing, "random_uniform: the next state overlaps the state in part");
  return {};
}

const Op op_random_uniform = {"random_uniform", random_uniform_attrs, 0, 1, 1, 2, check, refuse_nothing, no_workspace};

}  // namespace accelnn
