"""Adaptive softmax: many classes, of which few are frequent (Grave et al., arXiv 1609.04309)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..core.dtypes import DType
from ..core.errors import AttributeValueError, BoundError, ShapeError
from ..core.tensor import Tensor
from ..ops import argmax, cat, gather, log_softmax, where
from .containers import ModuleList
from .layers import Linear, Sequential
from .module import Module


class ASMoutput(NamedTuple):
    output: Tensor  # [N]: the log probability of each target
    loss: Tensor  # their mean, negated


class AdaptiveLogSoftmaxWithLoss(Module):
    """Classes sorted by frequency, the most frequent first: those below cutoffs[0] stand in the head beside one number for each of the clusters that the
    other cutoffs make; cluster i looks through in_features / div_value^(i + 1) features. forward(input[N, F] or [F], target[N] or one) gives the log
    probabilities of the targets and the loss.

    Every cluster is computed for every row, because a Plan knows its shapes before it runs; torch computes it for the rows whose target is in it."""

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0, head_bias: bool = False) -> None:
        super().__init__()
        given = [int(c) for c in cutoffs]
        if not given or given != sorted(set(given)) or given != list(cutoffs) or given[0] < 1 or given[-1] >= n_classes:
            raise AttributeValueError(f"AdaptiveLogSoftmaxWithLoss: cutoffs {list(cutoffs)}; rising numbers from 1 to {n_classes - 1} expected")
        self.in_features, self.n_classes, self.cutoffs, self.div_value, self.head_bias = in_features, n_classes, [*given, n_classes], div_value, head_bias
        self.shortlist_size, self.n_clusters = given[0], len(given)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(self._clusters()):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(Sequential(Linear(in_features, width, False), Linear(width, high - low, False)))

    def _clusters(self) -> list[tuple[int, int]]:
        return list(zip(self.cutoffs[:-1], self.cutoffs[1:]))

    def forward(self, input: Tensor, target: Tensor) -> ASMoutput:  # noqa: A002 (torch's name)
        if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
            raise ShapeError(f"AdaptiveLogSoftmaxWithLoss: {input.spec} with targets {target.spec}: [N, F] with [N], or [F] with one, expected")
        x, t = (input, target) if input.ndim == 2 else (input.unsqueeze(0), target.unsqueeze(0))
        if not t.is_traced and t.numel() and not 0 <= t.numpy().min() <= t.numpy().max() < self.n_classes:
            raise BoundError(f"AdaptiveLogSoftmaxWithLoss: targets {t.numpy().min()}..{t.numpy().max()}; 0..{self.n_classes - 1} expected")
        number = t.float()
        column, within = number, None
        for i, (low, high) in enumerate(self._clusters()):
            here = where(number >= float(low), (number < float(high)).float(), 0.0)
            inside = log_softmax(self.tail[i](x), 1)
            there = where(here, number - float(low), 0.0).to(DType.int64).unsqueeze(1)
            share = where(here, gather(inside, 1, there).squeeze(1), 0.0)
            within = share if within is None else within + share
            column = where(here, float(self.shortlist_size + i), column)
        output = gather(log_softmax(self.head(x), 1), 1, column.to(DType.int64).unsqueeze(1)).squeeze(1)
        output = output if within is None else output + within
        return ASMoutput(output if input.ndim == 2 else output.squeeze(0), -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:  # noqa: A002
        """[N, n_classes]: the log probabilities of all classes of input[N, F]."""
        head = log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            at = self.shortlist_size + i
            parts.append(log_softmax(cluster(input), 1) + head[:, at : at + 1])
        return cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:  # noqa: A002
        """int64[N]: the most probable class of each row of input[N, F]."""
        return argmax(self.log_prob(input), 1)




__all__ = ["AdaptiveLogSoftmaxWithLoss"]
