"""float32 activations against int8 weights: rows become bytes inside the call, the product is exact in integers, the result float32 again."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, asarray
from .matmul import ACTIVATIONS, EPS, PANEL, _activate, gamma, slope
from .quantized import step_of

SMALLEST = float(np.finfo(np.float32).tiny)  # of the steps


def _shape(a: Spec, b: Spec, scale: Spec, bias: Spec | None = None, packed: int = 0, activation: int = 0, whole: int = 0) -> Spec:
    if a.dtype != DType.float32 or b.dtype != DType.int8 or len(a.shape) < 2:
        raise DTypeError(f"dynamic_qmatmul: float32[..., M, K] and int8 weights expected, not {a} and {b}")
    if len(scale.shape) != 1 or (bias is not None and bias.shape != scale.shape):
        raise ShapeError(f"dynamic_qmatmul: a scale for each column expected, and as many biases; got {scale} and {bias}")
    k, n = a.shape[-1], scale.shape[0]
    expected = ((n + PANEL - 1) // PANEL, (k + 3) // 4 + 1, 4 * PANEL) if packed else (k, n)
    if b.shape != expected:
        raise ShapeError(f"dynamic_qmatmul: {a} @ {b} with {n} scales: weights {list(expected)} expected")
    return Spec((*a.shape[:-1], n), DType.float32)


def unpack(b: Any, k: int, n: int) -> Any:
    """[ceil(N/16), ceil(K/4) + 1, 64] -> [K, N]: what matmul_pack did, undone."""
    quads = b[:, :-1].reshape(b.shape[0], -1, PANEL, 4)
    return quads.transpose(1, 3, 0, 2).reshape(-1, b.shape[0] * PANEL)[:k, :n]


def quantize_rows(a: Any, whole: int = 0) -> tuple[Any, Any, Any]:
    """Bytes, zero points and steps of float32 rows, exactly as every kernel makes them. NaN steps for rows that are not finite."""
    a = np.asarray(a, np.float32)
    if whole:
        (by, at), ones = step_of(a), np.ones((*a.shape[:-1], 1))
        same = np.zeros(a.shape) if np.isnan(by) else np.clip(np.rint((a / by).astype(np.float32)) + np.float64(at), 0, 255)
        return same.astype(np.int64), (ones * at).astype(np.int64), (ones * by).astype(np.float32)
    half, one = np.float32(0.5), np.float32(1)
    finite = np.isfinite(a).all(-1, keepdims=True)
    a = np.where(finite, a, np.float32(0))
    low, high = a.min(-1, keepdims=True, initial=0.0), a.max(-1, keepdims=True, initial=0.0)
    step = np.maximum((half * high - half * low) / np.float32(127.5), np.float32(SMALLEST))
    inverse = one / step
    zero = np.rint(-low * inverse)
    q = np.minimum(np.rint(a * inverse) + zero, np.float32(255))
    return q.astype(np.int64), zero.astype(np.int64), np.where(finite, step, np.float32(np.nan))


def exact(a: Any, b: Any, scale: Any, bias: Any = None, packed: int = 0, activation: int = 0, whole: int = 0) -> Any:
    """The contract's own arithmetic: integers, then float32 operations rounded one by one."""
    b = unpack(b, a.shape[-1], len(scale)) if packed else b
    q, zero, step = quantize_rows(a, whole)
    y = ((q - zero) @ b.astype(np.int64)).astype(np.float32) * (np.asarray(scale, np.float32) * step)
    y = y if bias is None else y + np.asarray(bias, np.float32)
    return _activate(y, activation)


def _reference(a: Any, b: Any, scale: Any, bias: Any = None, packed: int = 0, activation: int = 0, whole: int = 0) -> Any:
    """Real arithmetic, without any quantization of a; NaN for rows that are not finite."""
    b = unpack(b, a.shape[-1], len(scale)) if packed else b
    a = np.where(np.isfinite(a).all(None if whole else -1, keepdims=True), a, np.nan)
    y = a @ b.astype(np.float64) * scale
    return _activate(y if bias is None else y + bias, activation)


def _bound(a: Any, b: Any, scale: Any, bias: Any = None, packed: int = 0, activation: int = 0, whole: int = 0) -> Any:
    """A byte is at most half a step away from its number: 1/2 + 2^-12, because the quotient is a product with a rounded inverse (3 roundings of numbers
    up to 255: 255 * 3 * 2^-24 < 2^-14, in the number and in the zero point), and because q = 256 is cut where both were rounded up. Four roundings follow
    (sum to float, scale * step, times that, plus bias), and one of scale * step may be a denormal's."""
    b = np.abs((unpack(b, a.shape[-1], len(scale)) if packed else b).astype(np.float64))
    axis = None if whole else -1
    low, high = a.min(axis, keepdims=True, initial=0.0), a.max(axis, keepdims=True, initial=0.0)
    step = np.maximum((high - low) / 255, SMALLEST) * (1 + 2 * EPS)
    error = step * (0.5 + 2.0**-12)
    size = (np.abs(a) @ b + error * b.sum(0)) * np.abs(scale)
    rounding = gamma(5) * (size + (0 if bias is None else np.abs(bias))) + 2.0**-149 * 255 * b.sum(0)
    whole = error * b.sum(0) * np.abs(scale) + rounding
    if not activation:
        return whole
    return slope(activation) * whole + 4 * EPS * np.maximum(size + (0 if bias is None else np.abs(bias)), 1)


def _cost(a: Spec, b: Spec, scale: Spec, bias: Spec | None = None, **attrs: Any) -> Any:
    y = _shape(a, b, scale, bias, **attrs)
    return 2 * product(y.shape) * a.shape[-1], 4 * (product(a.shape) + product(y.shape)) + product(b.shape)


_SIZES = ((1, 1, 1), (2, 3, 4), (3, 17, 5), (1, 33, 67), (2, 84, 120), (4, 48, 64), (5, 6, 0), (0, 4, 4), (3, 0, 5), (7, 40, 31), (14, 32, 16), (17, 33, 64),
          (29, 50, 129), (64, 10, 84), (129, 65, 260))


def rows_of_every_kind(rng: np.random.Generator, m: int, k: int) -> Any:
    """Rows that are hard on a quantizer, in turn: ordinary, zero, constant, positive, negative, symmetric (both ends round up), denormal, huge, a spike."""
    a = rng.normal(size=(m, k)).astype(np.float32)
    for i in range(m):
        a[i] = [a[i], 0 * a[i], np.full(k, 3.7), np.abs(a[i]), -np.abs(a[i]), np.sign(a[i]), a[i] * 1e-41, a[i] / max(1, np.abs(a[i]).max(initial=1)) * 1e33,
                np.where(np.arange(k) == k // 2, 1e4, a[i])][i % 9]
    return a


def weights_at_the_ends(rng: np.random.Generator, k: int, n: int) -> Any:
    return np.where(rng.random((k, n)) < 0.3, rng.choice([-128, -127, 127], (k, n)), rng.integers(-128, 128, (k, n))).astype(np.int8)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for m, n, k in _SIZES:
        a, b = rows_of_every_kind(rng, m, k), weights_at_the_ends(rng, k, n)
        scale, bias = rng.uniform(1e-4, 1e-3, n).astype(np.float32), rng.normal(size=n).astype(np.float32)
        found += [((a, b, scale, bias), {}), ((a, b, scale), {"activation": 1})]
        even = (rng.normal(size=(m, k)) * rng.uniform(1, 3, (m, 1))).astype(np.float32)
        found += [((even, b, scale, bias), {"whole": 1}), ((np.abs(even) + 1, b, scale), {"whole": 1, "activation": 7})]
    a = rng.normal(size=(2, 3, 5, 40)).astype(np.float32)
    found.append(((a, b[:40, :20].copy(), scale[:20], bias[:20]), {}))
    a = rng.normal(size=(2, 3, 5, 40)).astype(np.float32)
    found.append(((a, b[:40, :20].copy(), scale[:20], bias[:20]), {"whole": 1}))
    a = rng.normal(size=(6, 20)).astype(np.float32)
    found += [((a, b[:20, :9].copy(), scale[:9], bias[:9]), {"activation": c}) for c in range(len(ACTIVATIONS))]
    return found


_op = Op("dynamic_qmatmul", _shape, _reference, strided=True, samples=_samples, cost=_cost, bound=_bound)


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """float32[K, N] -> int8[K, N] and a scale for each column: symmetric, the largest of a column becomes 127 (or -127)."""
    w = asarray(weight).numpy()
    if w.ndim != 2 or w.dtype != np.float32:
        raise ShapeError(f"quantize_weight: float32[K, N] expected, not {w.dtype}{list(w.shape)}")
    if not np.isfinite(w).all():
        raise AttributeValueError("quantize_weight: the weights hold NaN or infinity, which no int8 stands for; look for what made them")
    scale = np.maximum(np.abs(w).max(0, initial=0.0) / np.float32(127), np.float32(SMALLEST))
    return asarray(np.rint(w / scale).astype(np.int8)), asarray(scale.astype(np.float32))


def dynamic_qmatmul(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """activation(x @ (weight * scale) + bias) with the rows of x as bytes: x float32[..., M, K]; weight int8[K, N], or the panels that pack(weight) made
    (made once, they save the packing in each call); scale and bias float32[N]. For inference: it has no gradient."""
    if activation not in ACTIVATIONS:
        raise AttributeValueError(f"dynamic_qmatmul: activation is one of {', '.join(ACTIVATIONS)}, not '{activation}'")
    # Straight to the op: by its name and with a dict of attributes a call takes 0.5 us more (one row of 768 x 768: 8.4 instead of 7.8 us).
    packed, how = int(weight.ndim == 3), ACTIVATIONS.index(activation)
    if bias is None:
        return _op.call(x, weight, scale, packed=packed, activation=how)  # type: ignore[no-any-return]
    return _op.call(x, weight, scale, bias, packed=packed, activation=how)  # type: ignore[no-any-return]


def pack(weight: Tensor) -> Tensor:
    """int8[K, N], transposed or not -> [ceil(N/16), ceil(K/4) + 1, 64], the panels that the kernels read."""
    return apply("matmul_pack", weight)


__all__ = ["dynamic_qmatmul", "quantize_weight"]
