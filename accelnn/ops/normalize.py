"""Softmax and its logarithm."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .elementwise import where
from .matmul import EPS, gamma


def _rows(name: str) -> Any:
    def shape(x: Spec, *same: Spec) -> Spec:
        if not x.shape or x.dtype != DType.float32:
            raise DTypeError(f"{name}: float32 with at least one dimension expected, not {x}")
        if any(s != x for s in same):
            raise ShapeError(f"{name}: operands {x} and {', '.join(map(str, same))} differ")
        return x

    return shape


def _log_softmax(x: Any) -> Any:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _softmax_grad_bound(dy: Any, y: Any) -> Any:
    """y (dy - s) with s = sum(dy y) of C terms: |err| <= y (gamma_C sum|dy y| + 4 eps (|dy| + |s|))."""
    total = np.abs(dy * y).sum(-1, keepdims=True)
    return np.abs(y) * (gamma(dy.shape[-1]) * total + 4 * EPS * (np.abs(dy) + total))


def _samples(n: int) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        shapes = ((1, 1), (64, 10), (3, 16), (5, 17), (2, 3, 33), (4, 1000), (0, 10))
        return [(tuple(rng.normal(size=s).astype(np.float32) for _ in range(n)), {}) for s in shapes]

    return samples


def _log_grad_samples() -> Any:
    return [((dy, _log_softmax(y.astype(np.float64)).astype(np.float32)), attrs) for (dy, y), attrs in _samples(2)()]


def _log_grad_bound(dy: Any, y: Any, axis: int) -> Any:
    return gamma(dy.shape[axis] + 12) * (np.abs(dy) + np.exp(y) * np.abs(dy).sum(axis, keepdims=True))


softmax_op = Op("softmax", _rows("softmax"), lambda x: np.exp(_log_softmax(x)), samples=_samples(1))
log_softmax_op = Op("log_softmax", _rows("log_softmax"), _log_softmax, samples=_samples(1))
softmax_grad = Op("softmax_grad", _rows("softmax_grad"), lambda dy, y: y * (dy - (dy * y).sum(-1, keepdims=True)),
                  samples=_samples(2), bound=_softmax_grad_bound,
                  composition=lambda dy, y: y * (dy - (dy * y).sum(-1, keepdim=True)))  # fmt: skip


@softmax_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor) -> Any:
    return apply("softmax_grad", dy, y)


log_softmax_grad = Op("log_softmax_grad", _rows("log_softmax_grad"), lambda dy, y: dy - np.exp(y) * dy.sum(-1, keepdims=True),
                      samples=_log_grad_samples, bound=lambda dy, y: _log_grad_bound(dy, y, -1),
                      composition=lambda dy, y: dy - y.exp() * dy.sum(-1, keepdim=True))  # fmt: skip


@log_softmax_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor) -> Any:
    return apply("log_softmax_grad", dy, y)


# Along an inner axis, where the last one would be reached by copies


def _axis_shape(name: str) -> Any:
    def shape(x: Spec, *same: Spec, axis: int, log: int = 0) -> Spec:
        _rows(name)(x, *same)
        if not 0 <= axis < len(x.shape):
            raise ShapeError(f"{name}: axis {axis} of {x}")
        return x

    return shape


def _axis_reference(x: Any, axis: int, log: int = 0) -> Any:
    y = np.moveaxis(_log_softmax(np.moveaxis(x, axis, -1)), -1, axis)
    return y if log else np.exp(y)


def _axis_grad_reference(dy: Any, y: Any, axis: int, log: int = 0) -> Any:
    return dy - np.exp(y) * dy.sum(axis, keepdims=True) if log else y * (dy - (dy * y).sum(axis, keepdims=True))


def _axis_grad_bound(dy: Any, y: Any, axis: int, log: int = 0) -> Any:
    if log:
        return _log_grad_bound(dy, y, axis)
    return np.moveaxis(_softmax_grad_bound(np.moveaxis(dy, axis, -1), np.moveaxis(y, axis, -1)), -1, axis)


def _axis_grad_composition(dy: Tensor, y: Tensor, axis: int, log: int = 0) -> Tensor:
    return dy - y.exp() * dy.sum(axis, keepdim=True) if log else y * (dy - (dy * y).sum(axis, keepdim=True))


def _axis_samples(n: int) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        shapes = (((1, 1), 0), ((5, 7), 0), ((2, 3, 4), 1), ((3, 10, 65), 1), ((2, 21, 5, 13), 1), ((4, 0, 3), 0), ((70, 129), 0), ((3, 5), 1))
        for (s, axis), log in itertools.product(shapes, (0, 1)):
            x, dy = (rng.normal(size=s).astype(np.float32) for _ in range(2))
            yield (x,) if n == 1 else (dy, _axis_reference(x.astype(np.float64), axis, log).astype(np.float32)), {"axis": axis, "log": log}

    return lambda: list(samples())


softmax_axis_op = Op("softmax_axis", _axis_shape("softmax_axis"), _axis_reference, samples=_axis_samples(1))
Op("softmax_axis_grad", _axis_shape("softmax_axis_grad"), _axis_grad_reference, samples=_axis_samples(2), bound=_axis_grad_bound,
   composition=_axis_grad_composition)  # fmt: skip


@softmax_axis_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axis: int, log: int = 0) -> Any:
    return apply("softmax_axis_grad", dy, y, axis=axis, log=log)


def _hot(labels: Any, classes: int) -> Any:
    return (np.asarray(labels)[..., None] == np.arange(classes)).astype(np.float64)


one_hot_op = Op("one_hot", lambda labels, classes: Spec((*labels.shape, classes), DType.float32), lambda labels, classes: _hot(labels, classes),
                samples=lambda: [((np.array([0, 3, 1, 3]),), {"classes": 4}), ((np.array([[2], [0]]),), {"classes": 17})])  # fmt: skip


def _along(x: Tensor, dim: int, log: int) -> Tensor:
    if not -x.ndim <= dim < x.ndim:
        raise ShapeError(f"softmax: dimension {dim} of {x.spec}")
    axis = dim % x.ndim
    if product(x.shape[axis + 1 :]) == 1:
        return apply("log_softmax" if log else "softmax", x) if axis == x.ndim - 1 else _along(x.flatten(axis), -1, log).reshape(*x.shape)
    return apply("softmax_axis", x, axis=axis, log=log)


def softmax(x: Tensor, dim: int = -1, mask: Tensor | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`, shifted by the maximum. mask, broadcast to x: of bools, where x counts (elsewhere the result is 0; nowhere along
    `dim`: NaN); of float32, a term that is added to x."""
    return _along(_masked(x, mask), dim, 0)


def log_softmax(x: Tensor, dim: int = -1, mask: Tensor | None = None) -> Tensor:
    """The logarithm of softmax(x, dim, mask), computed as one."""
    return _along(_masked(x, mask), dim, 1)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return x
    return where(mask, x, -float("inf")) if mask.dtype == DType.bool else x + mask


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """int64[...] -> float32[..., classes]."""
    return apply("one_hot", labels, classes=classes)


__all__ = ["log_softmax", "one_hot", "softmax"]
