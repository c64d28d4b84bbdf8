"""Slices by several numbers, and the way back: gather_nd and scatter_nd."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, as_tensor
from .indices import OTHERS, UFUNC, check_indices, combined_bound, combined_vjp, zeros_of


def _slices_shape(name: str, x: Spec, index: Spec, batch: int) -> tuple[Any, ...]:
    check_indices(name, index)
    k = index.shape[-1] if index.shape else 0
    if not isinstance(k, int) or k < 1 or not 0 <= batch < len(index.shape) or batch + k > len(x.shape) or x.shape[:batch] != index.shape[:batch]:
        raise ShapeError(f"{name}: {index} does not fit {x} ({batch} batch dimensions)")
    return (*index.shape[:-1], *x.shape[batch + k :])


def _gather_nd_reference(x: Any, index: Any, batch: int) -> Any:
    index = np.asarray(index, np.int64)
    lead, rest = index.shape[:batch], index.shape[batch:-1]
    places = tuple(np.broadcast_to(np.arange(n).reshape((1,) * d + (n,) + (1,) * (batch - 1 - d + len(rest))), (*lead, *rest)) for d, n in enumerate(lead))
    return x[(*places, *np.moveaxis(index, -1, 0))]


def _scatter_nd_shape(x: Spec, index: Spec, s: Spec, reduce: int) -> Spec:
    if s.shape != _slices_shape("scatter_nd", x, index, 0) or s.dtype != x.dtype:
        raise ShapeError(f"scatter_nd: slices {s} for {x} at {index}")
    if reduce and x.dtype not in (DType.float32, DType.int32, DType.int64):
        raise DTypeError(f"scatter_nd: {x.dtype.name} is only replaced, not combined")
    return x


def _scatter_nd_reference(x: Any, index: Any, s: Any, reduce: int) -> Any:
    y, ufunc, index = np.array(x), UFUNC[reduce], np.asarray(index, np.int64)
    for place in np.ndindex(*index.shape[:-1]):
        at = tuple(index[place])
        y[at] = s[place] if ufunc is None else ufunc(y[at], s[place])
    return y


# x, index without its last dimension, K, batch
_SLICES: tuple[Any, ...] = (((5,), (3,), 1, 0), ((4, 6), (7,), 2, 0), ((4, 6), (3,), 1, 0), ((2, 3, 5), (2, 4), 1, 1), ((3, 4, 5, 2), (6,), 3, 0),
                            ((2, 3, 4, 3), (2, 3, 5), 1, 2), ((8, 1030), (4,), 1, 0), ((3, 0), (2,), 1, 0))  # fmt: skip


def _slice_index(rng: np.random.Generator, sizes: tuple[int, ...], shape: tuple[int, ...], distinct: bool) -> Any:
    if distinct:
        flat = rng.permutation(int(np.prod(sizes)))[: int(np.prod(shape))]
        return np.stack(np.unravel_index(flat, sizes), -1).reshape(*shape, len(sizes)).astype(np.int64)
    return np.stack([rng.integers(-n, n, shape) for n in sizes], -1)


def _gather_nd_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = [((rng.normal(size=s).astype(np.float32), _slice_index(rng, s[b : b + k], i, False)), {"batch": b}) for s, i, k, b in _SLICES]
    for dtype in OTHERS:
        x = rng.integers(0, 2 if dtype == np.bool_ else 100, (4, 5, 3)).astype(dtype)
        found += [((x, _slice_index(rng, (4, 5, 3)[:k], (6,), False)), {"batch": 0}) for k in (2, 3)]
    return found


def _scatter_nd_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for s, i, k, b in _SLICES:
        if b:
            continue
        i = (min(i[0], int(np.prod(s[:k]))),)
        for reduce in range(5):
            x, source = rng.normal(size=s).astype(np.float32), rng.normal(size=(*i, *s[k:])).astype(np.float32)
            found.append(((x, _slice_index(rng, s[:k], i, reduce != 1), source), {"reduce": reduce}))
    for dtype in OTHERS:
        given, added = (rng.integers(0, 2 if dtype == np.bool_ else 100, n).astype(dtype) for n in ((4, 5, 3), (6, 3)))
        for reduce in range(5 if dtype in (np.int32, np.int64) else 1):
            found.append(((given, _slice_index(rng, (4, 5), (6,), dtype in (np.float16, np.float64)), added), {"reduce": reduce}))
    return found


gather_nd_op = Op("gather_nd", lambda x, index, batch: Spec(_slices_shape("gather_nd", x, index, batch), x.dtype), _gather_nd_reference,
                  samples=_gather_nd_samples)  # fmt: skip
scatter_nd_op = Op("scatter_nd", _scatter_nd_shape, _scatter_nd_reference, samples=_scatter_nd_samples,
                   bound=lambda x, i, s, reduce: combined_bound(reduce, _scatter_nd_reference(np.abs(x), i, np.abs(s), reduce), np.size(i)))  # fmt: skip


@gather_nd_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, y: Tensor, batch: int) -> Any:
    if not batch:
        return apply("scatter_nd", zeros_of(x), index, dy, reduce=1), None
    return _batched(index, dy, x, batch), None


def _batched(index: Tensor, dy: Tensor, x: Tensor, batch: int) -> Tensor:
    """scatter_nd with the batch dimensions' own numbers in front of each index."""
    lead, rest = index.shape[:batch], index.shape[batch:-1]
    if any(not isinstance(n, int) for n in (*lead, *rest)):
        raise ShapeError("the gradient of gather_nd with batch dimensions of unknown size")
    whole: Any = (*lead, *rest)
    grid = np.stack(list(np.indices(whole))[:batch], -1).astype(np.int64)
    joined = apply("concat", as_tensor(grid), index.to(DType.int64), axis=batch + len(rest))
    return apply("scatter_nd", zeros_of(x), joined, dy, reduce=1)


@scatter_nd_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, s: Tensor, y: Tensor, reduce: int) -> Any:
    dx, ds = combined_vjp(dy, x, s, y, reduce, lambda t: apply("gather_nd", t, index, batch=0),
                           lambda a, b, r: apply("scatter_nd", a, index, b, reduce=r))  # fmt: skip
    return dx, None, ds
