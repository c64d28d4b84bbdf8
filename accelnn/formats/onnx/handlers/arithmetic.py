"""Elementwise ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from .... import ops
from ....core.dtypes import DType
from ....core.lazy import LARGE, file_of
from ....core.tensor import Tensor, apply
from ....ops.arithmetic import calculate
from ....ops.elementwise import broadcast
from ..call import Call, narrowed, register, wide
from ..exact import is_narrow
from ..reader import dtype_of, storage_of
from ..values import EXACT, PLAIN, numbers, settled, symbolic

MOST = 1 << 14  # elements of float arrays that are computed here; larger ones are left to the kernels (passes/fold.py)


def here(*inputs: Any) -> list[np.ndarray] | None:
    """The arrays, if all are known and small (or of a type without kernels)."""
    found = [numbers(x) for x in inputs]
    if any(a is None for a in found):
        return None
    arrays: list[np.ndarray] = [a for a in found if a is not None]
    if any(a.dtype.kind == "f" and a.dtype != np.float64 and a.size > MOST for a in arrays):
        return None
    return arrays


def elementwise(name: str, traced: Callable[..., Any]) -> None:
    @register(name)
    def _(c: Call, *inputs: Any) -> Any:
        arrays = here(*inputs)
        if arrays is not None:
            unknown = any(symbolic(a) for a in arrays)
            if name in (EXACT if unknown else PLAIN):
                with np.errstate(all="ignore"):
                    return settled((EXACT if unknown else PLAIN)[name](*arrays))
        return traced(*[c.tensor(x) for x in inputs])


def of_floats(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """ONNX's results have the type of their operands; pointwise programs compute in float32."""

    def g(*x: Tensor) -> Tensor:
        y = f(*map(wide, x))
        return y if y.dtype == DType.bool else narrowed(y, x[0].dtype)

    return g


def unary(f: Callable[..., Tensor], kind: str) -> Callable[[Tensor], Tensor]:
    """A function of floats, or the same of float64."""
    return lambda x: calculate(kind, x) if x.dtype == DType.float64 else of_floats(f)(x)


def arithmetic(op: str, kind: str) -> Callable[..., Tensor]:
    """A pointwise op of floats, or the same of integers."""

    def f(*x: Tensor) -> Tensor:
        return of_floats(lambda *y: apply(op, *y))(*x) if is_narrow(x[0].dtype) else calculate(kind, *x)

    return f


for _name, _op, _kind in (("Add", "add", "add"), ("Sub", "sub", "sub"), ("Mul", "mul", "mul"), ("Div", "div", "div"), ("Neg", "neg", "neg"),
                          ("Abs", "abs", "abs"), ("Less", "lt", "lt"), ("LessOrEqual", "le", "le"), ("Greater", "gt", "gt"),
                          ("GreaterOrEqual", "ge", "ge"), ("Equal", "eq", "eq")):  # fmt: skip
    elementwise(_name, arithmetic(_op, _kind))
for _name, _kind in (("And", "and"), ("Or", "or"), ("Xor", "xor"), ("Not", "not"), ("BitwiseAnd", "and"), ("BitwiseOr", "or"), ("BitwiseXor", "xor"),
                     ("BitwiseNot", "not")):  # fmt: skip
    elementwise(_name, lambda *x, kind=_kind: calculate(kind, *x))
for _name, _function, _kind in (("Exp", ops.exp, "exp"), ("Log", ops.log, "log"), ("Sqrt", ops.sqrt, "sqrt"), ("Floor", ops.floor, "floor"),
                                ("Ceil", ops.ceil, "ceil"), ("Round", ops.round, "round")):  # fmt: skip
    elementwise(_name, unary(_function, _kind))
for _name, _function in (("Tanh", ops.tanh), ("Sigmoid", ops.sigmoid), ("Erf", ops.erf),
                         ("Reciprocal", ops.reciprocal), ("Sin", ops.sin), ("Cos", ops.cos), ("Tan", ops.tan), ("Asin", ops.asin),
                         ("Acos", ops.acos), ("Atan", ops.atan), ("Sinh", ops.sinh), ("Cosh", ops.cosh), ("Asinh", ops.asinh), ("Acosh", ops.acosh),
                         ("Atanh", ops.atanh), ("IsNaN", ops.isnan), ("Softsign", ops.softsign), ("Mish", ops.mish), ("HardSwish", ops.hardswish)):  # fmt: skip
    elementwise(_name, of_floats(_function))
elementwise("Relu", lambda x: of_floats(ops.relu)(x) if is_narrow(x.dtype) else calculate("max", x, calculate("sub", x, x)))
elementwise("Sign", lambda x: of_floats(ops.sign)(x) if is_narrow(x.dtype) else calculate("sign", x))


def _power(a: Tensor, b: Tensor) -> Tensor:
    """The result has the base's type, whatever the exponent's."""
    if a.dtype.is_float:
        return apply("pow", a, b.float() if is_narrow(a.dtype) else b).to(a.dtype)
    return calculate("pow", a, b.to(a.dtype)) if not b.dtype.is_float else apply("pow", a.float(), b).to(a.dtype)


elementwise("Pow", _power)


@register("BitShift")
def _(c: Call, a: Any, b: Any) -> Any:
    return calculate("shift_left" if c.get("direction") == "LEFT" else "shift_right", c.tensor(a), c.tensor(b))


@register("Mod")
def _(c: Call, a: Any, b: Any) -> Any:
    arrays = here(a, b)
    if arrays is not None:
        return settled(np.fmod(*arrays) if c.get("fmod", 0) else arrays[0] % arrays[1])
    x, y = c.tensor(a), c.tensor(b)
    if is_narrow(x.dtype):      # a remainder of float32 is exact, and found in float64
        return calculate("fmod" if c.get("fmod", 0) else "mod", x.to(DType.float64), y.to(DType.float64)).to(x.dtype)
    return calculate("fmod" if c.get("fmod", 0) else "mod", x, y)


def _variadic(name: str, plain: Callable[..., Any], traced: Callable[..., Any], mean: bool = False) -> None:
    @register(name)
    def _(c: Call, *inputs: Any) -> Any:
        arrays = here(*inputs)
        if arrays is not None and not (any(symbolic(a) for a in arrays) and name in ("Max", "Min")):
            total = settled(reduce(plain, arrays))
            return (total / len(arrays)).astype(total.dtype) if mean else total
        found = reduce(traced, [c.tensor(x) for x in inputs])
        return found / float(len(inputs)) if mean else found


_variadic("Sum", np.add, arithmetic("add", "add"))
_variadic("Mean", np.add, arithmetic("add", "add"), mean=True)
_variadic("Max", np.maximum, arithmetic("maximum", "max"))
_variadic("Min", np.minimum, arithmetic("minimum", "min"))


@register("Where")
def _(c: Call, condition: Any, a: Any, b: Any) -> Any:
    arrays = here(condition, a, b)
    if arrays is not None and not symbolic(arrays[0]):
        return settled(np.where(*arrays))
    if numbers(condition) is not None and np.size(condition) == 1:
        kept = c.tensor(a if bool(np.ravel(condition)[0]) else b)
        return kept.expand(*broadcast("Where", condition.shape, a.shape, b.shape))
    return chosen(c.tensor(condition), c.tensor(a), c.tensor(b))


def chosen(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where condition, else b, of any type."""
    if is_narrow(a.dtype):
        return narrowed(ops.where(condition, wide(a), wide(b)), a.dtype)
    shape = broadcast("Where", condition.shape, a.shape, b.shape)
    return calculate("select", a.expand(*shape), b.expand(*shape), condition.expand(*shape))


@register("Cast")
def _(c: Call, x: Any) -> Any:
    c.ignore("saturate", "round_mode")  # of types without kernels
    return cast(c, x, c.get("to"))


@register("CastLike")
def _(c: Call, x: Any, like: Any) -> Any:
    c.ignore("saturate", "round_mode")
    if isinstance(like, Tensor):
        return c.tensor(x).to(like.dtype)
    return x.astype(like.dtype) if numbers(x) is not None and not symbolic(x) else c.tensor(x).to(like.dtype)


def cast(c: Call, x: Any, to: int) -> Any:
    array = numbers(x)
    if array is not None and symbolic(array):
        if to in (6, 7, 12, 13):
            return array
        return c.tensor(x)  # says why not
    large = array is not None and array.nbytes >= LARGE and file_of(array) is not None  # a weight: done when the Plan is written
    if array is not None and array.dtype.kind in "fiub" and (here(x) is not None or array.dtype == np.float64) and not large and to not in (8, 16):
        with np.errstate(all="ignore"):
            return array.astype(storage_of(to))
    return c.tensor(x).to(dtype_of(to, "the result"))


@register("Identity")
def _(c: Call, x: Any) -> Any:
    return x


@register("IsInf")
def _(c: Call, x: Any) -> Any:
    x = c.tensor(x)
    up, down = c.get("detect_positive", 1), c.get("detect_negative", 1)
    if up and down:
        return ops.isinf(x)
    return x == math.inf if up else x == -math.inf if down else ops.logical_and(ops.isinf(x), False)


@register("Clip")
def _(c: Call, x: Any, low: Any = None, high: Any = None) -> Any:
    if c.opset < 11:
        low, high = (np.float32(c.get(n)) if n in c.attrs else None for n in ("min", "max"))
        low, high = (None if v is None else np.asarray(v) for v in (low, high))
    array = here(x, *[v for v in (low, high) if v is not None])
    if array is not None and not symbolic(array[0]):
        return np.clip(x, low, high) if low is not None or high is not None else x
    x = c.tensor(x)
    if low is not None:
        x = arithmetic("maximum", "max")(x, c.tensor(low))
    return x if high is None else arithmetic("minimum", "min")(x, c.tensor(high))


def _simple(name: str, f: Callable[[Call, Tensor], Tensor]) -> None:
    @register(name)
    def _(c: Call, x: Any) -> Any:
        t = c.tensor(x)
        return narrowed(f(c, wide(t)), t.dtype)


_simple("LeakyRelu", lambda c, x: ops.leaky_relu(x, c.get("alpha", 0.01)))
_simple("Elu", lambda c, x: ops.elu(x, c.get("alpha", 1.0)))
_simple("Celu", lambda c, x: ops.celu(x, c.get("alpha", 1.0)))
_simple("ThresholdedRelu", lambda c, x: ops.threshold(x, c.get("alpha", 1.0), 0.0))
_simple("Softplus", lambda c, x: ops.softplus(x, 1.0, math.inf))
_simple("Gelu", lambda c, x: ops.gelu(x, c.get("approximate", "none")))
_simple("HardSigmoid", lambda c, x: ops.clip(x * float(c.get("alpha", 0.2)) + float(c.get("beta", 0.5)), 0.0, 1.0))


@register("Selu")
def _(c: Call, x: Any) -> Any:
    alpha, gamma = c.get("alpha", 1.6732632423543772), c.get("gamma", 1.0507009873554805)
    x = c.tensor(x)
    return (ops.elu(x, alpha) * float(gamma)).to(x.dtype)


@register("Swish")
def _(c: Call, x: Any) -> Any:
    x, alpha = c.tensor(x), float(c.get("alpha", 1.0))
    return (ops.silu(x) if alpha == 1 else x * (x * alpha).sigmoid()).to(x.dtype)


@register("Shrink")
def _(c: Call, x: Any) -> Any:
    x, bias, lambd = c.tensor(x), float(c.get("bias", 0.0)), float(c.get("lambd", 0.5))
    return ops.where(x < -lambd, x + bias, ops.where(x > lambd, x - bias, x * 0.0)).to(x.dtype)


@register("PRelu")
def _(c: Call, x: Any, slope: Any) -> Any:
    x, slope = c.tensor(x), c.tensor(slope)
    return ops.where(x < 0.0, x * slope, x).to(x.dtype)


@register("FastGelu", "com.microsoft")
@register("BiasGelu", "com.microsoft")
def _(c: Call, x: Any, bias: Any = None) -> Any:
    x = c.tensor(x)
    return ops.gelu(x if bias is None else x + c.tensor(bias), "tanh" if c.op == "FastGelu" else "none")


@register("Gelu", "com.microsoft")
def _(c: Call, x: Any) -> Any:
    return ops.gelu(c.tensor(x))


@register("QuickGelu", "com.microsoft")
def _(c: Call, x: Any) -> Any:
    x = c.tensor(x)
    return x * (x * float(c.get("alpha", 1.702))).sigmoid()


@register("Dropout")
def _(c: Call, x: Any, ratio: Any = None, training: Any = None) -> Any:
    """Of inference: the identity. A training mode that is given is refused: its numbers would be another generator's."""
    c.ignore("seed", "ratio", "is_test", "consumed_inputs")
    if training is not None and bool(c.number(training, "training_mode")) and (ratio is None or float(c.number(ratio, "ratio")) != 0):
        raise c.refuse("random numbers of training mode")
    mask = np.ones((), bool) if not c.wants(1) else c.tensor(np.ones((), bool)).expand(*x.shape)
    return x, mask
