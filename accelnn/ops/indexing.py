"""Elements by number, as users call it: torch's names, and ONNX's where torch has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.dtypes import DType
from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor, apply, as_tensor
from .arrange import axis_of
from .elementwise import where
from .indices import REDUCE, index_of

_REDUCE = {**{r: i for i, r in enumerate(REDUCE)}, "sum": 1, "prod": 2, "multiply": 2, "amax": 3, "amin": 4}


def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """Slices of `dim` by number: x.shape[:dim] + index.shape + x.shape[dim + 1:] (torch.index_select, ONNX Gather)."""
    return apply("take", x, index_of(index), axis=axis_of("index_select", dim, x.ndim), skip=-1)


def take_along_dim(x: Tensor, indices: Any, dim: int) -> Tensor:
    """As gather, sizes of 1 broadcast."""
    at, axis = index_of(indices), axis_of("take_along_dim", dim, x.ndim)
    if at.ndim != x.ndim:
        raise ShapeError(f"take_along_dim: {at.spec} and {x.spec} differ in rank")
    whole = tuple(max(a, b) for a, b in zip(x.shape, at.shape))
    return gather(x.expand(*(x.shape[d] if d == axis else n for d, n in enumerate(whole))), axis,
                  at.expand(*(at.shape[d] if d == axis else n for d, n in enumerate(whole))))  # fmt: skip


def gather(x: Tensor, dim: int, index: Any) -> Tensor:
    """y[.., j, ..] = x[.., index[.., j, ..], ..] along `dim` (torch.gather, ONNX GatherElements)."""
    return apply("gather", x, index_of(index), axis=axis_of("gather", dim, x.ndim))


def gather_nd(x: Tensor, index: Any, batch_dims: int = 0) -> Tensor:
    """ONNX GatherND."""
    return apply("gather_nd", x, index_of(index), batch=batch_dims)


def _reduction(name: str, reduce: str | None) -> int:
    if (reduce or "none") not in _REDUCE:
        raise AttributeValueError(f"{name}: reduce {reduce!r}; expected one of {', '.join(REDUCE)}")
    return _REDUCE[reduce or "none"]


def scatter(x: Tensor, dim: int, index: Any, src: Any, reduce: str | None = None) -> Tensor:
    """x with y[.., index[.., j, ..], ..] = src[.., j, ..] along `dim`; `reduce`: add, mul, max or min instead of replace. torch.scatter (src may be a
    number), ONNX ScatterElements. Where an index stands twice the last one stays."""
    at = index_of(index)
    source = as_tensor(src, x.dtype)
    if source.ndim == 0 and at.ndim:
        source = source.expand(*at.shape)
    return apply("scatter", x, at, source, axis=axis_of("scatter", dim, x.ndim), reduce=_reduction("scatter", reduce))


def scatter_add(x: Tensor, dim: int, index: Any, src: Tensor) -> Tensor:
    """x with src added where index points."""
    return scatter(x, dim, index, src, "add")


def scatter_nd(x: Tensor, index: Any, src: Tensor, reduce: str | None = None) -> Tensor:
    """x with the slices that index[.., K] names replaced by, or combined with, those of src (ONNX ScatterND)."""
    return apply("scatter_nd", x, index_of(index), src, reduce=_reduction("scatter_nd", reduce))


def index_add(x: Tensor, dim: int, index: Any, src: Tensor) -> Tensor:
    """x with the slices of src added to those of `dim` that index[J] names."""
    axis = axis_of("index_add", dim, x.ndim)
    return x + apply("take_grad", src, index_of(index), axis=axis, skip=-1, size=x.shape[axis])


def index_put(x: Tensor, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Tensor:
    """x with y[indices[0], indices[1], ...] = values, or += with accumulate; the indices broadcast (torch.index_put)."""
    at = joined(indices)
    slices = at.shape[:-1] + x.shape[len(indices) :]
    return scatter_nd(x, at, as_tensor(values, x.dtype).expand(*slices), "add" if accumulate else None)


def joined(indices: Sequence[Any]) -> Tensor:
    """Several broadcast indices as the last dimension of one."""
    from .arrange import stack
    from .elementwise import broadcast

    parts = [index_of(i).to(DType.int64) for i in indices]
    shape = broadcast("indexing", *(p.shape for p in parts))
    return stack([p.expand(*shape) for p in parts], -1)


def embedding(input: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of weight[N, D] by number: [..., D]. The row `padding_idx` gets no gradient. The gradient adds up the rows that were used."""
    n: Any = weight.shape[0]
    if padding_idx is not None and not -n <= padding_idx < n:
        raise AttributeValueError(f"embedding: padding_idx {padding_idx} of {n} rows")
    return apply("embedding", weight, index_of(input), padding=-1 if padding_idx is None else padding_idx % n)


def masked_fill(x: Tensor, mask: Tensor, value: float) -> Tensor:
    """value where mask is true, x elsewhere."""
    return where(mask, value, x)


__all__ = ["embedding", "gather", "gather_nd", "index_add", "index_put", "index_select", "masked_fill", "scatter", "scatter_add", "scatter_nd",
           "take_along_dim"]  # fmt: skip
