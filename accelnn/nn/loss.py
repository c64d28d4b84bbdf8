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


class Loss(Module):
    """reduction: "mean", "sum" or "none"."""

    shown: tuple[str, ...] = ("reduction",)

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


class CrossEntropyLoss(Loss):
    """-log softmax(logits) at the target: logits float32 [N, C], [N, C, d...] or [C]; target: labels in [0, C) or ignore_index, or probabilities."""

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index, self.label_smoothing = weight, ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        return cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(Loss):
    """-input at the labels: input log probabilities [N, C], [N, C, d...] or [C]."""

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight, self.ignore_index = weight, ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class MSELoss(Loss):
    """Squared differences."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        d = input - target
        return self.reduce(d * d)


class L1Loss(Loss):
    """Absolute differences."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        return self.reduce((input - target).abs())


class SmoothL1Loss(Loss):
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


class HuberLoss(Loss):
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


class BCELoss(Loss):
    """-(target log input + (1 - target) log(1 - input)), logarithms no lower than -100. BCEWithLogitsLoss loses fewer digits."""

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        self.same(input, target)
        loss = -(target * maximum(input.log(), -100.0) + (1.0 - target) * maximum((1.0 - input).log(), -100.0))
        return self.reduce(loss if self.weight is None else loss * self.weight)


class BCEWithLogitsLoss(Loss):
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


class KLDivLoss(Loss):
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


class CTCLoss(Loss):
    """-log of the probability of a target sequence: log_probs [T, N, C] or [T, C]; see ops.ctc_loss."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:
        return ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)


class GaussianNLLLoss(Loss):
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


class PoissonNLLLoss(Loss):
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


__all__ = ["BCELoss", "BCEWithLogitsLoss", "CTCLoss", "CrossEntropyLoss", "GaussianNLLLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "NLLLoss",
           "PoissonNLLLoss", "SmoothL1Loss", "l1_penalty", "l2_penalty"]  # fmt: skip
