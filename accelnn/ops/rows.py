"""Rows by number, and the way back: take, its gradient, embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize
from ..core.dtypes import DType
from ..core.errors import ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .indices import OTHERS, check_indices, index_array
from .matmul import gamma


def _take_shape(x: Spec, index: Spec, axis: int, skip: int) -> Spec:
    check_indices("take", index)
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"take: dimension {axis} of {x}")
    return Spec((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)


def _row_mask(index: Any, axis: int, skip: int, size: int, rank: int) -> Any:
    """1 where a row is not the one to skip, in the shape that broadcasts to the rows."""
    keep = np.where(np.asarray(index) < 0, np.asarray(index) + size, index) != skip
    return keep.reshape((1,) * axis + np.shape(index) + (1,) * (rank - axis - np.ndim(index)))


def _take_reference(x: Any, index: Any, axis: int, skip: int) -> Any:
    y = np.take(x, np.asarray(index, np.int64), axis)
    return y if skip < 0 else np.where(_row_mask(index, axis, skip, x.shape[axis], y.ndim), y, np.zeros((), y.dtype))


def _take_grad_shape(dy: Spec, index: Spec, axis: int, skip: int, size: AnySize) -> Spec:
    check_indices("take_grad", index)
    if dy.dtype != DType.float32 or dy.shape[axis : axis + len(index.shape)] != index.shape:
        raise ShapeError(f"take_grad: float32 rows {index.shape} at dimension {axis} expected, not {dy}")
    return Spec((*dy.shape[:axis], size, *dy.shape[axis + len(index.shape) :]), dy.dtype)


def _take_grad_reference(dy: Any, index: Any, axis: int, skip: int, size: int) -> Any:
    n = np.ndim(index)
    keep = _row_mask(index, axis, skip, size, dy.ndim)
    front = np.moveaxis(np.where(keep, dy, 0.0), tuple(range(axis, axis + n)), tuple(range(n)))
    dx = np.zeros((size, *front.shape[n:]), np.asarray(dy).dtype)
    np.add.at(dx, np.asarray(index, np.int64), front)
    return np.moveaxis(dx, 0, axis)


_TAKES: tuple[Any, ...] = (((5, 3), (4,), 0, -1), ((5, 17), (2, 3), 0, 2), ((2, 6, 4), (5,), 1, -1), ((3, 7), (), 1, -1), ((40,), (9,), 0, 1),
                           ((4, 64), (0,), 0, -1), ((0, 3, 4), (2,), 1, -1), ((300, 130), (50,), 0, 3), ((2, 1, 3), (2, 2), 2, 0),
                           ((70, 1000), (3,), 0, -1))  # fmt: skip


def _take_samples(grad: bool) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        found: list[Any] = []
        for i, (shape, index, axis, skip) in enumerate(_TAKES):
            rows = (*shape[:axis], *index, *shape[axis + 1 :])
            given = rng.normal(size=rows if grad else shape).astype(np.float32)
            at = index_array(rng, shape[axis], index, (np.int64, np.int32)[i % 2])
            found.append(((given, at), {"axis": axis, "skip": skip, **({"size": shape[axis]} if grad else {})}))
        for dtype in () if grad else OTHERS:
            x = rng.integers(0, 2 if dtype == np.bool_ else 100, (6, 3)).astype(dtype)
            found += [((x, index_array(rng, n, (5,))), {"axis": a, "skip": 1}) for a, n in ((0, 6), (1, 3))]
        return found

    return samples


def _take_grad_bound(dy: Any, index: Any, **attrs: Any) -> Any:
    """gamma_n sum|dy|, n terms at most."""
    return gamma(np.size(index) + 1) * _take_grad_reference(np.abs(dy), index, **attrs)


take_op = Op("take", _take_shape, _take_reference, samples=_take_samples(False))
take_grad = Op("take_grad", _take_grad_shape, _take_grad_reference, samples=_take_samples(True), bound=_take_grad_bound)


@take_op.vjp
def _(dy: Tensor, x: Tensor, index: Tensor, y: Tensor, axis: int, skip: int) -> Any:
    return apply("take_grad", dy, index, axis=axis, skip=skip, size=x.shape[axis]), None


@take_grad.vjp
def _(g: Tensor, dy: Tensor, index: Tensor, dx: Tensor, axis: int, skip: int, size: int) -> Any:
    return apply("take", g, index, axis=axis, skip=skip), None


def _embedding_samples() -> Any:
    rng = np.random.default_rng(0)
    return [((rng.normal(size=(n, d)).astype(np.float32), index_array(rng, n, s)), {"padding": p})
            for n, d, s, p in ((5, 3, (4,), -1), (9, 16, (2, 3), -1), (3, 33, (), -1), (4, 5, (0,), 2))]  # fmt: skip


class _Embedding(Op):
    """take whose gradient leaves one row alone."""

    def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
        return {"axis": 0, "skip": -1}


embedding_op = _Embedding("embedding", lambda w, index, padding: _take_shape(w, index, 0, -1), lambda w, index, padding: w[np.asarray(index, np.int64)],
                          kernel="take", samples=_embedding_samples)  # fmt: skip


@embedding_op.vjp
def _(dy: Tensor, w: Tensor, index: Tensor, y: Tensor, padding: int) -> Any:
    return apply("take_grad", dy, index, axis=0, skip=padding, size=w.shape[0]), None
