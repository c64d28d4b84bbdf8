#include "pointwise/program.h"
#define ACCELNN_OP pointwise
#define ACCELNN_TABLE "pointwise/pointwise.inc"
#include "define_op.h"

namespace accelnn {

const Opcode opcodes[] = {
// for Python: a built program does without the names
#define OPCODE(name, operands, cost) {#name, operands},
#include "pointwise/opcodes.inc"
#undef OPCODE
};
const int n_opcodes = int(sizeof opcodes / sizeof *opcodes);

static const char* refuse(const Row& row, const Call& call) {
  const Attr& program = call.attrs[pointwise_attr::program];
  bool plain = true;
  for (int64_t at = 1 + program.list[0]; at < program.n; at += 4) plain = plain && program.list[at] <= pointwise_program::last_plain;
  if (row.tile_m == pointwise_program::plain_row) return plain ? nullptr : "the plain row knows no activations";
  return row.dtype == DType::f32 && row.tile_n > 1 && plain ? "the plain row is for programs like this" : nullptr;
}

static Status check(const Call& call) {
  pointwise_program::Program p;
  ACCELNN_TRY(pointwise_program::parse(call, &p));
  const TensorView& y = call.out[0];
  for (int o = 0; o < p.n_out; o++) {
    const TensorView& v = call.out[o];
    ACCELNN_CHECK(v.dtype == DType::f32 || v.dtype == DType::boolean || v.dtype == DType::u8, dtype,
                  "pointwise: output %d is %s; f32, bool and u8 are possible", o, describe(v).text);
    ACCELNN_CHECK(same_shape(v, y), shape, "pointwise: output %d is %s, output 0 is %s; all have one shape", o, describe(v).text, describe(y).text);
    ACCELNN_CHECK(v.contiguous(), shape, "pointwise: output %d (%s) is not contiguous", o, describe(v).text);
    for (int before = 0; before < o; before++)
      ACCELNN_CHECK(!overlap(v, call.out[before]), aliasing, "pointwise: outputs %d and %d share memory", before, o);
  }
  for (int i = 0; i < p.n_in; i++) {
    const TensorView& x = call.in[i];
    ACCELNN_CHECK(x.dtype != DType::i32 && x.dtype != DType::i64, dtype, "pointwise: input %d is %s; f32, f16, bf16, i8, u8 and bool are possible", i,
                  describe(x).text);
    ACCELNN_CHECK(same_shape(x, y), shape, "pointwise: input %d is %s, the output is %s; broadcast inputs to its shape by strides of 0", i,
                  describe(x).text, describe(y).text);
    for (int d = 0; d < x.rank; d++) ACCELNN_CHECK(x.stride[d] >= 0, shape, "pointwise: input %d has a negative stride", i);
    for (int o = 0; o < p.n_out; o++)
      ACCELNN_CHECK(!overlap(x, call.out[o]) || same_memory(x, call.out[o]), aliasing,
                    "pointwise: output %d overlaps input %d without being exactly the same memory", o, i);
  }
  return {};
}

const Op op_pointwise = {"pointwise", pointwise_attrs, pointwise_attr::count_, 1, pointwise_program::max_in, pointwise_program::max_out,
                         check, refuse, no_workspace};

}  // namespace accelnn
