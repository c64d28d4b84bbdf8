"""Rotary position embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, tensor
from .conv import needs_gradient
from .matmul import gamma


def _shape(x: Spec, cos: Spec, sin: Spec, positions: Spec | None = None, interleaved: int = 0, inverse: int = 0) -> Spec:
    if any(s.dtype != DType.float32 for s in (x, cos, sin)):
        raise DTypeError(f"rope: float32 expected, not {x}, {cos}, {sin}")
    if len(x.shape) != 4 or len(cos.shape) != 3 or sin != cos or cos.shape[0] not in (1, x.shape[0]) or 2 * cos.shape[2] > x.shape[3]:
        raise ShapeError(f"rope: {x} with cos {cos} and sin {sin}: [B,H,L,E] and twice [P,R] or [B,L,R], 2 R <= E, expected")
    if positions is None and cos.shape[1] != x.shape[2]:
        raise ShapeError(f"rope: tables of {cos.shape[1]} places for {x.shape[2]} rows")
    if positions is not None and positions != Spec((x.shape[0], x.shape[2]), DType.int64):
        raise ShapeError(f"rope: positions are {positions} for {x}; int64[B,L] expected")
    return x


def _rows(table: Any, positions: Any) -> Any:
    """[b, P, R] -> [B or 1, 1, L, R]."""
    if positions is None:
        return table[:, None]
    items = np.arange(len(positions))[:, None] if len(table) > 1 else np.zeros((len(positions), 1), np.int64)
    return table[items, np.asarray(positions, np.int64)][:, None]


def _pairs(x: Any, r: int, interleaved: int) -> Any:
    return (x[..., 0 : 2 * r : 2], x[..., 1 : 2 * r : 2]) if interleaved else (x[..., :r], x[..., r : 2 * r])


def _joined(a: Any, b: Any, x: Any, interleaved: int) -> Any:
    r = a.shape[-1]
    both = np.stack([a, b], -1).reshape(*a.shape[:-1], 2 * r) if interleaved else np.concatenate([a, b], -1)
    return np.concatenate([both, x[..., 2 * r :]], -1)


def _reference(x: Any, cos: Any, sin: Any, positions: Any = None, interleaved: int = 0, inverse: int = 0) -> Any:
    c, s = _rows(cos, positions), _rows(sin, positions) * (-1 if inverse else 1)
    a, b = _pairs(x, cos.shape[2], interleaved)
    return _joined(a * c - b * s, b * c + a * s, x, interleaved)


def _bound(x: Any, cos: Any, sin: Any, positions: Any = None, interleaved: int = 0, inverse: int = 0) -> Any:
    c, s = np.abs(_rows(cos, positions)), np.abs(_rows(sin, positions))
    a, b = _pairs(np.abs(x), cos.shape[2], interleaved)
    return gamma(2) * _joined(a * c + b * s, b * c + a * s, 0 * x, interleaved)


def _samples() -> Any:
    found = []
    for n, (b, h, length, e, r, places, own) in enumerate((
        (1, 1, 1, 2, 1, 1, 1), (2, 3, 5, 16, 8, 5, 1), (2, 2, 7, 12, 6, 9, 1), (2, 1, 4, 70, 33, 4, 2), (1, 2, 70, 64, 32, 90, 1), (2, 2, 0, 8, 4, 0, 1),
        (2, 2, 3, 10, 0, 3, 1), (2, 2, 3, 40, 18, 6, 2),
    )):  # fmt: skip
        rng = np.random.default_rng(n)
        x, cos, sin = (rng.normal(size=s).astype(np.float32) for s in ((b, h, length, e), (own, places, r), (own, places, r)))
        positions = rng.integers(0, places, (b, length)) if places != length else None
        operands = (x, cos, sin) if positions is None else (x, cos, sin, positions)
        found += [(operands, {"interleaved": i, "inverse": (n + i) % 2}) for i in (0, 1)]
    return found


def _cost(x: Spec, *_: Any, **__: Any) -> Any:
    return 3 * product(x.shape), 8 * product(x.shape)


rotary = Op("rotary", _shape, _reference, strided=True, samples=_samples, cost=_cost, bound=_bound)


@rotary.vjp
def _(dy: Tensor, x: Tensor, cos: Tensor, sin: Tensor, *rest: Any, interleaved: int = 0, inverse: int = 0) -> Any:
    """The other way round; of the tables sum_h dy1 x1 + dy2 x2 and dy2 x1 - dy1 x2, put back to their places by a 0/1 matrix."""
    positions = rest[0] if len(rest) > 1 else None
    dx = apply("rotary", dy, cos, sin, *rest[:-1], interleaved=interleaved, inverse=1 - inverse)
    if not (needs_gradient(cos) or needs_gradient(sin)):
        return dx, None, None, None
    (x1, x2), (d1, d2) = (_pairs(t, cos.shape[2], interleaved) for t in (x, dy))  # type: ignore[arg-type]

    def placed(t: Tensor) -> Tensor:
        t = t.sum(1)
        if positions is not None:
            t = apply("one_hot", positions, classes=cos.shape[1]).mT @ t
        return t if cos.shape[0] == t.shape[0] else t.sum(0, keepdim=True)

    dsin = placed(d2 * x1 - d1 * x2)
    return dx, placed(d1 * x1 + d2 * x2), -dsin if inverse else dsin, None


def rope(x: Tensor, cos: Tensor, sin: Tensor, position_ids: Tensor | None = None, interleaved: bool = False, num_heads: int = 0) -> Tensor:
    """Turns the pairs of every row of x by the angles of its place (rotary position embedding).

    x float32[B, H, L, E], or [B, L, H * E] with num_heads; cos, sin float32: [P, R] (rope_tables), row i, or row position_ids[b, i] with int64[B, L], for
    row i of x; or [B, L, R] for each item its own. Pair c is numbers c and c + R of a row, or 2 c and 2 c + 1 with interleaved; what is behind 2 R stays.
    Su et al. 2021 (arXiv 2104.09864), ONNX RotaryEmbedding. Errors: ShapeError, DTypeError, BoundError (a position outside the tables)."""
    if x.ndim == 3:
        b, length, hidden = x.shape
        if num_heads < 1 or hidden % num_heads != 0:
            raise AttributeValueError(f"rope: {x.spec} with num_heads {num_heads}")
        heads = x.reshape(b, length, num_heads, hidden // num_heads).permute(0, 2, 1, 3)
        return rope(heads, cos, sin, position_ids, interleaved).permute(0, 2, 1, 3).reshape(b, length, hidden)
    if x.ndim != 4:
        raise ShapeError(f"rope: {x.spec}: [B, H, L, E] or [B, L, H * E] expected")
    if position_ids is None and cos.ndim == 2 and sin.shape == cos.shape and cos.shape[0] > x.shape[2]:
        cos, sin = cos[: x.shape[2]], sin[: x.shape[2]]
    tables = [t.unsqueeze(0) if t.ndim == 2 else t for t in (cos, sin)]
    return apply("rotary", x, *tables, *(() if position_ids is None else (position_ids,)), interleaved=int(interleaved), inverse=0)


def rope_tables(length: int, dim: int, base: float = 10000.0, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """cos and sin float32[length, dim / 2] of the angles place * scale * base^(-2 c / dim), computed in float64."""
    if dim < 2 or dim % 2 or length < 0:
        raise AttributeValueError(f"rope_tables: length {length}, dim {dim}: an even number of dimensions expected")
    angles = np.arange(length)[:, None] * scale * base ** (-np.arange(0, dim, 2) / dim)
    return tensor(np.cos(angles).astype(np.float32)), tensor(np.sin(angles).astype(np.float32))


__all__ = ["rope", "rope_tables"]
