"""The other functions of one or two numbers, and reductions made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import ShapeError
from ..core.registry import OPS, Op
from ..core.tensor import Tensor, apply, as_tensor
from .arrange import axis_of
from .elementwise import clip, elementwise, where
from .formula import Number, function, k

LN2, LN10 = math.log(2.0), math.log(10.0)


def _toward_zero(x: Any) -> Any:
    return k.select(x < 0.0, -k.floor(-x), k.floor(x))


def _atan_in(k: Any, x: Any) -> Any:
    """Cephes atanf: x, 1/x or (x - 1) / (x + 1) brought below tan(pi / 8), then an odd polynomial; within 3 ulp."""
    a = k.abs(x)
    large, middle = a > 2.414213562373095, a > 0.4142135623730950
    t = k.select(large, -1.0 / k.max(a, 1.0), k.select(middle, (a - 1.0) / (a + 1.0), a))
    z = t * t
    p = (((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z - 3.33329491539e-1) * z * t + t
    y = k.select(large, math.pi / 2, k.select(middle, math.pi / 4, 0.0)) + p
    return k.select(x < 0.0, -y, y)


def atan_of(x: Any) -> Any:
    return np.arctan(x) if isinstance(x, np.ndarray) else _atan_in(k, x)


function("floor", k.floor, None, (-30.0, 30.0))
function("ceil", lambda x: -k.floor(-x), None, (-30.0, 30.0))
function("round", k.rint, None, (-30.0, 30.0))
function("trunc", _toward_zero, None, (-30.0, 30.0))
function("sign", lambda x: np.sign(x) if isinstance(x, np.ndarray) else x.emit("sign"), None)
function("square", lambda x: x * x, lambda x: 2.0 * x, flops=1)
function("reciprocal", lambda x: 1.0 / x, lambda x: -1.0 / (x * x), (0.3, 3.0), 4)
function("rsqrt", lambda x: 1.0 / k.sqrt(x), lambda x: -0.5 / (x * k.sqrt(x)), (0.2, 4.0), 8)
function("log1p", k.log1p, lambda x: 1.0 / (1.0 + x), (-0.7, 4.0), 28)
function("expm1", k.expm1, k.exp, (-2.0, 2.0), 40)
function("log2", lambda x: k.log(x) * (1 / LN2), lambda x: (1 / LN2) / x, (0.2, 9.0), 21)
function("log10", lambda x: k.log(x) * (1 / LN10), lambda x: (1 / LN10) / x, (0.2, 9.0), 21)
function("exp2", lambda x: k.exp(x * LN2), lambda x: LN2 * k.exp(x * LN2), flops=17)
function("sin", k.sin, k.cos, flops=28)
function("cos", k.cos, lambda x: -k.sin(x), flops=28)
function("tan", lambda x: k.sin(x) / k.cos(x), lambda x: 1.0 / (k.cos(x) * k.cos(x)), (-1.3, 1.3), 60)
function("atan", atan_of, lambda x: 1.0 / (1.0 + x * x), (-5.0, 5.0), 30)
function("asin", lambda x: np.arcsin(x) if isinstance(x, np.ndarray) else atan_of(x / k.sqrt((1.0 - x) * (1.0 + x))),
         lambda x: 1.0 / k.sqrt((1.0 - x) * (1.0 + x)), (-0.9, 0.9), 40)  # fmt: skip
function("acos", lambda x: np.arccos(x) if isinstance(x, np.ndarray) else 2.0 * atan_of(k.sqrt((1.0 - x) / (1.0 + x))),
         lambda x: -1.0 / k.sqrt((1.0 - x) * (1.0 + x)), (-0.9, 0.9), 40)  # fmt: skip
function("sinh", lambda x: np.sinh(x) if isinstance(x, np.ndarray) else _sinh(x), lambda x: 0.5 * (k.exp(x) + k.exp(-x)), flops=60)
function("cosh", lambda x: 0.5 * (k.exp(x) + k.exp(-x)), lambda x: np.sinh(x) if isinstance(x, np.ndarray) else _sinh(x), flops=40)
function("asinh", lambda x: np.arcsinh(x) if isinstance(x, np.ndarray) else _asinh(x), lambda x: 1.0 / k.sqrt(x * x + 1.0), (-5.0, 5.0), 60)
function("acosh", lambda x: k.log(x + k.sqrt((x - 1.0) * (x + 1.0))), lambda x: 1.0 / k.sqrt((x - 1.0) * (x + 1.0)), (1.3, 6.0), 40)
function("atanh", lambda x: 0.5 * (k.log1p(x) - k.log1p(-x)), lambda x: 1.0 / ((1.0 - x) * (1.0 + x)), (-0.7, 0.7), 60)


def _sinh(x: Any) -> Any:
    """e / 2 (1 + 1 / (e + 1)) with e = exp(|x|) - 1, so that nothing cancels near 0."""
    e = k.expm1(k.abs(x))
    y = 0.5 * (e + e / (e + 1.0))
    return k.select(x < 0.0, -y, y)


def _asinh(x: Any) -> Any:
    a = k.abs(x)
    y = k.log1p(a + a * a / (1.0 + k.sqrt(a * a + 1.0)))
    return k.select(x < 0.0, -y, y)


def _is_finite(x: Any) -> Any:
    return np.isfinite(x) if isinstance(x, np.ndarray) else k.abs(x) < math.inf


function("isnan", lambda x: np.isnan(x) if isinstance(x, np.ndarray) else x.emit("ne", x), None, dtype=DType.bool)
function("isinf", lambda x: np.isinf(x) if isinstance(x, np.ndarray) else k.abs(x).emit("eq", math.inf), None, dtype=DType.bool)
function("isfinite", _is_finite, None, dtype=DType.bool)
function("logical_not", lambda x: x == 0 if isinstance(x, np.ndarray) else x.emit("eq", 0.0), None, dtype=DType.bool)


def _two(name: str, program: Callable[[Number, Number], Number], reference: Callable[..., Any], domain: tuple[float, float] = (-3.0, 3.0),
         dtype: DType = DType.float32) -> Op:  # fmt: skip
    return elementwise(name, 2, lambda p, a, b: program(Number(p, a), Number(p, b)).value, reference, domain, dtype)


def _truth(x: Number) -> Number:
    return x.emit("ne", 0.0)


def _quotient(round_to: Callable[[Any], Any]) -> Callable[[Number, Number], Number]:
    """a - round(a / b) b, the product subtracted in one rounding where the processor can."""
    return lambda a, b: Number(a.p, a.p.emit("fma", (-round_to(a / b)).value, b.value, a.value))


for _name, _program, _reference in (("logical_and", lambda a, b: _truth(a) * _truth(b), lambda a, b: (a != 0) & (b != 0)),
                                    ("logical_or", lambda a, b: k.max(_truth(a), _truth(b)), lambda a, b: (a != 0) | (b != 0)),
                                    ("logical_xor", lambda a, b: _truth(a).emit("ne", _truth(b)), lambda a, b: (a != 0) ^ (b != 0))):  # fmt: skip
    _two(_name, _program, _reference, dtype=DType.bool)
remainder_op = _two("remainder", _quotient(k.floor), np.mod, (0.5, 3.0))
fmod_op = _two("fmod", _quotient(_toward_zero), np.fmod, (0.5, 3.0))


@remainder_op.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return dy, -(dy * apply("floor", a / b))


@fmod_op.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, y: Tensor) -> Any:
    return dy, -(dy * apply("trunc", a / b))


def _unary(name: str, doc: str) -> Callable[[Tensor], Tensor]:
    op = OPS[name]

    def call(x: Tensor) -> Tensor:
        return op.call(x)  # type: ignore[no-any-return]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return call


abs = _unary("abs", "|x|.")
acos = _unary("acos", "Arc cosine.")
acosh = _unary("acosh", "Inverse of cosh.")
asin = _unary("asin", "Arc sine.")
asinh = _unary("asinh", "Inverse of sinh.")
atan = _unary("atan", "Arc tangent.")
atanh = _unary("atanh", "Inverse of tanh.")
ceil = _unary("ceil", "The next integer above.")
cos = _unary("cos", "Cosine.")
cosh = _unary("cosh", "Hyperbolic cosine.")
erf = _unary("erf", "Error function.")
exp = _unary("exp", "e^x.")
exp2 = _unary("exp2", "2^x.")
expm1 = _unary("expm1", "e^x - 1, right near 0 too.")
floor = _unary("floor", "The next integer below.")
isfinite = _unary("isfinite", "Neither NaN nor infinite.")
isinf = _unary("isinf", "Plus or minus infinity.")
isnan = _unary("isnan", "Not a number.")
log = _unary("log", "Natural logarithm.")
log10 = _unary("log10", "Logarithm to base 10.")
log1p = _unary("log1p", "log(1 + x), right near 0 too.")
log2 = _unary("log2", "Logarithm to base 2.")
logical_not = _unary("logical_not", "x is 0.")
neg = _unary("neg", "-x.")
reciprocal = _unary("reciprocal", "1 / x.")
relu = _unary("relu", "max(x, 0).")
round = _unary("round", "The nearest integer, halves to even.")
rsqrt = _unary("rsqrt", "1 / sqrt(x).")
sigmoid = _unary("sigmoid", "1 / (1 + e^-x).")
sign = _unary("sign", "-1, 0 or 1.")
sin = _unary("sin", "Sine.")
sinh = _unary("sinh", "Hyperbolic sine.")
sqrt = _unary("sqrt", "Square root.")
square = _unary("square", "x * x.")
tan = _unary("tan", "Tangent.")
tanh = _unary("tanh", "Hyperbolic tangent.")
trunc = _unary("trunc", "The integer part.")


def logical_and(a: Tensor, b: Any) -> Tensor:
    """bool: both are not 0."""
    return apply("logical_and", a, b)


def logical_or(a: Tensor, b: Any) -> Tensor:
    return apply("logical_or", a, b)


def logical_xor(a: Tensor, b: Any) -> Tensor:
    return apply("logical_xor", a, b)


def remainder(a: Any, b: Any) -> Tensor:
    """a - floor(a / b) b: the sign of b (torch.remainder, Python's %). Quotients up to 2^24."""
    return apply("remainder", a, b)


def fmod(a: Any, b: Any) -> Tensor:
    """a - trunc(a / b) b: the sign of a (C's fmod). Quotients up to 2^24."""
    return apply("fmod", a, b)


def clamp(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """x between min and max; a side that is None is open."""
    if min is not None and max is not None:
        return clip(x, min, max)
    return apply("maximum", x, min) if min is not None else apply("minimum", x, max) if max is not None else x


# Reductions


def _axes(x: Tensor, dim: Any) -> tuple[int, ...]:
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    return tuple(sorted(axis_of("reduction", d, x.ndim) for d in dims))


def logsumexp(x: Tensor, dim: int | Sequence[int], keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))), shifted by the maximum so that nothing overflows."""
    axes = _axes(x, dim)
    top = x.max(axes, keepdim=True).detach()
    top = where(apply("isfinite", top), top, 0.0)
    y = (x - top).exp().sum(axes, keepdim=True).log() + top
    return y if keepdim else y.reshape(*(s for d, s in enumerate(x.shape) if d not in axes))


def _terms(x: Tensor, axes: tuple[int, ...]) -> int:
    n = product(tuple(x.shape[a] for a in axes))
    if not isinstance(n, int):
        raise ShapeError(f"variance over dimensions of unknown size ({x.spec})")
    return n


def var(x: Tensor, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """Sum of squared distances from the mean over n - correction (torch's default divides by n - 1)."""
    axes = _axes(x, dim)
    n = _terms(x, axes)
    d = x - x.mean(axes, keepdim=True)
    return (d * d).sum(axes, keepdim) * (1.0 / (n - correction) if n > correction else math.nan)


def std(x: Tensor, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Tensor:
    """Square root of var()."""
    return var(x, dim, correction, keepdim).sqrt()


def norm(x: Tensor, p: float | str = 2.0, dim: Any = None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p); p "fro" is 2, inf the largest, -inf the smallest |x|, 0 how many are not 0."""
    axes, size = _axes(x, dim), x.abs()
    p = 2.0 if p == "fro" else float(p)
    if math.isinf(p):
        return size.max(axes, keepdim) if p > 0 else size.min(axes, keepdim)
    if p == 0:
        return (x != 0.0).float().sum(axes, keepdim)
    if p == 1:
        return size.sum(axes, keepdim)
    if p == 2:
        squares = (x * x).sum(axes, keepdim)
        none = squares == 0.0  # the root's slope there is infinite, the norm's is taken as 0
        return where(none, 0.0, where(none, 1.0, squares).sqrt())
    return apply("pow", apply("pow", size, p).sum(axes, keepdim), 1.0 / p)


def any(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """bool: some element is not 0 (a NaN is not)."""
    return apply("ne", (x != 0.0).float().max(_axes(x, dim), keepdim), 0.0)


def all(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """bool: no element is 0."""
    return apply("ne", (x != 0.0).float().min(_axes(x, dim), keepdim), 0.0)


def prod(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Product of the elements."""
    return apply("prod", x, axes=_axes(x, dim), keepdim=bool(keepdim))


def arange(*bounds: float, dtype: Any = None) -> Tensor:
    """start (0), stop, step (1): int64 where all are integers, else float32."""
    return as_tensor(np.arange(*bounds, dtype=dtype and as_numpy(dtype)))


def as_numpy(dtype: Any) -> Any:
    from ..core.dtypes import as_dtype

    return as_dtype(dtype).storage


__all__ = ["abs", "acos", "acosh", "all", "any", "arange", "asin", "asinh", "atan", "atanh", "ceil", "clamp", "cos", "cosh", "erf", "exp", "exp2", "expm1",
           "floor", "fmod", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2", "logical_and", "logical_not", "logical_or", "logical_xor",
           "logsumexp", "neg", "norm", "prod", "reciprocal", "relu", "remainder", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "std",
           "tan", "tanh", "trunc", "var"]  # fmt: skip
