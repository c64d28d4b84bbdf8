"""Integer arithmetic of quantized networks."""

from __future__ import annotations

from typing import Any

from ....core.dtypes import DType
from ..step import Step, writes
from .convolution import geometry


def _axis(s: Step) -> int:
    return 0 if s.spec(1).shape == () else s.whole("axis")  # 0: every tensor has it, the default 1 not every one


@writes("quantize_linear")
def _(s: Step, x: str, scale: str, zero: str) -> Any:
    return s.add("QuantizeLinear", x, scale, zero, axis=_axis(s))


@writes("dequantize_linear")
def _(s: Step, x: str, scale: str, zero: str | None = None) -> Any:
    return s.add("DequantizeLinear", x, scale, zero, axis=_axis(s))


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
