"""Losses and penalties. Arguments, names and defaults are torch's, without size_average and reduce, which torch has given up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor
from ..ops import cross_entropy, ctc_loss, logsigmoid, maximum, nll_loss, where
from ..ops.loss import reduced, reduction_code
from .module import Module


class _Loss(Module):
    """reduction: "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.check(reduction)
        self.reduction = reduction

    def check(self, reduction: str) -> None:
        reduction_code(type(self).__name__, reduction)

    def same(self, *tensors: Tensor) -> None:
        """All of one shape: broadcasting a target by mistake costs days."""
        if any(t.shape != tensors[0].shape for t in tensors):
            raise ShapeError(f"{type(self).__name__}: {' and '.join(str(t.spec) for t in tensors)} differ in shape")

    def reduce(self, loss: Tensor) -> Tensor:
        return reduced(loss, self.reduction, type(self).__name__)

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """-log softmax(logits) at the target: logits float32 [N, C], [N, C, d...] or [C]; target: labels in [0, C) or ignore_index, or probabilities."""

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index, self.label_smoothing = weight, ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        return cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(_Loss):
    """-input at the labels: input log probabilities [N, C], [N, C, d...] or [C]."""

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index = weight, ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class MSELoss(_Loss):
    """Squared differences."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        d = input - target
        return self.reduce(d * d)


class L1Loss(_Loss):
    """Absolute differences."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        return self.reduce((input - target).abs())


class SmoothL1Loss(_Loss):
    """d^2 / (2 beta) for |d| < beta, |d| - beta / 2 beyond."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        if beta < 0:
            raise AttributeValueError(f"SmoothL1Loss: beta = {beta}; expected at least 0")
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        d = (input - target).abs()
        return self.reduce(d if self.beta == 0 else where(d < self.beta, d * d * (0.5 / self.beta), d - 0.5 * self.beta))


class HuberLoss(_Loss):
    """d^2 / 2 for |d| <= delta, delta (|d| - delta / 2) beyond."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if delta <= 0:
            raise AttributeValueError(f"HuberLoss: delta = {delta}; expected above 0")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        d = (input - target).abs()
        return self.reduce(where(d <= self.delta, d * d * 0.5, (d - 0.5 * self.delta) * self.delta))


class BCELoss(_Loss):
    """-(target log input + (1 - target) log(1 - input)), logarithms no lower than -100. BCEWithLogitsLoss loses fewer digits."""

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        loss = -(target * maximum(input.log(), -100.0) + (1.0 - target) * maximum((1.0 - input).log(), -100.0))
        return self.reduce(loss if self.weight is None else loss * self.weight)


class BCEWithLogitsLoss(_Loss):
    """BCELoss of sigmoid(input); pos_weight multiplies the term of positive targets."""

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = weight, pos_weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        positive = logsigmoid(input)
        if self.pos_weight is not None:
            positive = positive * ((self.pos_weight - 1.0) * target + 1.0)
        loss = (1.0 - target) * input - positive
        return self.reduce(loss if self.weight is None else loss * self.weight)


class KLDivLoss(_Loss):
    """target (log target - input): input log probabilities, target probabilities or, with log_target, their logarithms. "batchmean": the sum over N."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def check(self, reduction: str) -> None:
        if reduction != "batchmean":
            super().check(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        if self.log_target:
            loss = target.exp() * (target - input)
        else:
            loss = target * where(target > 0.0, target, 1.0).log() - target * input
        if self.reduction != "batchmean":
            return self.reduce(loss)
        n: Any = input.shape[0] if input.ndim else 1
        mean: Tensor = loss.sum() / n
        return mean


class CTCLoss(_Loss):
    """-log of the probability of a target sequence: log_probs [T, N, C] or [T, C]; see ops.ctc_loss."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:
        return ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)


class CosineEmbeddingLoss(_Loss):
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


def _distance(a: Tensor, b: Tensor, p: float, eps: float) -> Tensor:
    """The p-norm of a - b + eps along the last dimension."""
    d = a - b + eps
    if p == 2:
        return (d * d).sum(-1).sqrt()
    return d.abs().sum(-1) if p == 1 else (d.abs() ** p).sum(-1) ** (1.0 / p)


class TripletMarginLoss(_Loss):
    """max(0, |anchor - positive|_p - |anchor - negative|_p + margin), distances along the last dimension; swap: the nearer of anchor and positive."""

    def __init__(self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        self.same(anchor, positive, negative)
        away = _distance(anchor, negative, self.p, self.eps)
        if self.swap:
            other = _distance(positive, negative, self.p, self.eps)
            away = where(away < other, away, other)
        return self.reduce(maximum(_distance(anchor, positive, self.p, self.eps) - away + self.margin, 0.0))


class HingeEmbeddingLoss(_Loss):
    """input where target is 1, max(0, margin - input) where it is -1."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        y = target.float()
        return self.reduce(where(y == 1.0, 0.0, maximum(self.margin - input, 0.0)) + where(y == -1.0, 0.0, input))


class MarginRankingLoss(_Loss):
    """max(0, -target (input1 - input2) + margin)."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        self.same(input1, input2, target)
        return self.reduce(maximum(target.float() * (input2 - input1) + self.margin, 0.0))


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target input)), target 1 or -1."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        return self.reduce(-logsigmoid(target.float() * input))


class GaussianNLLLoss(_Loss):
    """(log var + (input - target)^2 / var) / 2, var no lower than eps (its gradient passes that bound, as in torch); full: with log(2 pi) / 2."""

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:  # noqa: A002
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or var.shape[:-1] != input.shape[:-1] or var.shape[-1] not in (1, input.shape[-1]):
            raise ShapeError(f"GaussianNLLLoss: a variance {var.spec} for {input.spec}")
        var = var + (maximum(var, self.eps) - var).detach()
        d = input - target
        loss = (var.log() + d * d / var) * 0.5
        return self.reduce(loss + 0.5 * math.log(2 * math.pi) if self.full else loss)


class PoissonNLLLoss(_Loss):
    """exp(input) - target input or, without log_input, input - target log(input + eps); full: with Stirling's approximation of log target!."""

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        loss = input.exp() - target * input if self.log_input else input - target * (input + self.eps).log()
        if self.full:
            t = where(target > 1.0, target, 1.0)
            loss = loss + where(target > 1.0, t * t.log() - t + (t * (2 * math.pi)).log() * 0.5, 0.0)
        return self.reduce(loss)


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


__all__ = ["BCELoss", "BCEWithLogitsLoss", "CTCLoss", "CosineEmbeddingLoss", "CrossEntropyLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "HuberLoss",
           "KLDivLoss", "L1Loss", "MSELoss", "MarginRankingLoss", "NLLLoss", "PoissonNLLLoss", "SmoothL1Loss", "SoftMarginLoss", "TripletMarginLoss",
           "l1_penalty", "l2_penalty"]  # fmt: skip
