"""Operations that map element to element: each is a short program of the `pointwise` kernel, so any chain of them can become one pass over memory.

Shapes broadcast by numpy's rule. Results are float32, comparisons bool."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.dims import Shape, product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import OPS, Op
from ..core.tensor import Tensor, apply

TAKEN = (DType.float32, DType.bool, DType.uint8, DType.int8, DType.bfloat16, DType.float16)


def broadcast(name: str, *shapes: Shape) -> Shape:
    """The common shape, or ShapeError."""
    rank = max(len(s) for s in shapes)
    result = []
    for i in range(rank):
        sizes = [s[len(s) - rank + i] for s in shapes if len(s) - rank + i >= 0]
        big = next((s for s in sizes if s != 1), 1)
        if any(s not in (1, big) for s in sizes):
            raise ShapeError(f"{name}: shapes {', '.join(map(str, shapes))} do not broadcast")
        result.append(big)
    return tuple(result)


def _rule(name: str, dtype: DType) -> Callable[..., Spec]:
    def shape(*inputs: Spec, **_: Any) -> Spec:
        for s in inputs:
            if s.dtype not in TAKEN:
                raise DTypeError(f"{name}: elementwise arithmetic takes {', '.join(d.name for d in TAKEN)}, not {s.dtype.name}; use .to(float32)")
        return Spec(broadcast(name, *(s.shape for s in inputs)), dtype)

    return shape


_UNARY_SHAPES = ((0,), (1,), (7,), (3, 5), (2, 0, 3), (4, 1, 33), (513,))
_BINARY_SHAPES = (((7,), (7,)), ((3, 5), (5,)), ((3, 1), (1, 5)), ((), (4,)), ((2, 3, 4, 4), (1, 3, 1, 1)), ((0, 3), (3,)), ((600,), (600,)))


def _samples(n: int, low: float, high: float, scalars: dict[str, Any]) -> Callable[[], list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    def samples() -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        rng = np.random.default_rng(0)
        shapes: list[Any] = [(s,) for s in _UNARY_SHAPES] if n == 1 else [(*s, s[0])[:n] for s in _BINARY_SHAPES]
        return [(tuple(rng.uniform(low, high, s).astype(np.float32) for s in shape), dict(scalars)) for shape in shapes]

    return samples


def elementwise(
    name: str,
    n_inputs: int,
    program: Callable[..., Any],
    reference: Callable[..., Any],
    domain: tuple[float, float] = (-3.0, 3.0),
    dtype: DType = DType.float32,
    flops: int = 1,
    **sample_attrs: Any,
) -> Op:
    """Registers one op by its program; `domain`: where its samples are drawn."""

    def cost(*specs: Spec, **_: Any) -> tuple[int, int]:
        n = product(broadcast(name, *(s.shape for s in specs)))
        return flops * n, sum(s.dtype.itemsize * product(s.shape) for s in specs) + dtype.itemsize * n  # type: ignore[return-value]

    return Op(name, _rule(name, dtype), reference, program=program, samples=_samples(n_inputs, *domain, sample_attrs), cost=cost)


add = elementwise("add", 2, lambda p, a, b: p.add(a, b), lambda a, b: a + b)
sub = elementwise("sub", 2, lambda p, a, b: p.sub(a, b), lambda a, b: a - b)
mul = elementwise("mul", 2, lambda p, a, b: p.mul(a, b), lambda a, b: a * b)
div = elementwise("div", 2, lambda p, a, b: p.div(a, b), lambda a, b: a / b, (0.5, 3.0))
neg = elementwise("neg", 1, lambda p, a: p.neg(a), lambda a: -a)
abs_ = elementwise("abs", 1, lambda p, a: p.abs(a), np.abs)
exp = elementwise("exp", 1, lambda p, a: p.exp(a), np.exp, flops=16)
log = elementwise("log", 1, lambda p, a: p.log(a), np.log, (0.1, 5.0), flops=16)
sqrt = elementwise("sqrt", 1, lambda p, a: p.sqrt(a), np.sqrt, (0.1, 5.0), flops=4)
tanh = elementwise("tanh", 1, lambda p, a: p.tanh(a), np.tanh, flops=20)
sigmoid = elementwise("sigmoid", 1, lambda p, a: p.sigmoid(a), lambda a: 1 / (1 + np.exp(-a)), flops=20)
erf = elementwise("erf", 1, lambda p, a: p.erf(a), np.vectorize(math.erf, otypes=[np.float64]), flops=20)
relu = elementwise("relu", 1, lambda p, a: p.relu(a), lambda a: np.maximum(a, 0))
power = elementwise("pow", 2, lambda p, a, b: p.pow(a, b), np.power, (0.3, 2.0), flops=32)
maximum_ = elementwise("maximum", 2, lambda p, a, b: p.max(a, b), np.maximum)
minimum_ = elementwise("minimum", 2, lambda p, a, b: p.min(a, b), np.minimum)
select = elementwise("where", 3, lambda p, c, a, b: p.select(c, a, b), lambda c, a, b: np.where(c != 0, a, b))
for _name, _reference in (("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal), ("gt", np.greater), ("ge", np.greater_equal)):
    elementwise(_name, 2, lambda p, a, b, opcode=_name: p.emit(opcode, a, b), _reference, dtype=DType.bool)


@add.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return dy, dy


@sub.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return dy, -dy


@mul.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return dy * b, dy * a


@div.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    da = dy / b
    return da, -(da * y)


@neg.vjp
def _(dy: Tensor, a: Tensor, y: Tensor) -> Any:
    return -dy


@abs_.vjp
def _(dy: Tensor, a: Tensor, y: Tensor) -> Any:
    return where(a > 0.0, dy, where(a < 0.0, -dy, dy * 0.0))


@exp.vjp
def _(dy: Tensor, a: Tensor, y: Tensor) -> Any:
    return dy * y


@log.vjp
def _(dy: Tensor, a: Tensor, y: Tensor) -> Any:
    return dy / a


@sqrt.vjp
def _(dy: Tensor, a: Tensor, y: Tensor) -> Any:
    return dy * 0.5 / y


def _gradient(name: str, program: Callable[..., Any], composition: Callable[..., Any], reference: Callable[..., Any]) -> None:
    """The gradient of `name` from dy and the result, as one pass."""
    grad = elementwise(name + "_grad", 2, program, reference)
    grad.composition = composition
    OPS[name].vjp(lambda dy, a, y: grad.call(dy, y))


_gradient("tanh", lambda p, dy, y: p.mul(dy, p.sub(p.const(1.0), p.mul(y, y))), lambda dy, y: dy * (1.0 - y * y), lambda dy, y: dy * (1.0 - y * y))
_gradient("sigmoid", lambda p, dy, y: p.mul(dy, p.mul(y, p.sub(p.const(1.0), y))), lambda dy, y: dy * (y * (1.0 - y)), lambda dy, y: dy * (y * (1.0 - y)))
_gradient("relu", lambda p, dy, y: p.gate(y, dy), lambda dy, y: where(y > 0.0, dy, 0.0), lambda dy, y: np.where(y > 0, dy, 0.0))


@erf.vjp
def _(dy: Tensor, a: Tensor, y: Tensor) -> Any:
    return dy * (a * a * -1.0).exp() * (2.0 / math.sqrt(math.pi))


@power.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return dy * b * apply("pow", a, b - 1.0), dy * y * a.log()


@maximum_.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    """Ties go to the first operand."""
    return where(a >= b, dy, 0.0), where(a >= b, 0.0, dy)


@minimum_.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return where(a <= b, dy, 0.0), where(a <= b, 0.0, dy)


@select.vjp
def _(dy: Tensor, c: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return None, where(c, dy, 0.0), where(c, 0.0, dy)


def _adamw(p: Any, w: int, g: int, m: int, v: int, lr: int, correct1: int, correct2: int, *,
           beta1: float, beta2: float, eps: float, weight_decay: float) -> Any:
    m = p.fma(p.const(beta1), m, p.mul(p.const(1 - beta1), g))
    v = p.fma(p.const(beta2), v, p.mul(p.const(1 - beta2), p.mul(g, g)))
    step = p.div(p.mul(m, correct1), p.add(p.sqrt(p.mul(v, correct2)), p.const(eps)))
    if weight_decay:
        step = p.fma(p.const(weight_decay), w, step)
    return p.sub(w, p.mul(lr, step)), m, v


def _adamw_reference(w: Any, g: Any, m: Any, v: Any, lr: Any, c1: Any, c2: Any, *, beta1: float, beta2: float, eps: float, weight_decay: float) -> Any:
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return w - lr * (m * c1 / (np.sqrt(v * c2) + eps) + weight_decay * w), m, v


def _adamw_samples() -> Any:
    rng = np.random.default_rng(0)
    attrs = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01}
    for shape in ((5,), (3, 40), (0,)):
        w, g, m = (rng.normal(size=shape).astype(np.float32) for _ in range(3))
        yield (w, g, m, np.abs(m), *(np.float32(s) for s in (1e-3, 1.5, 1.1))), attrs


def _adamw_rule(*inputs: Spec, **_: Any) -> tuple[Spec, ...]:
    """w' , m', v' all have w's shape; lr and the two bias corrections are 0-dimensional."""
    out = _rule("adamw_step", DType.float32)(*inputs)
    if out.shape != inputs[0].shape:
        raise ShapeError(f"adamw_step: operands of shape {out.shape} for a parameter of shape {inputs[0].shape}")
    return out, out, out


adamw_step = Op("adamw_step", _adamw_rule, _adamw_reference, program=_adamw, samples=lambda: list(_adamw_samples()))


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """a where condition is not 0, else b; shapes broadcast."""
    return apply("where", condition, a, b)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of each pair; NaN if either is NaN."""
    return apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Tensor:
    return apply("minimum", a, b)


def clip(x: Tensor, low: float, high: float) -> Tensor:
    return minimum(maximum(x, low), high)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return apply("silu", x)


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x) (Hendrycks and Gimpel, 2016); approximate="tanh": their formula with tanh."""
    if approximate not in ("none", "tanh"):
        raise AttributeValueError(f"gelu: approximate {approximate!r}; expected none or tanh")
    return apply("gelu" if approximate == "none" else "gelu_tanh", x)


__all__ = ["clip", "gelu", "maximum", "minimum", "silu", "where"]
