"""Losses and penalties."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor
from ..ops import cross_entropy
from .module import Module


class CrossEntropyLoss(Module):
    """-log softmax(logits)[label]: logits float32[N, C], labels int64[N]; reduction "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, self.reduction)


class MSELoss(Module):
    """Mean of squared differences."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise AttributeValueError(f"MSELoss: reduction {reduction!r}")
        self.reduction = reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        if prediction.shape != target.shape:
            raise ShapeError(f"MSELoss: prediction {prediction.spec} and target {target.spec} differ in shape")
        d = prediction - target
        square = d * d
        return square if self.reduction == "none" else square.mean() if self.reduction == "mean" else square.sum()


def l1_penalty(parameters: Iterable[Tensor], strength: float) -> Tensor:
    """strength * sum |w|: add it to the loss."""
    return _total(p.abs().sum() for p in parameters) * strength


def l2_penalty(parameters: Iterable[Tensor], strength: float) -> Tensor:
    """strength * sum w^2 (its gradient is 2 * strength * w): add it to the loss."""
    return _total((p * p).sum() for p in parameters) * strength


def _total(terms: Iterable[Tensor]) -> Tensor:
    it = iter(terms)
    total = next(it, None)
    if total is None:
        raise AttributeValueError("a penalty over no parameters")
    for t in it:
        total = total + t
    return total


__all__ = ["CrossEntropyLoss", "MSELoss", "l1_penalty", "l2_penalty"]
