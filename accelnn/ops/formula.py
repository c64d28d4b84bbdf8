"""A function of one number, and its derivative, written once: as a pointwise program (one pass over memory), in plain ops (differentiated again, traced),
and in numpy (the float64 reference)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.registry import OPCODES, OPS, Op
from ..core.tensor import Tensor, apply
from .elementwise import elementwise


class Number:
    """A value of a program under construction."""

    def __init__(self, program: Any, value: int) -> None:
        self.p, self.value = program, value

    def _of(self, x: Any) -> int:
        return x.value if isinstance(x, Number) else self.p.const(float(x))

    def emit(self, opcode: str, *others: Any) -> Number:
        return Number(self.p, self.p.emit(opcode, self.value, *map(self._of, others)))

    def _turned(self, opcode: str, other: Any) -> Number:
        return Number(self.p, self.p.emit(opcode, self._of(other), self.value))

    def __add__(self, b: Any) -> Number: return self.emit("add", b)
    def __sub__(self, b: Any) -> Number: return self.emit("sub", b)
    def __mul__(self, b: Any) -> Number: return self.emit("mul", b)
    def __truediv__(self, b: Any) -> Number: return self.emit("div", b)
    def __rsub__(self, b: Any) -> Number: return self._turned("sub", b)
    def __rtruediv__(self, b: Any) -> Number: return self._turned("div", b)
    def __neg__(self) -> Number: return self.emit("neg")
    def __gt__(self, b: Any) -> Number: return self.emit("gt", b)
    def __ge__(self, b: Any) -> Number: return self.emit("ge", b)
    def __lt__(self, b: Any) -> Number: return self.emit("lt", b)
    def __le__(self, b: Any) -> Number: return self.emit("le", b)
    __radd__, __rmul__ = __add__, __mul__


_NUMPY: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "abs": np.abs, "sqrt": np.sqrt,
    "erf": np.vectorize(math.erf, otypes=[np.float64]), "max": np.maximum, "min": np.minimum, "floor": np.floor, "rint": np.rint, "sin": np.sin, "cos": np.cos,
    "select": lambda c, a, b: np.where(c, a, b), "expm1": np.expm1, "softplus": lambda x: np.logaddexp(0, x),
}  # fmt: skip
_TENSOR = {"max": "maximum", "min": "minimum", "select": "where"}


class Functions:
    """k.exp(x), k.max(a, b), k.select(c, a, b) ... of Numbers, Tensors or arrays alike."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*x: Any) -> Any:
            first = next((v for v in x if not isinstance(v, (int, float))), None)
            if isinstance(first, Number):
                return Number(first.p, first.p.emit(name, *map(first._of, x)))
            if isinstance(first, Tensor):
                return apply(_TENSOR.get(name, name), *x)
            return _NUMPY[name](*x)

        return call

    def expm1(self, x: Any) -> Any:
        """exp(x) - 1: by way of tanh(x / 2) where the difference would lose digits."""
        if isinstance(x, np.ndarray) or np.isscalar(x):
            return np.expm1(x)
        if isinstance(x, Number):
            return x.emit("expm1")
        t = self.tanh(x * 0.5)
        return self.select(self.abs(x) < 1.0, 2.0 * t / (1.0 - t), self.exp(x) - 1.0)

    def softplus(self, x: Any) -> Any:
        """log(1 + exp(x)) that does not overflow."""
        if isinstance(x, np.ndarray) or np.isscalar(x):
            return np.logaddexp(0, x)
        return self.max(x, 0.0) + self.log1p(self.exp(-self.abs(x)))

    def clamp(self, x: Any, low: float, high: float) -> Any:
        return x.emit("clamp", low, high) if isinstance(x, Number) else self.min(self.max(x, low), high)

    def within(self, x: Any, low: float, high: float) -> Any:
        """1 between low and high, else 0."""
        return x.emit("within", low, high) if isinstance(x, Number) else self.select(x > low, self.select(x < high, 1.0, 0.0), 0.0)


k = Functions()
Formula = Callable[..., Any]


def function(name: str, f: Formula, derivative: Formula | None, domain: tuple[float, float] = (-3.0, 3.0), flops: int = 8, dtype: DType = DType.float32,
             program: Formula | None = None, passed: Formula | None = None, **attrs: Any) -> Op:  # fmt: skip
    """The op `name`: f(x, **attrs), with the gradient dy * derivative(x, **attrs) as one op more, `name_grad`, whose own derivative comes from the plain
    ops. derivative None: 0 wherever there is one. Where the kernel has an instruction `name` or `name_slope`, the program is that.
    `program` and `passed(dy, x)`: shorter programs of Numbers for both."""
    slope = name + "_slope"

    def value(p: Any, x: int, **a: Any) -> int:
        return int(p.emit(name, x) if name in OPCODES else (program or f)(Number(p, x), **a).value)

    def gradient(p: Any, dy: int, x: int, **a: Any) -> int:
        if passed is not None:
            return int(passed(Number(p, dy), Number(p, x), **a).value)
        return int(p.mul(dy, p.emit(slope, x) if slope in OPCODES else d(Number(p, x), **a).value))

    op = elementwise(name, 1, value, lambda x, **a: f(np.asarray(x), **a), domain, dtype, flops, **attrs)
    if dtype == DType.bool:
        return op
    if derivative is None:
        op.vjp(lambda dy, x, y, **a: None)
        return op
    d = derivative
    grad = elementwise(name + "_grad", 2, gradient, lambda dy, x, **a: dy * d(np.asarray(x), **a),
                       domain, flops=flops, **attrs)  # fmt: skip
    grad.composition = lambda dy, x, **a: dy * d(x, **a)
    op.vjp(lambda dy, x, y, **a: OPS[name + "_grad"].call(dy, x, **a))
    return op


__all__ = ["Functions", "Number", "function", "k"]
