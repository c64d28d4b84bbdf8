"""Elementwise ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .... import ops
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ....ops.arithmetic import calculate
from ....ops.elementwise import broadcast
from ..call import Call, dtype_of, elementwise, register

# Of one operand, in floats.
UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": ops.exp, "log": ops.log, "sqrt": ops.sqrt, "tanh": ops.tanh, "sigmoid": ops.sigmoid, "erf": ops.erf, "reciprocal": ops.reciprocal,
    "rsqrt": ops.rsqrt, "sin": ops.sin, "cos": ops.cos, "tan": ops.tan, "asin": ops.asin, "acos": ops.acos, "atan": ops.atan, "sinh": ops.sinh,
    "cosh": ops.cosh, "asinh": ops.asinh, "acosh": ops.acosh, "atanh": ops.atanh, "log1p": ops.log1p, "expm1": ops.expm1, "log2": ops.log2,
    "log10": ops.log10, "exp2": ops.exp2, "floor": ops.floor, "ceil": ops.ceil, "round": ops.round, "trunc": ops.trunc, "silu": ops.silu, "mish": ops.mish,
    "hardswish": ops.hardswish, "hardsigmoid": ops.hardsigmoid, "relu6": ops.relu6, "selu": ops.selu, "log_sigmoid": ops.logsigmoid,
    "isnan": ops.isnan, "isinf": ops.isinf, "isfinite": ops.isfinite,
}  # fmt: skip


def _unary(name: str, f: Callable[[Tensor], Tensor]) -> None:
    @register(f"aten.{name}")
    def _(c: Call, self: Any) -> Any:
        if not self.dtype.is_float and name in ("floor", "ceil", "round", "trunc"):
            return self
        return f(self if self.dtype.is_float else self.float()).to(c.dtype)


for _name, _f in UNARY.items():
    _unary(_name, _f)


def _binary(name: str, op: str, kind: str) -> None:
    @register(f"aten.{name}.Tensor", f"aten.{name}.Scalar", f"aten.{name}")
    def _(c: Call, self: Any, other: Any) -> Any:
        return elementwise(c, op, kind, self, other)


for _name, _op, _kind in (("mul", "mul", "mul"), ("eq", "eq", "eq"), ("ne", "ne", "ne"), ("lt", "lt", "lt"), ("le", "le", "le"), ("gt", "gt", "gt"),
                          ("ge", "ge", "ge"), ("maximum", "maximum", "max"), ("minimum", "minimum", "min"), ("remainder", "remainder", "mod"),
                          ("fmod", "fmod", "fmod")):  # fmt: skip
    _binary(_name, _op, _kind)


@register("aten.max.other")
def _(c: Call, self: Any, other: Any) -> Any:
    return elementwise(c, "maximum", "max", self, other)


@register("aten.min.other")
def _(c: Call, self: Any, other: Any) -> Any:
    return elementwise(c, "minimum", "min", self, other)


def _scaled(c: Call, x: Any, alpha: Any) -> Any:
    return x if alpha == 1 else elementwise(c, "mul", "mul", x, alpha) if isinstance(x, Tensor) else x * alpha


@register("aten.add.Tensor", "aten.add.Scalar")
def _(c: Call, self: Any, other: Any, alpha: Any = 1) -> Any:
    return elementwise(c, "add", "add", self, _scaled(c, other, alpha))


@register("aten.sub.Tensor", "aten.sub.Scalar")
def _(c: Call, self: Any, other: Any, alpha: Any = 1) -> Any:
    return elementwise(c, "sub", "sub", self, _scaled(c, other, alpha))


@register("aten.rsub.Tensor", "aten.rsub.Scalar")
def _(c: Call, self: Any, other: Any, alpha: Any = 1) -> Any:
    return elementwise(c, "sub", "sub", other, _scaled(c, self, alpha))


@register("aten.div.Tensor", "aten.div.Scalar", "aten.div.Tensor_mode", "aten.div.Scalar_mode", "aten.true_divide.Tensor")
def _(c: Call, self: Any, other: Any, rounding_mode: Any = None) -> Any:
    common = c.common(self, other)
    if common.is_float or rounding_mode is None:
        wide = common if common.is_float else DType.float32
        y = apply("div", c.tensor(self, wide), c.tensor(other, wide))
        return (ops.floor(y) if rounding_mode == "floor" else ops.trunc(y) if rounding_mode == "trunc" else y).to(c.dtype)
    a, b = c.tensor(self, common), c.tensor(other, common)
    return _floor_divided(a, b) if rounding_mode == "floor" else calculate("div", a, b)


def _floor_divided(a: Tensor, b: Tensor) -> Tensor:
    """(a - a mod b) / b of integers, where mod has the sign of b."""
    return calculate("div", calculate("sub", a, calculate("mod", a, b)), b)


@register("aten.floor_divide", "aten.floor_divide.Scalar")
def _(c: Call, self: Any, other: Any) -> Any:
    common = c.common(self, other)
    a, b = c.tensor(self, common), c.tensor(other, common)
    return ops.floor(apply("div", a, b)) if common.is_float else _floor_divided(a, b)


@register("aten.pow.Tensor_Scalar", "aten.pow.Tensor_Tensor", "aten.pow.Scalar")
def _(c: Call, self: Any, exponent: Any) -> Any:
    if isinstance(self, Tensor) and self.dtype.is_float and isinstance(exponent, (int, float)):
        simple = {1: lambda x: x, 2: lambda x: x * x, 3: lambda x: x * x * x, 0.5: ops.sqrt, -0.5: ops.rsqrt, -1: ops.reciprocal}.get(exponent)
        if simple is not None:
            return simple(self).to(c.dtype)
    return elementwise(c, "pow", "pow", self, exponent)


@register("aten.relu")
def _(c: Call, self: Any) -> Any:
    return ops.relu(self).to(c.dtype) if self.dtype.is_float else calculate("max", self, calculate("sub", self, self))


@register("aten.neg")
def _(c: Call, self: Any) -> Any:
    return ops.neg(self).to(c.dtype) if self.dtype.is_float else calculate("neg", self)


@register("aten.abs")
def _(c: Call, self: Any) -> Any:
    return ops.abs(self).to(c.dtype) if self.dtype.is_float else calculate("abs", self)


@register("aten.sign", "aten.sgn")
def _(c: Call, self: Any) -> Any:
    return ops.sign(self).to(c.dtype) if self.dtype.is_float else calculate("sign", self)


for _name, _kind in (("bitwise_and", "and"), ("bitwise_or", "or"), ("bitwise_xor", "xor"), ("__and__", "and"), ("__or__", "or"), ("__xor__", "xor")):

    @register(f"aten.{_name}.Tensor", f"aten.{_name}.Scalar")
    def _(c: Call, self: Any, other: Any, kind: str = _kind) -> Any:
        common = c.common(self, other)
        return calculate(kind, c.tensor(self, common), c.tensor(other, common))


@register("aten.bitwise_not")
def _(c: Call, self: Any) -> Any:
    return calculate("not", self)


for _name in ("logical_and", "logical_or", "logical_xor"):

    @register(f"aten.{_name}")
    def _(c: Call, self: Any, other: Any, op: str = _name) -> Any:
        return apply(op, self, other)


@register("aten.logical_not")
def _(c: Call, self: Any) -> Any:
    return ops.logical_not(self)


def chosen(c: Call, condition: Tensor, a: Any, b: Any) -> Tensor:
    """a where condition, else b, in torch's common type."""
    x, y = c.tensor(a, c.dtype), c.tensor(b, c.dtype)
    if c.dtype.is_float:
        return ops.where(condition, x, y).to(c.dtype)
    shape = broadcast("where", condition.shape, x.shape, y.shape)
    wide = DType.uint8 if c.dtype == DType.bool else c.dtype
    return calculate("select", x.to(wide).expand(*shape), y.to(wide).expand(*shape), condition.expand(*shape)).to(c.dtype)


@register("aten.where.self", "aten.where.ScalarSelf", "aten.where.ScalarOther", "aten.where.Scalar")
def _(c: Call, condition: Any, self: Any, other: Any) -> Any:
    return chosen(c, condition, self, other)


@register("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def _(c: Call, self: Any, mask: Any, value: Any) -> Any:
    return chosen(c, mask, value, self)


@register("aten.clamp", "aten.clamp.Tensor", "aten.clip", "aten.clip.Tensor", "aten.hardtanh")
def _(c: Call, self: Any, min: Any = None, max: Any = None, min_val: Any = None, max_val: Any = None) -> Any:
    if c.op.startswith("aten.hardtanh"):
        min, max = -1.0 if min_val is None else min_val, 1.0 if max_val is None else max_val
    y = self.to(c.dtype)
    y = y if min is None else elementwise(c, "maximum", "max", y, min)
    return y if max is None else elementwise(c, "minimum", "min", y, max)


@register("aten.clamp_min", "aten.clamp_min.Tensor")
def _(c: Call, self: Any, min: Any) -> Any:
    return elementwise(c, "maximum", "max", self, min)


@register("aten.clamp_max", "aten.clamp_max.Tensor")
def _(c: Call, self: Any, max: Any) -> Any:
    return elementwise(c, "minimum", "min", self, max)


@register("aten.gelu")
def _(c: Call, self: Any, approximate: str = "none") -> Any:
    return ops.gelu(self, approximate).to(c.dtype)


@register("aten.leaky_relu")
def _(c: Call, self: Any, negative_slope: float = 0.01) -> Any:
    return ops.leaky_relu(self, negative_slope).to(c.dtype)


@register("aten.elu")
def _(c: Call, self: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    y = ops.elu(self if input_scale == 1 else self * float(input_scale), float(alpha))
    return (y if scale == 1 else y * float(scale)).to(c.dtype)


@register("aten.celu")
def _(c: Call, self: Any, alpha: float = 1.0) -> Any:
    return ops.celu(self, float(alpha)).to(c.dtype)


@register("aten.softplus")
def _(c: Call, self: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return ops.softplus(self, float(beta), float(threshold)).to(c.dtype)


@register("aten.threshold")
def _(c: Call, self: Any, threshold: float, value: float) -> Any:
    return ops.threshold(self, float(threshold), float(value)).to(c.dtype)


@register("aten.hardshrink")
def _(c: Call, self: Any, lambd: float = 0.5) -> Any:
    return ops.hardshrink(self, float(lambd)).to(c.dtype)


@register("aten.softshrink")
def _(c: Call, self: Any, lambd: float = 0.5) -> Any:
    return ops.softshrink(self, float(lambd)).to(c.dtype)


@register("aten.glu")
def _(c: Call, self: Any, dim: int = -1) -> Any:
    return ops.glu(self, dim).to(c.dtype)


@register("aten.prelu", "aten._prelu_kernel")
def _(c: Call, self: Any, weight: Any) -> Any:
    if weight.ndim == 1 and self.ndim > 1 and weight.shape[0] != 1:
        weight = weight.reshape(-1, *[1] * (self.ndim - 2))
    return ops.where(self < 0.0, self * weight, self).to(c.dtype)


@register("aten._to_copy", "aten.to.dtype", "aten.to.dtype_layout", "aten.to.device", "aten.type_as", "aten.to.other")
def _(c: Call, self: Any, dtype: Any = None, other: Any = None) -> Any:
    return self.to(dtype_of(c.found.dtype, "the result"))


@register("aten.addcmul")
def _(c: Call, self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    both = elementwise(c, "mul", "mul", tensor1, tensor2)
    return elementwise(c, "add", "add", self, _scaled(c, both, value))


@register("aten.addcdiv")
def _(c: Call, self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    return elementwise(c, "add", "add", self, _scaled(c, elementwise(c, "div", "div", tensor1, tensor2), value))


@register("aten.lerp.Scalar", "aten.lerp.Tensor")
def _(c: Call, self: Any, end: Any, weight: Any) -> Any:
    return (self + (end - self) * weight).to(c.dtype)


@register("aten.atan2")
def _(c: Call, self: Any, other: Any) -> Any:
    turned = ops.where(self < 0.0, -math.pi, math.pi)
    steep = ops.where(self < 0.0, -math.pi / 2, ops.where(self == 0.0, 0.0, math.pi / 2))
    plain = ops.atan(self / other)
    return ops.where(other > 0.0, plain, ops.where(other == 0.0, steep, plain + turned)).to(c.dtype)


@register("aten.dropout", "aten.feature_dropout", "aten.alpha_dropout")
def _(c: Call, input: Any, p: float, train: bool) -> Any:
    """Of inference: the identity."""
    if train and p:
        raise c.refuse("random numbers of training mode")
    return input
