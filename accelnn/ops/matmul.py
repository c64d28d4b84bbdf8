"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType, to_bfloat16
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .elementwise import broadcast

ACTIVATIONS = ("none", "relu", "gelu", "silu", "sigmoid", "tanh", "hardsigmoid", "hardswish")  # codes of the kernels' epilogue
PANEL = 16  # columns of a packed panel: 64 bytes of float32


def _shape(a: Spec, b: Spec, bias: Spec | None = None, residual: Spec | None = None, packed: int = 0, activation: int = 0, scale: float = 1.0,
           columns: Any = None, out: str | None = None) -> Spec:  # fmt: skip
    if a.dtype not in (DType.float32, DType.bfloat16) or b.dtype != a.dtype:
        raise DTypeError(f"matmul: two float32 or two bfloat16 operands expected, not {a.dtype.name} and {b.dtype.name}")
    if out not in (None, a.dtype.name, "float32"):
        raise DTypeError(f"matmul: {a.dtype.name} operands give {a.dtype.name} or float32, not {out}")
    if packed:
        k, n, batch = b.shape[1], columns, b.shape[:0]
        if a.dtype == DType.bfloat16:
            k = a.shape[-1] if k == (a.shape[-1] + 1) // 2 else 2 * k
    elif len(a.shape) < 2 or len(b.shape) < 2:
        raise ShapeError(f"matmul: {a} @ {b}: both operands need at least two dimensions")
    else:
        k, n, batch = b.shape[-2], b.shape[-1], b.shape[:-2]
    if a.shape[-1] != k:
        raise ShapeError(f"matmul: {a} @ {b}: {a.shape[-1]} columns against {k} rows")
    if bias is not None and bias.shape != (n,):
        raise ShapeError(f"matmul: a bias of shape {bias.shape} for {n} columns")
    if bias is not None and bias.dtype not in (DType.float32, a.dtype):
        raise DTypeError(f"matmul: a float32{'' if a.dtype == DType.float32 else ' or bfloat16'} bias expected, not {bias.dtype.name}")
    y = Spec((*broadcast("matmul", a.shape[:-2], batch), a.shape[-2], n), DType[out] if out else a.dtype)
    if residual is not None and residual != y:
        raise ShapeError(f"matmul: a residual {residual} for a result {y}")
    return y


def _activate(y: Any, activation: int) -> Any:
    from .elementwise import erf

    return {
        "none": lambda: y,
        "relu": lambda: np.maximum(y, 0),
        "gelu": lambda: y * 0.5 * (1 + erf.reference(y * np.sqrt(0.5))),
        "silu": lambda: y / (1 + np.exp(-y)),
        "sigmoid": lambda: 1 / (1 + np.exp(-y)),
        "tanh": lambda: np.tanh(y),
        "hardsigmoid": lambda: np.clip(y / 6 + 0.5, 0, 1),
        "hardswish": lambda: y * np.clip(y / 6 + 0.5, 0, 1),
    }[ACTIVATIONS[activation]]()


def slope(activation: int) -> float:
    """The steepest that an activation is: how much an error before it can grow."""
    return {"none": 1.0, "hardswish": 1.5}.get(ACTIVATIONS[activation], 1.13)


def unpack(b: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[panels, K, 16] or, of bfloat16, [panels, ceil(K / 2), 32] -> [K, columns]."""
    pairs = b.shape[2] // PANEL
    return b.reshape(*b.shape[:2], PANEL, pairs).transpose(1, 3, 0, 2).reshape(b.shape[1] * pairs, len(b) * PANEL)[:rows, :columns]


def _reference(a: Any, b: Any, bias: Any = None, residual: Any = None, packed: int = 0, activation: int = 0, scale: float = 1.0, columns: Any = None,
               out: str | None = None) -> Any:
    y = a @ (unpack(b, a.shape[-1], columns) if packed else b) * scale
    y = y if residual is None else y + residual
    return _activate(y if bias is None else y + bias, activation)


EPS = float(np.finfo(np.float32).eps)


def gamma(k: int) -> float:
    """Relative error bound of a sum of k products in any order (Higham, Accuracy and Stability of Numerical Algorithms, 3.1)."""
    return k * EPS / 2 / (1 - k * EPS / 2)


def _bound(a: Any, b: Any, bias: Any = None, residual: Any = None, packed: int = 0, activation: int = 0, scale: float = 1.0, columns: Any = None,
           out: str | None = None) -> Any:
    """|err| <= gamma_(K+2) (|A||B| + |bias|), two roundings more with a scale, one with a residual; activations have slopes of at most 1.13
    (hardswish 1.5) and 4 ulp of their own."""
    size = abs(scale) * (np.abs(a) @ np.abs(unpack(b, a.shape[-1], columns) if packed else b)) + sum(np.abs(x) for x in (bias, residual) if x is not None)
    roundings = a.shape[-1] + 2 + 2 * (scale != 1) + (residual is not None)
    return gamma(roundings) * size * slope(activation) + (4 * EPS * np.maximum(size, 1) if activation else 0)


def _cost(a: Spec, b: Spec, bias: Spec | None = None, residual: Spec | None = None, **attrs: Any) -> Any:
    y = _shape(a, b, bias, residual, **attrs)
    moved = (product(a.shape) + product(b.shape)) * a.dtype.itemsize + product(y.shape) * (1 if residual is None else 2) * y.dtype.itemsize
    return 2 * product(y.shape) * a.shape[-1], moved


_SIZES = ((1, 1, 1), (2, 3, 4), (5, 16, 7), (1, 33, 50), (17, 31, 64), (14, 32, 16), (64, 10, 84), (3, 0, 5), (0, 4, 5), (2, 5, 0), (129, 65, 260))


def _samples() -> Any:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    plain: list[Any] = [((draw(m, k), draw(k, n)), {}) for m, n, k in _SIZES]
    plain += [((draw(6, 20), draw(20, 9), draw(9)), {"activation": c}) for c in range(len(ACTIVATIONS))]
    plain += [((draw(2, 3, 4, 5), draw(3, 5, 6)), {}), ((draw(4, 5), draw(2, 5, 6)), {})]
    for m, n, k in ((1, 1, 1), (3, 17, 5), (15, 33, 20), (2, 70, 530), (33, 20, 1100), (4, 5, 0)):
        plain += [((draw(m, k), draw(k, n), draw(n), draw(m, n)), {"scale": 0.125}), ((draw(m, k), draw(k, n), None, draw(m, n)), {})]
    plain += [((draw(3, 4, 5), draw(3, 5, 6), None, draw(3, 4, 6)), {"scale": -0.3, "activation": 2}), ((draw(6, 20), draw(20, 9)), {"scale": 3.7})]

    def halves(*shape: int) -> np.ndarray:
        return to_bfloat16(draw(*shape))

    for i, (m, n, k) in enumerate((*_SIZES, (33, 130, 258), (45, 70, 301), (7, 200, 530), (5, 1, 66), (40, 1, 33), (40, 33, 1100), (3, 70, 1031), (9, 40, 64))):
        plain.append(((halves(m, k), halves(k, n)), {"out": "float32"} if i % 3 else {}))
        packed = _pack_reference(halves(k, n))
        plain.append(((halves(m, k), packed), {"packed": 1, "columns": n, **({} if i % 2 else {"out": "float32"})}))
    plain += [((halves(6, 20), halves(20, 9), draw(9)), {"activation": c}) for c in range(len(ACTIVATIONS))]
    plain += [((halves(6, 20), halves(20, 9), halves(9), draw(6, 9)), {"scale": 0.7, "out": "float32"}),
              ((halves(40, 21), halves(21, 40), halves(40), halves(40, 40)), {"scale": 0.7})]  # fmt: skip
    plain += [((halves(2, 3, 4, 5), halves(3, 5, 6)), {}), ((halves(4, 5), halves(2, 5, 6)), {}), ((halves(3, 40, 33), halves(3, 33, 34)), {"out": "float32"}),
              ((halves(72, 264), halves(264, 136)), {})]  # fmt: skip
    return plain


matmul = Op("matmul", _shape, _reference, strided=True, samples=_samples, cost=_cost, bound=_bound)


@matmul.vjp
def _(dy: Tensor, a: Tensor, b: Tensor, *rest: Any, activation: int = 0, scale: float = 1.0, **_: Any) -> Any:
    """[M,N][N,K] -> [M,K] and [K,M][M,N] -> [K,N]; batches are summed by autograd. Fused activations appear only after differentiation.
    Of bfloat16 products the gradients are float32 sums of bfloat16 products, which autograd may go on adding up."""
    if activation:
        raise ShapeError("matmul with a fused activation has no gradient; passes fuse after differentiation")
    scaled = dy if scale == 1.0 else dy * scale
    if a.dtype == DType.bfloat16:
        scaled, dy = scaled.to(DType.bfloat16), dy.float()
        found = (apply("matmul", scaled, b.mT, out="float32"), apply("matmul", a.mT, scaled, out="float32"))
        return (*found, *(None if x is None else dy for x in rest[:-1]))
    return (scaled @ b.mT, (scaled.mT @ a).mT if _turned(b) else a.mT @ scaled, *(None if x is None else dy for x in rest[:-1]))


def _turned(b: Tensor) -> bool:
    """Whether b is a matrix seen from the side, as the weight of a linear layer is: its gradient is made to lie in memory as it does, for what comes
    next reads both (AdamW of 512 x 784, gradient against the grain: 1400 us, along it 261)."""
    return b.ndim == 2 and (b.value.node.op == "permute" if b.view is None else not b.view.contiguous)


def _pack_shape(b: Spec) -> Spec:
    if len(b.shape) != 2 or b.dtype not in (DType.float32, DType.bfloat16, DType.int8):
        raise ShapeError(f"matmul_pack: a matrix of float32, bfloat16 or int8 expected, not {b}")
    k, n = b.shape
    rows = {DType.float32: k, DType.bfloat16: (k + 1) // 2, DType.int8: (k + 3) // 4 + 1}[b.dtype]
    return Spec(((n + PANEL - 1) // PANEL, rows, 4 * PANEL // b.dtype.itemsize), b.dtype)


def _pack_reference(b: Any) -> Any:
    k, n = b.shape
    panels, group = -(-n // PANEL), 1 if b.dtype.kind == "f" else 4 // b.dtype.itemsize      # neighbours along k in 32 bits
    full = np.zeros((-(-k // group) * group, panels * PANEL), b.dtype)
    full[:k, :n] = b
    quads = full.reshape(len(full) // group, group, panels, PANEL).transpose(2, 0, 3, 1).reshape(panels, len(full) // group, group * PANEL)
    if b.dtype != np.int8:
        return quads
    sums = full.astype(np.int32).sum(0).astype("<i4").reshape(panels, 1, PANEL).view(np.int8)
    return np.concatenate([quads, sums], 1)


def _pack_samples() -> Any:
    rng = np.random.default_rng(0)
    sizes = ((1, 1), (5, 16), (7, 17), (64, 33), (0, 4))
    floats = [rng.normal(size=s).astype(np.float32) for s in sizes]
    return [((b,), {}) for b in (*floats, *map(to_bfloat16, floats), *(rng.integers(-128, 128, s).astype(np.int8) for s in sizes))]


matmul_pack = Op("matmul_pack", _pack_shape, _pack_reference, strided=True, samples=_pack_samples)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x[..., in] @ weight[out, in].T + bias[out]; leading dimensions are flattened into rows."""
    rows = x.reshape(-1, x.shape[-1]) if x.ndim != 2 else x
    y = apply("matmul", rows, weight.mT) if bias is None else apply("matmul", rows, weight.mT, bias)
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


__all__ = ["linear"]
