"""Integer arithmetic of quantized networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.dtypes import DType
from ....ops.dynamic import SMALLEST, unpack
from ..step import Step, writes
from .convolution import geometry
from .pointwise import activate


def _axis(s: Step) -> int:
    return 0 if s.spec(1).shape == () else s.whole("axis")  # 0: every tensor has it, the default 1 not every one


@writes("quantize_linear")
def _(s: Step, x: str, scale: str, zero: str) -> Any:
    return s.add("QuantizeLinear", x, scale, zero, axis=_axis(s))


@writes("dequantize_linear")
def _(s: Step, x: str, scale: str, zero: str | None = None) -> Any:
    return s.add("DequantizeLinear", x, scale, zero, axis=_axis(s))


@writes("quantize_by")
def _(s: Step, x: str) -> Any:
    return s.add("QuantizeLinear", s.float(x, s.spec()), s.const(s["scale"]), s.const(int(s["zero"]), np.uint8))


@writes("dequantize_by")
def _(s: Step, x: str) -> Any:
    return s.add("DequantizeLinear", x, s.const(s["scale"]), s.const(int(s["zero"]), np.uint8))


@writes("byte_table")
def _(s: Step, x: str, table: str) -> Any:
    return s.add("Gather", table, s.cast(x, DType.int64))


def _scaled(s: Step, acc: str, scale: str, bias: str | None, zero: str | None, wide: int) -> str:
    """int32 sums as the op gives them: themselves, floats, or bytes. `wide`: dimensions behind that of the channels."""
    def along(p: str) -> str:
        return str(s.add("Unsqueeze", p, s.ints(*range(1, wide + 1)))) if wide else p

    acc = acc if bias is None else s.add("Add", acc, along(bias))
    acc = s.add("Max", acc, s.const(0, "i4")) if s["relu"] else acc
    if s.outputs[0].dtype == DType.int32:
        return acc
    y = s.add("Mul", s.cast(acc, DType.float32), along(scale))
    return y if zero is None else str(s.add("QuantizeLinear", y, s.const(1.0), zero))


@writes("qmatmul")
def _(s: Step, a: str, a_zero: str, b: str, scale: str, bias: str | None = None, zero: str | None = None) -> Any:
    if s["packed"]:
        s.refuse("packed weights; write the graph from before packing")
    return _scaled(s, s.add("MatMulInteger", a, b, a_zero), scale, bias, zero, 0)


@writes("qconv2d")
def _(s: Step, x: str, x_zero: str, w: str, scale: str, bias: str | None = None, zero: str | None = None) -> Any:
    return _scaled(s, s.add("ConvInteger", x, w, x_zero, **geometry(s)), scale, bias, zero, 2)


@writes("dynamic_quantize")
def _(s: Step, x: str) -> Any:
    return s.add("DynamicQuantizeLinear", x, outputs=3)


@writes("dynamic_qmatmul")
def _(s: Step, a: str, b: str, scale: str, bias: str | None = None) -> Any:
    """Rows rounded to bytes each with its own step (ops/dynamic.py), which DynamicQuantizeLinear, one step for all, is not: the integers, exact in
    float32 only up to 2^24, are multiplied as MatMulInteger does it, with one zero point that is taken out again."""
    if s["packed"]:
        b = s.unpacked(1, lambda panels: unpack(panels, int(s.spec().shape[-1]), int(s.spec(2).shape[0])))  # type: ignore[arg-type]
    if s["whole"]:
        q, step, at = s.add("DynamicQuantizeLinear", a, outputs=3)
        y = s.add("Mul", s.cast(s.add("MatMulInteger", q, b, at), DType.float32), s.add("Mul", scale, step))
        return activate(s, y if bias is None else s.add("Add", y, bias), s.whole("activation"))
    zero, one, half = s.const(0.0), s.const(1.0), s.const(0.5)
    ends = [s.add(end, s.add(kind, a, s.ints(-1), keepdims=1), zero) for end, kind in (("Min", "ReduceMin"), ("Max", "ReduceMax"))]
    width = s.add("Sub", s.add("Mul", half, ends[1]), s.add("Mul", half, ends[0]))
    step = s.add("Max", s.add("Div", width, s.const(127.5)), s.const(SMALLEST))
    inverse = s.add("Div", one, step)
    middle = s.add("Round", s.add("Mul", s.add("Neg", ends[0]), inverse))
    bytes_ = s.add("Min", s.add("Add", s.add("Round", s.add("Mul", a, inverse)), middle), s.const(255.0))
    acc = s.add("MatMulInteger", s.cast(bytes_, DType.uint8), b)
    sums = s.add("ReduceSum", s.cast(b, DType.int32), s.const([0], np.int64), keepdims=1)
    acc = s.add("Sub", acc, s.add("Mul", s.cast(middle, DType.int32), sums))
    y = s.add("Mul", s.cast(acc, DType.float32), s.add("Mul", scale, step))
    return activate(s, y if bias is None else s.add("Add", y, bias), s.whole("activation"))
