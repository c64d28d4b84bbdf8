"""Losses with a margin: what is right by more than it costs nothing. Arguments, names and defaults are torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, as_tensor
from ..ops import cumprod, gather, index_select, logsigmoid, maximum, minimum, scatter_add, where
from ..ops.distance import pairwise_distance
from .loss import Loss


class CosineEmbeddingLoss(Loss):
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1; inputs [N, D] or [D]."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        self.same(input1, input2)
        tiny = 1e-12
        size = ((input1 * input1).sum(-1) + tiny) * ((input2 * input2).sum(-1) + tiny)
        cosine = (input1 * input2).sum(-1) / size.sqrt()
        self.same(cosine, target)
        y = target.float()
        return self.reduce(where(y == 1.0, 1.0 - cosine, where(y == -1.0, maximum(cosine - self.margin, 0.0), 0.0)))


class TripletMarginWithDistanceLoss(Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) for any distance d (None: PairwiseDistance); swap: the nearer of anchor and positive."""

    def __init__(self, *, distance_function: Callable[[Tensor, Tensor], Tensor] | None = None, margin: float = 1.0, swap: bool = False,
                 reduction: str = "mean") -> None:  # fmt: skip
        super().__init__(reduction)
        if margin < 0:
            raise AttributeValueError(f"{type(self).__name__}: margin {margin} is negative")
        self.distance_function, self.margin, self.swap = distance_function or pairwise_distance, margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        self.same(anchor, positive, negative)
        away = self.distance_function(anchor, negative)
        if self.swap:
            away = minimum(self.distance_function(positive, negative), away)
        return self.reduce(maximum(self.distance_function(anchor, positive) - away + self.margin, 0.0))


class TripletMarginLoss(TripletMarginWithDistanceLoss):
    """max(0, |anchor - positive|_p - |anchor - negative|_p + margin), distances along the last dimension; swap: the nearer of anchor and positive."""

    def __init__(self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean") -> None:
        super().__init__(distance_function=lambda a, b: pairwise_distance(a, b, p, eps), margin=margin, swap=swap, reduction=reduction)
        self.p, self.eps = p, eps


class HingeEmbeddingLoss(Loss):
    """input where target is 1, max(0, margin - input) where it is -1."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        y = target.float()
        return self.reduce(where(y == 1.0, 0.0, maximum(self.margin - input, 0.0)) + where(y == -1.0, 0.0, input))


class MarginRankingLoss(Loss):
    """max(0, -target (input1 - input2) + margin)."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        self.same(input1, input2, target)
        return self.reduce(maximum(target.float() * (input2 - input1) + self.margin, 0.0))


class SoftMarginLoss(Loss):
    """log(1 + exp(-target input)), target 1 or -1."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        return self.reduce(-logsigmoid(target.float() * input))


class MultiMarginLoss(Loss):
    """Mean over the classes i of max(0, margin - input[label] + input[i])^p, the label's own left out, times weight[label]: input [N, C] or [C], labels [N]
    or one."""

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if p not in (1, 2):
            raise AttributeValueError(f"MultiMarginLoss: p = {p}; 1 or 2 expected")
        self.p, self.margin, self.weight = p, margin, weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
            raise ShapeError(f"MultiMarginLoss: {input.spec} with labels {target.spec}: [N, C] with [N], or [C] with one, expected")
        at = target.unsqueeze(-1)
        over = maximum(input - gather(input, -1, at) + self.margin, 0.0)
        loss = (over if self.p == 1 else over * over) * (1.0 - _marked(input, at))
        if self.weight is not None:
            loss = loss * index_select(self.weight, 0, target).unsqueeze(-1)
        return self.reduce(loss.mean(-1))


class MultiLabelMarginLoss(Loss):
    """Sum of max(0, 1 - input[label] + input[i]) over the labels of a row and the classes i that are none, over C: input [N, C] or [C]; target of that shape:
    the labels, and -1 behind the last."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        if input.ndim not in (1, 2):
            raise ShapeError(f"MultiLabelMarginLoss: [N, C] or [C] expected, not {input.spec}")
        labels = target.float()
        there = cumprod((labels >= 0.0).float(), -1)
        at = (labels * there).to(target.dtype)
        over = maximum((input.unsqueeze(-2) - gather(input, -1, at).unsqueeze(-1)) + 1.0, 0.0)
        others = 1.0 - (_marked(input, at, there) > 0.0).float()
        return self.reduce((over * there.unsqueeze(-1) * others.unsqueeze(-2)).sum((-2, -1)) * (1.0 / _known(input)))


class MultiLabelSoftMarginLoss(Loss):
    """Mean over the classes of binary cross-entropy: input [..., C], target of that shape, 0 or 1; weight of the classes."""

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        y = target.float()
        loss = -(y * logsigmoid(input) + (1.0 - y) * logsigmoid(-input))
        return self.reduce((loss if self.weight is None else loss * self.weight).mean(-1))


def _marked(x: Tensor, at: Tensor, ones: Tensor | None = None) -> Tensor:
    """Zeros of x's shape with ones (or `ones`, added up) along the last dimension where `at` points."""
    return scatter_add(as_tensor(0.0).expand(*x.shape), -1, at, as_tensor(1.0).expand(*at.shape) if ones is None else ones)


def _known(x: Tensor) -> int:
    n: Any = x.shape[-1]
    if not isinstance(n, int):
        raise ShapeError(f"MultiLabelMarginLoss: {x.spec}: a known number of classes expected")
    return n


__all__ = ["CosineEmbeddingLoss", "HingeEmbeddingLoss", "MarginRankingLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss",
           "SoftMarginLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss"]  # fmt: skip
