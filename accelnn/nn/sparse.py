"""Embeddings: rows by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import AttributeValueError, ShapeError, UnsupportedError
from ..core.tensor import Tensor, apply, as_tensor, full, no_grad, tensor
from ..ops import maximum, where
from ..ops.functions import isinf, norm
from ..ops.indexing import embedding as rows_of, index_select, scatter_add, scatter_nd
from ..ops.order import cumsum
from . import init
from .module import Module, Parameter


def _renormalized(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Rows that index names and that are longer than max_norm are shortened to it, in the weight itself."""
    with no_grad():
        at = index.reshape(-1)
        rows = index_select(weight, 0, at)
        length = norm(rows, norm_type, 1, keepdim=True)
        scale = where(length > max_norm, max_norm / (length + 1e-7), 1.0)
        weight.assign(scatter_nd(weight, at.unsqueeze(1), rows * scale))


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,  # noqa: A002
              scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:  # fmt: skip
    """Rows of weight[N, D] by number: [..., D]; see Embedding."""
    if sparse:
        raise UnsupportedError("embedding: sparse=True; gradients of embeddings are dense sums")
    if max_norm is not None:
        _renormalized(weight, input, max_norm, norm_type)
    rows = rows_of(input, weight, padding_idx)
    if not scale_grad_by_freq:
        return rows
    with no_grad():
        at = input.reshape(-1)
        often = scatter_add(as_tensor(0.0).expand(weight.shape[0]), 0, at, as_tensor(1.0).expand(*at.shape))
        share = (1.0 / index_select(often, 0, input)).unsqueeze(-1)
    fixed = rows.detach()
    return fixed + (rows - fixed) * share


class Embedding(Module):
    """weight[num_embeddings, embedding_dim] rows by number: integers [...] -> [..., embedding_dim]. The row padding_idx begins as zeros and gets no
    gradient; with max_norm, rows that are used are first shortened to that norm; scale_grad_by_freq divides a row's gradient by how often it was used.
    The gradient of the weight is dense."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
                 scale_grad_by_freq: bool = False, sparse: bool = False, _weight: Any = None, _freeze: bool = False) -> None:  # fmt: skip
        super().__init__()
        if sparse:
            raise UnsupportedError(f"{type(self).__name__}: sparse=True; gradients of embeddings are dense sums")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise AttributeValueError(f"{type(self).__name__}: padding_idx {padding_idx} of {num_embeddings} rows")
        self.num_embeddings, self.embedding_dim, self.max_norm, self.norm_type = num_embeddings, embedding_dim, max_norm, norm_type
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            rows = init.normal_array((num_embeddings, embedding_dim))
            if self.padding_idx is not None:
                rows[self.padding_idx] = 0
        elif tuple(np.shape(_weight)) != (num_embeddings, embedding_dim):
            raise ShapeError(f"{type(self).__name__}: weights of shape {np.shape(_weight)} for {num_embeddings} rows of {embedding_dim}")
        self.weight = Parameter(rows if _weight is None else _weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **options: Any) -> Any:
        """Rows that are there already; frozen by default."""
        rows, columns = np.shape(embeddings)
        made = cls(rows, columns, _weight=embeddings, **options)
        made.weight.requires_grad = not freeze
        return made

    def forward(self, x: Tensor) -> Tensor:
        return embedding(x, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}" + ("" if self.padding_idx is None else f", padding_idx={self.padding_idx}")


class EmbeddingBag(Embedding):
    """Sums, means or maxima of bags of rows: numbers [B, L], or [N] with offsets[B] where each bag begins -> [B, embedding_dim]. padding_idx is left out
    of its bag; an empty bag gives zeros."""

    def __init__(self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                 mode: str = "mean", sparse: bool = False, _weight: Any = None, include_last_offset: bool = False,
                 padding_idx: int | None = None) -> None:  # fmt: skip
        super().__init__(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight)
        if mode not in ("sum", "mean", "max"):
            raise AttributeValueError(f"EmbeddingBag: mode {mode!r}; expected sum, mean or max")
        if mode == "max" and scale_grad_by_freq:
            raise AttributeValueError("EmbeddingBag: scale_grad_by_freq is for sums and means, not for mode='max'")
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(self, x: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return embedding_bag(x, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse, per_sample_weights,
                             self.include_last_offset, self.padding_idx)  # fmt: skip

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mode={self.mode!r}"


def embedding_bag(input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None, norm_type: float = 2,  # noqa: A002
                  scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Tensor | None = None,
                  include_last_offset: bool = False, padding_idx: int | None = None) -> Tensor:  # fmt: skip
    """Sums, means or maxima of bags of rows of weight[N, D]; see EmbeddingBag."""
    if mode not in ("sum", "mean", "max"):
        raise AttributeValueError(f"EmbeddingBag: mode {mode!r}; expected sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise AttributeValueError("EmbeddingBag: scale_grad_by_freq is for sums and means, not for mode='max'")
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != input.shape):
        raise ShapeError(f"EmbeddingBag: per_sample_weights are for mode='sum', one for each number of {input.spec}")
    x, bag, bags = _bags(input, offsets, include_last_offset)
    rows = embedding(x, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    used = full((1,), 1.0).expand(x.shape[0], 1) if padding_idx is None else (x.float() != float(padding_idx)).float().unsqueeze(1)

    def total(t: Tensor) -> Tensor:
        return apply("take_grad", t, bag, axis=0, skip=-1, size=bags)

    if mode == "max":
        low = full((1, 1), -np.inf)
        most = scatter_nd(low.expand(bags, weight.shape[1]), bag.unsqueeze(1), where(used, rows, low), "max")
        return where(isinf(most), 0.0, most)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    y = total(rows * used if padding_idx is not None else rows)
    return y if mode == "sum" else y / maximum(total(used), 1.0)


def _bags(x: Tensor, offsets: Tensor | None, include_last_offset: bool) -> tuple[Tensor, Tensor, Any]:
    """All numbers in one row, the bag of each, and how many bags there are."""
    if x.ndim == 2:
        if offsets is not None:
            raise ShapeError("EmbeddingBag: offsets are for numbers in one row; x[B, L] has its bags already")
        bags, length = x.shape
        return x.reshape(-1), as_tensor(np.repeat(np.arange(bags), length)), bags  # type: ignore[arg-type]
    if x.ndim != 1 or offsets is None or offsets.ndim != 1:
        raise ShapeError(f"EmbeddingBag: numbers [B, L], or [N] and offsets [B], not {x.spec} and {None if offsets is None else offsets.spec}")
    n: object = x.shape[0]
    starts = offsets[:-1] if include_last_offset else offsets
    marks = scatter_add(_zeros(n), 0, starts[1:], _ones(starts.shape[0]))
    return x, cumsum(marks, 0)[:-1], starts.shape[0]


def _zeros(n: Any) -> Tensor:
    """int64 zeros, one more than n: an empty bag at the end begins behind the last number."""
    if not isinstance(n, int):
        raise ShapeError("EmbeddingBag: offsets want a known number of indices")
    return tensor(np.zeros(n + 1, np.int64))


def _ones(bags: Any) -> Tensor:
    if not isinstance(bags, int):
        raise ShapeError("EmbeddingBag: offsets of unknown number")
    return tensor(np.ones(bags - 1, np.int64))


__all__ = ["Embedding", "EmbeddingBag"]
