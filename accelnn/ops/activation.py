"""Activations, each one pass forward and one backward."""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, apply
from .elementwise import where
from .formula import function, k

HALF = math.sqrt(0.5)
DENSITY = 1 / math.sqrt(2 * math.pi)  # of the normal distribution at 0
CUBIC, RATIO = 0.044715, math.sqrt(2 / math.pi)
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al., 2017


def _gelu_slope(x: Any) -> Any:
    return 0.5 * (1.0 + k.erf(x * HALF)) + x * DENSITY * k.exp(x * x * -0.5)


def _gelu_tanh_slope(x: Any) -> Any:
    t = k.tanh(RATIO * (x + CUBIC * (x * x * x)))
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * (RATIO * (1.0 + 3 * CUBIC * (x * x)))


def _silu_slope(x: Any) -> Any:
    s = k.sigmoid(x)
    return s * (1.0 + x * (1.0 - s))


def _mish_tanh(x: Any) -> Any:
    """tanh(softplus(x)) = n / (n + 2), n = e (e + 2), e = exp(x)."""
    e = k.exp(k.min(x, 20.0))
    n = e * (e + 2.0)
    return n / (n + 2.0)


def _mish_slope(x: Any) -> Any:
    t = _mish_tanh(x)
    return t + x * (1.0 - t * t) * k.sigmoid(x)


def _softplus(x: Any, beta: float, threshold: float) -> Any:
    return k.select(x * beta > threshold, x, k.softplus(x * beta) * (1 / beta))


function("gelu", lambda x: 0.5 * x * (1.0 + k.erf(x * HALF)), _gelu_slope, flops=40)
function("gelu_tanh", lambda x: 0.5 * x * (1.0 + k.tanh(RATIO * (x + CUBIC * (x * x * x)))), _gelu_tanh_slope, flops=40)
function("silu", lambda x: x * k.sigmoid(x), _silu_slope, flops=25)
function("mish", lambda x: x * _mish_tanh(x), _mish_slope, flops=30)
function("leaky_relu", lambda x, slope: k.select(x > 0.0, x, x * slope), lambda x, slope: k.select(x > 0.0, 1.0, slope),
         program=lambda x, slope: x.emit("leaky", x, slope), passed=lambda dy, x, slope: x.emit("leaky", dy, slope), slope=0.01)  # fmt: skip
function("elu", lambda x, alpha: k.select(x > 0.0, x, alpha * k.expm1(x)), lambda x, alpha: k.select(x > 0.0, 1.0, alpha * k.exp(x)), flops=30, alpha=1.3)
function("celu", lambda x, alpha: k.select(x > 0.0, x, alpha * k.expm1(x * (1 / alpha))),
         lambda x, alpha: k.select(x > 0.0, 1.0, k.exp(x * (1 / alpha))), flops=30, alpha=1.3)  # fmt: skip
function("selu", lambda x: k.select(x > 0.0, SCALE * x, SCALE * ALPHA * k.expm1(x)),
         lambda x: k.select(x > 0.0, SCALE, SCALE * ALPHA * k.exp(x)), flops=30)  # fmt: skip
function("softplus", _softplus, lambda x, beta, threshold: k.select(x * beta > threshold, 1.0, k.sigmoid(x * beta)), (-9.0, 9.0), 50, beta=1.5, threshold=9.0)
function("softsign", lambda x: x / (1.0 + k.abs(x)), lambda x: 1.0 / ((1.0 + k.abs(x)) * (1.0 + k.abs(x))))
function("logsigmoid", lambda x: -k.softplus(-x), lambda x: k.sigmoid(-x), (-9.0, 9.0), 50)
function("hardtanh", lambda x, low, high: k.clamp(x, low, high), lambda x, low, high: k.within(x, low, high), low=-1.0, high=2.0)
function("hardsigmoid", lambda x: k.clamp(x * (1 / 6) + 0.5, 0.0, 1.0), lambda x: k.within(x, -3.0, 3.0) * (1 / 6), (-5.0, 5.0))
function("hardswish", lambda x: x * k.clamp(x * (1 / 6) + 0.5, 0.0, 1.0),
         lambda x: k.select(x <= -3.0, 0.0, k.select(x >= 3.0, 1.0, x * (1 / 3) + 0.5)), (-5.0, 5.0))  # fmt: skip
function("tanhshrink", lambda x: x - k.tanh(x), lambda x: k.tanh(x) * k.tanh(x), flops=24)
function("hardshrink", lambda x, width: k.select(k.abs(x) <= width, 0.0, x), lambda x, width: k.select(k.abs(x) <= width, 0.0, 1.0), width=0.5)
function("softshrink", lambda x, width: x - k.clamp(x, -width, width), lambda x, width: k.select(k.abs(x) <= width, 0.0, 1.0), width=0.5)
function("threshold", lambda x, at, value: k.select(x <= at, value, x), lambda x, at, value: k.select(x <= at, 0.0, 1.0), at=0.3, value=-7.0)


def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x)) (Misra, 2019)."""
    return apply("mish", x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    return apply("leaky_relu", x, slope=float(negative_slope))


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x, where it is negative weight * x: one weight, or one for each channel x[N, C, ...]."""
    n: Any = weight.shape[0]
    if n != 1:
        if x.ndim < 2 or x.shape[1] != n:
            raise ShapeError(f"prelu: {n} weights for {x.spec}")
        weight = weight.reshape(n, *(1,) * (x.ndim - 2))
    return where(x > 0.0, x, x * weight)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return apply("elu", x, alpha=float(alpha))


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    if alpha == 0:
        raise AttributeValueError("celu: alpha is 0")
    return apply("celu", x, alpha=float(alpha))


def selu(x: Tensor) -> Tensor:
    return apply("selu", x)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x is above the threshold."""
    return apply("softplus", x, beta=float(beta), threshold=float(threshold))


def softsign(x: Tensor) -> Tensor:
    return apply("softsign", x)


def logsigmoid(x: Tensor) -> Tensor:
    return apply("logsigmoid", x)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    return apply("hardtanh", x, low=float(min_val), high=float(max_val))


def relu6(x: Tensor) -> Tensor:
    return apply("hardtanh", x, low=0.0, high=6.0)


def hardsigmoid(x: Tensor) -> Tensor:
    return apply("hardsigmoid", x)


def hardswish(x: Tensor) -> Tensor:
    return apply("hardswish", x)


def tanhshrink(x: Tensor) -> Tensor:
    return apply("tanhshrink", x)


def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    return apply("hardshrink", x, width=float(lambd))


def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    if lambd < 0:
        raise AttributeValueError(f"softshrink: lambd {lambd} is negative")
    return apply("softshrink", x, width=float(lambd))


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """x where it is above the threshold, else value."""
    return apply("threshold", x, at=float(threshold), value=float(value))


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """The first half of `dim` times the sigmoid of the second."""
    from .arrange import chunk

    n: Any = x.shape[dim]
    if not isinstance(n, int) or n % 2:
        raise ShapeError(f"glu: dimension {dim} of {x.spec} has no halves")
    a, b = chunk(x, 2, dim)
    return a * b.sigmoid()


__all__ = ["celu", "elu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "prelu", "relu6", "selu",
           "softplus", "softshrink", "softsign", "tanhshrink", "threshold"]  # fmt: skip
