"""Elements by number."""

from __future__ import annotations

from typing import Any

from .... import ops
from ....core.dtypes import DType
from ....core.tensor import apply
from ....ops.elementwise import broadcast
from ....ops.indexing import joined
from ..call import Call, axis_of, register
from .pointwise import chosen


@register("aten.embedding")
def _(c: Call, weight: Any, indices: Any) -> Any:
    return ops.embedding(indices, weight)


@register("aten.index_select")
def _(c: Call, self: Any, dim: int, index: Any) -> Any:
    return ops.index_select(self, dim, index)


@register("aten.gather")
def _(c: Call, self: Any, dim: int, index: Any) -> Any:
    return ops.gather(self, dim, index)


@register("aten.take_along_dim")
def _(c: Call, self: Any, indices: Any, dim: Any = None) -> Any:
    return ops.take_along_dim(self, indices, dim) if dim is not None else ops.gather(self.reshape(-1), 0, indices.reshape(-1))


@register("aten.index.Tensor")
def _(c: Call, self: Any, indices: Any) -> Any:
    """Broadcast numbers; their dimensions stand where the first of them stood, or in front if other dimensions lie between them (numpy's rule)."""
    picked = {d: i for d, i in enumerate(indices) if i is not None}
    if any(i.dtype in (DType.bool, DType.uint8) for i in picked.values()):
        raise c.refuse("a mask, whose result has no size that is known beforehand")
    axes = list(picked)
    if len(axes) == 1:
        return apply("take", self, picked[axes[0]], axis=axes[0], skip=-1)
    n = len(broadcast("indexing", *(i.shape for i in picked.values())))
    others = [d for d in range(self.ndim) if d not in picked]
    front = self if axes == list(range(len(axes))) else self.permute((*axes, *others))
    y = apply("gather_nd", front, joined(list(picked.values())), batch=0)
    first = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    return y.permute((*range(n, n + first), *range(n), *range(n + first, y.ndim))) if first else y


@register("aten.index_put", "aten._unsafe_index_put")
def _(c: Call, self: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    if len(indices) == 1 and indices[0] is not None and indices[0].dtype == DType.bool and values.numel() == 1 and not accumulate:
        mask = indices[0]
        return chosen(c, mask.reshape(*mask.shape, *[1] * (self.ndim - mask.ndim)), values.reshape(()), self)
    if any(i is None or i.dtype == DType.bool for i in indices):
        raise c.refuse("masks, and dimensions left out between numbers")
    return ops.index_put(self, list(indices), values, accumulate)


REDUCE = {"sum": "add", "prod": "mul", "amax": "max", "amin": "min", "add": "add", "multiply": "mul"}


@register("aten.scatter.src", "aten.scatter.value", "aten.scatter.reduce", "aten.scatter.value_reduce")
def _(c: Call, self: Any, dim: int, index: Any, src: Any = None, value: Any = None, reduce: Any = None) -> Any:
    return ops.scatter(self, dim, index, c.tensor(value if src is None else src, self.dtype), REDUCE[reduce] if reduce else None)


@register("aten.scatter_add")
def _(c: Call, self: Any, dim: int, index: Any, src: Any) -> Any:
    return ops.scatter_add(self, dim, index, src)


@register("aten.scatter_reduce.two")
def _(c: Call, self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    if reduce not in REDUCE or not include_self:
        raise c.refuse(f"reduce={reduce!r}, include_self={include_self}")
    return ops.scatter(self, dim, index, src, REDUCE[reduce])


@register("aten.index_add")
def _(c: Call, self: Any, dim: int, index: Any, source: Any, alpha: Any = 1) -> Any:
    return ops.index_add(self, dim, index, source if alpha == 1 else source * float(alpha))


@register("aten.one_hot")
def _(c: Call, self: Any, num_classes: int = -1) -> Any:
    if num_classes < 0:
        raise c.refuse("as many classes as the data has; give num_classes")
    return ops.one_hot(self, num_classes).to(DType.int64)


@register("aten.index_fill.int_Scalar")
def _(c: Call, self: Any, dim: int, index: Any, value: Any) -> Any:
    d = axis_of(c, dim, self.ndim)
    shape = [index.shape[0] if i == d else 1 for i in range(self.ndim)]
    wide = index.reshape(*shape).expand(*[index.shape[0] if i == d else s for i, s in enumerate(self.shape)])
    return ops.scatter(self, d, wide, c.tensor(value, self.dtype))
