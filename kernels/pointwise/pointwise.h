// pointwise: any chain of elementwise operations as one pass over memory.
//
//   y_k[i] = value(out_value[k])[i]        for every index i of the outputs' shape
//
// Inputs: 1 to 16 of f32, f16, bf16, i8, u8, bool, widened to float32 exactly; each has the outputs' shape, any strides >= 0 (0 repeats: broadcast).
// Outputs: 1 to 8 of one shape, contiguous: f32; bool (x != 0, so NaN is true); u8 (truncated toward zero, saturated, NaN gives 0).
// program: [n_outputs, out_value..., then opcode, a, b, c for every instruction]; values are numbered inputs first, then instruction results; an
//   instruction may use only values before it (operands its opcode does not have are ignored). At most 64 instructions. `const`: a = float32 bits.
// Aliasing: an output may be exactly the memory of one or more inputs of its dtype (same address, shape and strides); every element is read before
//   it is written, whatever the program. Any other overlap of an output with an input or another output is refused.
// Alignment: none needed. Empty shapes: nothing is written. Results do not depend on strides, threads or how the range is cut into tiles.
// Error: every instruction rounds to float32. add, sub, mul, div, min, max, sqrt, comparisons, rounding: as IEEE (fma: one rounding, two in the base
//   row; rsqrt: two roundings). exp, log, tanh, sigmoid, erf, expm1: within 3 ulp; log1p 4 ulp. sin, cos: 2e-7 absolute for |x| <= 8192, growing with |x|
//   above. pow(a, b) = exp(b log|a|): 3 ulp + |b log|a|| * 1.5 ulp relative, 0 below 1.2e-38; a < 0 (-inf too) wants an
//   integer b, else NaN; pow(-1, +-inf) is NaN.
//   exp gives 0 below -87.34. gelu: 1.2e-7 |a| and an ulp, 0 below -5.25; its slope 2.4e-7 absolute, 0 below -5.75. silu, its slope: 4 ulp and
//   |a| 2^-24 relative. hardsigmoid, hardswish and slopes: 2 ulp of the largest term.
// NaN propagates, through min, max, relu and sign too; select takes a NaN condition as true.
#pragma once
#include "op.h"

#define ACCELNN_OP pointwise
#define ACCELNN_TABLE "pointwise/pointwise.inc"
#include "attr_slots.h"

namespace accelnn {

struct Opcode {
  const char* name;
  int operands;
};
extern const Opcode opcodes[];          // by number
extern const int n_opcodes;

}  // namespace accelnn
