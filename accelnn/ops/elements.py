"""One element for every index, and the way back: gather and scatter."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .indices import OTHERS, UFUNC, check_indices, combined_bound, combined_vjp, index_array, zeros_of


def _gather_shape(x: Spec, index: Spec, axis: int) -> Spec:
    check_indices("gather", index)
    fits = len(x.shape) == len(index.shape) and 0 <= axis < len(x.shape)
    if not fits or any(d != axis and j > n for d, (j, n) in enumerate(zip(index.shape, x.shape))):
        raise ShapeError(f"gather along dimension {axis}: {index} does not fit {x}")
    return Spec(index.shape, x.dtype)


def _coordinates(index: Any, axis: int, size: int) -> tuple[Any, ...]:
    grid = list(np.indices(np.shape(index)))
    grid[axis] = np.where(np.asarray(index) < 0, np.asarray(index) + size, index).astype(np.int64)
    return tuple(grid)


def _scatter_reference(x: Any, index: Any, s: Any, axis: int, reduce: int) -> Any:
    y, at = np.array(x), _coordinates(index, axis, x.shape[axis])
    s = s[tuple(slice(n) for n in np.shape(index))]
    ufunc = UFUNC[reduce]
    if ufunc is None:
        for place in np.ndindex(*np.shape(index)):
            y[tuple(c[place] for c in at)] = s[place]
    else:
        ufunc.at(y, at, s)
    return y


def _scatter_shape(x: Spec, index: Spec, s: Spec, axis: int, reduce: int) -> Spec:
    _gather_shape(x, index, axis)
    if s.dtype != x.dtype or len(s.shape) != len(x.shape) or any(a < b for a, b in zip(s.shape, index.shape)):
        raise ShapeError(f"scatter: {s} has no element for every index of {index}, or is not of {x}'s dtype")
    if reduce and x.dtype not in (DType.float32, DType.int32, DType.int64):
        raise DTypeError(f"scatter: {x.dtype.name} is only replaced, not combined")
    return x


# x, index, axis
_GATHERS: tuple[Any, ...] = (((5,), (3,), 0), ((4, 6), (4, 3), 1), ((4, 6), (2, 5), 0), ((2, 3, 5), (2, 7, 4), 1), ((3, 40), (3, 40), 1),
                             ((6, 300), (4, 300), 0),                              ((0, 3), (0, 3), 1), ((2, 3), (2, 0), 1))  # fmt: skip


def _gather_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = [((rng.normal(size=s).astype(np.float32), index_array(rng, s[a], i, (np.int64, np.int32)[n % 2])), {"axis": a})
                        for n, (s, i, a) in enumerate(_GATHERS)]  # fmt: skip
    for dtype in OTHERS:
        found.append(((rng.integers(0, 2 if dtype == np.bool_ else 100, (4, 5)).astype(dtype), index_array(rng, 5, (4, 9))), {"axis": 1}))
    return found


def _distinct(rng: np.random.Generator, size: int, shape: tuple[int, ...], axis: int) -> Any:
    """An index in which no element is named twice: the order in which they are written does not matter to a derivative."""
    lines = rng.permuted(np.broadcast_to(np.arange(size), (*shape[:axis], *shape[axis + 1 :], size)), axis=-1)[..., : shape[axis]]
    return np.ascontiguousarray(np.moveaxis(lines, -1, axis))


def _scatter_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for n, (s, i, a) in enumerate(_GATHERS):
        i = tuple(min(j, s[d]) if d == a else j for d, j in enumerate(i))
        x, source = (rng.normal(size=k).astype(np.float32) for k in (s, tuple(j + n % 2 for j in i)))
        found.append(((x, _distinct(rng, s[a], i, a), source), {"axis": a, "reduce": 0}))
        found.append(((x, index_array(rng, s[a], i, (np.int64, np.int32)[n % 2]), source), {"axis": a, "reduce": 1}))
        found += [((x, _distinct(rng, s[a], i, a), source), {"axis": a, "reduce": r}) for r in (2, 3, 4)]
    for dtype in OTHERS:
        given, added = (rng.integers(0, 2 if dtype == np.bool_ else 100, k).astype(dtype) for k in ((4, 5), (4, 9)))
        for r in range(5 if dtype in (np.int32, np.int64) else 1):
            at = _distinct(rng, 5, (4, 5), 1) if dtype in (np.float16, np.float64) else index_array(rng, 5, (4, 9))
            found.append(((given, at, added), {"axis": 1, "reduce": r}))
    return found


gather_op = Op("gather", _gather_shape, lambda x, index, axis: x[_coordinates(index, axis, x.shape[axis])], samples=_gather_samples)
scatter_op = Op("scatter", _scatter_shape, _scatter_reference, samples=_scatter_samples,
                bound=lambda x, i, s, axis, reduce: combined_bound(reduce, _scatter_reference(np.abs(x), i, np.abs(s), axis, reduce), np.size(i)))  # fmt: skip


@gather_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, y: Tensor, axis: int) -> Any:
    return apply("scatter", zeros_of(x), index, dy, axis=axis, reduce=1), None


def _like(t: Tensor, index: Tensor) -> Tensor:
    """The corner of t that index uses."""
    for d, n in enumerate(index.shape):
        if t.shape[d] != n:
            t = apply("slice", t, axis=d, start=0, length=n, step=1)
    return t


@scatter_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, s: Tensor, y: Tensor, axis: int, reduce: int) -> Any:
    corner = _like(s, index)
    dx, ds = combined_vjp(dy, x, corner, y, reduce, lambda t: apply("gather", t, index, axis=axis),
                           lambda a, b, r: apply("scatter", a, index, b, axis=axis, reduce=r))  # fmt: skip
    if s.shape != corner.shape:
        ds = apply("pad", ds, low=(0,) * s.ndim, high=tuple(a - b for a, b in zip(s.shape, corner.shape)), step=(), mode=0, value=0.0)
    return dx, None, ds
