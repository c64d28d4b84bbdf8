"""Elements by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ....ops.arithmetic import calculate
from ..call import Call, axis_of, rank_of, register, shape_of
from ..values import numbers, settled, symbolic
from .arithmetic import MOST, chosen


@register("Gather")
def _(c: Call, x: Any, index: Any) -> Any:
    axis = axis_of(c, c.get("axis", 0), rank_of(x))
    array, at = numbers(x), numbers(index)
    if array is not None and at is not None and (array.size <= MOST or array.dtype.kind not in "f"):
        n = array.shape[axis]
        if at.size and (at.min() < -n or at.max() >= n):
            raise c.bad(f"index {at.ravel()[:8].tolist()} of a dimension of {n}")
        return settled(np.take(array, at, axis))
    if at is not None and at.ndim == 0 and isinstance(x, Tensor) and not symbolic(at):     # one slice of known number: a view
        n_: Any = x.shape[axis]
        k = int(at)
        if isinstance(n_, int) and not -n_ <= k < n_:
            raise c.bad(f"index {k} of a dimension of {n_}")
        one = apply("slice", x, axis=axis, start=k if k >= 0 else n_ + k, length=1, step=1)
        return one.reshape(*one.shape[:axis], *one.shape[axis + 1 :])
    return apply("take", c.tensor(x), c.tensor(index), axis=axis, skip=-1)


@register("GatherElements")
def _(c: Call, x: Any, index: Any) -> Any:
    return ops.gather(c.tensor(x), axis_of(c, c.get("axis", 0), rank_of(x)), c.tensor(index))


@register("GatherND")
def _(c: Call, x: Any, index: Any) -> Any:
    return ops.gather_nd(c.tensor(x), c.tensor(index), int(c.get("batch_dims", 0)))


@register("Scatter")
@register("ScatterElements")
def _(c: Call, x: Any, index: Any, updates: Any) -> Any:
    t = c.tensor(x)
    return ops.scatter(t, axis_of(c, c.get("axis", 0), rank_of(x)), c.tensor(index), c.tensor(updates), c.get("reduction", "none"))


@register("ScatterND")
def _(c: Call, x: Any, index: Any, updates: Any) -> Any:
    arrays = [numbers(v) for v in (x, index, updates)]
    if all(a is not None and a.size <= MOST for a in arrays) and c.get("reduction", "none") == "none":
        data, at, new = (np.asarray(a) for a in arrays)
        found = np.array(data, dtype=object if object in (data.dtype, new.dtype) else None)
        found[tuple(np.moveaxis(at, -1, 0))] = new
        return settled(found)
    return ops.scatter_nd(c.tensor(x), c.tensor(index), c.tensor(updates), c.get("reduction", "none"))


@register("OneHot")
def _(c: Call, index: Any, depth: Any, values: Any) -> Any:
    n = int(c.number(depth, "depth"))
    rank = rank_of(index)
    axis = axis_of(c, c.get("axis", -1), rank + 1)
    at = c.tensor(index)
    at = at if at.dtype in (DType.int32, DType.int64) else at.to(DType.int64)
    classes = c.tensor(np.arange(n, dtype=np.int64).reshape([-1 if d == axis else 1 for d in range(rank + 1)]))
    wide = at.to(DType.int64).reshape(*at.shape[:axis], 1, *at.shape[axis:])
    same, wrapped = calculate("eq", wide, classes), calculate("eq", calculate("add", wide, c.tensor(np.asarray(n, np.int64))), classes)
    table = c.tensor(values)
    off, on = (apply("slice", table, axis=0, start=i, length=1, step=1).reshape() for i in range(2))
    return chosen(calculate("or", same, wrapped), on, off)


@register("NonZero")
def _(c: Call, x: Any) -> Any:
    return np.stack(np.nonzero(c.value(x, "the data"))).astype(np.int64)


@register("Compress")
def _(c: Call, x: Any, condition: Any) -> Any:
    keep = np.nonzero(c.value(condition, "the condition"))[0]
    if "axis" not in c.attrs:
        t = c.tensor(x)
        return ops.index_select(t.reshape(-1), 0, keep)
    return ops.index_select(c.tensor(x), axis_of(c, c.attrs["axis"], rank_of(x)), keep)


@register("ReverseSequence")
def _(c: Call, x: Any, lengths: Any) -> Any:
    t, batch, time = c.tensor(x), int(c.get("batch_axis", 1)), int(c.get("time_axis", 0))
    n = c.value(lengths, "sequence_lens")
    steps = shape_of(x)[time]
    at = np.stack([np.r_[np.arange(k)[::-1], np.arange(k, steps)] for k in n])          # [B, T]
    if batch > time:
        at = at.T
    shape = [steps if d == time else len(n) if d == batch else 1 for d in range(t.ndim)]
    return ops.take_along_dim(t, np.ascontiguousarray(at.reshape(shape)), time)
