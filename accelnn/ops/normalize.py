"""Softmax, its logarithm, and cross-entropy with its gradient, over the last dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
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


softmax_op = Op("softmax", _rows("softmax"), lambda x: np.exp(_log_softmax(x)), samples=_samples(1))
log_softmax_op = Op("log_softmax", _rows("log_softmax"), _log_softmax, samples=_samples(1))
softmax_grad = Op("softmax_grad", _rows("softmax_grad"), lambda dy, y: y * (dy - (dy * y).sum(-1, keepdims=True)),
                  samples=_samples(2), bound=_softmax_grad_bound,
                  composition=lambda dy, y: y * (dy - (dy * y).sum(-1, keepdim=True)))  # fmt: skip


@softmax_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor) -> Any:
    return apply("softmax_grad", dy, y)


@log_softmax_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor) -> Any:
    return dy - y.exp() * dy.sum(-1, keepdim=True)


def _labels(logits: Spec, labels: Spec, name: str) -> None:
    if len(logits.shape) != 2 or logits.dtype != DType.float32:
        raise ShapeError(f"{name}: float32 logits of shape [N, C] expected, not {logits}")
    if labels.dtype != DType.int64 or labels.shape != logits.shape[:1]:
        raise ShapeError(f"{name}: int64 labels of shape {logits.shape[:1]} expected, not {labels}")


def _loss_shape(logits: Spec, labels: Spec) -> Spec:
    _labels(logits, labels, "cross_entropy")
    return Spec(labels.shape, DType.float32)


def _grad_shape(logits: Spec, labels: Spec, dloss: Spec) -> Spec:
    _labels(logits, labels, "cross_entropy_grad")
    if dloss != Spec(labels.shape, DType.float32):
        raise ShapeError(f"cross_entropy_grad: a cotangent {dloss} for {labels}")
    return logits


def _picked(x: Any, labels: Any) -> Any:
    return np.take_along_axis(x, np.asarray(labels, np.int64)[:, None], 1)[:, 0]


def _hot(labels: Any, classes: int) -> Any:
    return (np.asarray(labels)[..., None] == np.arange(classes)).astype(np.float64)


def _loss_samples(n: int) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        found: list[Any] = []
        for rows, c in ((1, 1), (64, 10), (5, 17), (3, 1000), (0, 4)):
            x = (rng.normal(size=(rows, c)).astype(np.float32), rng.integers(0, c, rows), rng.normal(size=rows).astype(np.float32))
            found.append((x[:n], {}))
        return found

    return samples


def _cross_entropy_grad(x: Tensor, t: Tensor, d: Tensor) -> Tensor:
    return (apply("softmax", x) - apply("one_hot", t, classes=x.shape[1])) * d.unsqueeze(1)


cross_entropy_op = Op("cross_entropy", _loss_shape, lambda x, t: -_picked(_log_softmax(x), t), samples=_loss_samples(2))
cross_entropy_grad = Op(
    "cross_entropy_grad",
    _grad_shape,
    lambda x, t, d: (np.exp(_log_softmax(x)) - _hot(t, x.shape[1])) * d[:, None],
    composition=_cross_entropy_grad,
    samples=_loss_samples(3),
)
one_hot_op = Op("one_hot", lambda labels, classes: Spec((*labels.shape, classes), DType.float32), lambda labels, classes: _hot(labels, classes),
                samples=lambda: [((np.array([0, 3, 1, 3]),), {"classes": 4}), ((np.array([[2], [0]]),), {"classes": 17})])  # fmt: skip


@cross_entropy_op.vjp
def _(dy: Tensor, logits: Tensor, labels: Tensor, y: Tensor) -> Any:
    return apply("cross_entropy_grad", logits, labels, dy), None


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`, shifted by the maximum."""
    return x.softmax(dim)


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    return apply("log_softmax", x) if dim in (-1, x.ndim - 1) else apply("log_softmax", x.transpose(dim, -1)).transpose(dim, -1)


def cross_entropy(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """-log softmax(logits)[label] for logits float32[N, C] and labels int64[N] in [0, C); reduction: "mean", "sum" or "none"."""
    loss = apply("cross_entropy", logits, labels)
    if reduction not in ("mean", "sum", "none"):
        raise ShapeError(f"cross_entropy: reduction {reduction!r}; expected mean, sum or none")
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """int64[...] -> float32[..., classes]."""
    return apply("one_hot", labels, classes=classes)


__all__ = ["cross_entropy", "log_softmax", "one_hot", "softmax"]
