"""x[key]: what indexing is in terms of ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import DType
from .errors import BoundError
from .tensor import Tensor, apply, as_tensor


def index(x: Tensor, key: Any) -> Tensor:
    """Integers, slices, None, Ellipsis; and integer tensors, lists and arrays, which broadcast and whose dimensions stand where numpy puts them."""
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = [_numbers(k) if isinstance(k, (Tensor, list, np.ndarray)) else k for k in keys]
    given = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if given > x.ndim:
        raise BoundError(f"{given} indices for {x.spec}")
    if Ellipsis in [k for k in keys if not isinstance(k, Tensor)]:
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (x.ndim - given)
    picked: dict[int, Tensor] = {}
    several = any(isinstance(k, Tensor) for k in keys)
    axis = 0
    for k in keys:
        if k is None:
            x = x.unsqueeze(axis)
            axis += 1
        elif isinstance(k, slice):
            x = _take_slice(x, axis, k)
            axis += 1
        elif isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            if several:
                picked[axis] = _numbers(int(k))
                axis += 1
            else:
                x = _take_one(x, axis, int(k))
        elif isinstance(k, Tensor):
            picked[axis] = k
            axis += 1
        else:
            raise BoundError(f"indexing with {type(k).__name__} is not supported; use integers, slices, None, ... and integer tensors")
    return _pick(x, picked) if picked else x


def _numbers(k: Any) -> Tensor:
    found = k if isinstance(k, Tensor) else as_tensor(k if isinstance(k, int) else np.asarray(k), DType.int64)
    if found.dtype not in (DType.int64, DType.int32):
        raise BoundError(f"indexing with {found.spec}: integers expected; a mask's result has no size that is known beforehand, use where()")
    return found


def _pick(x: Tensor, picked: dict[int, Tensor]) -> Tensor:
    """Elements by several numbers at once: the indexed dimensions brought to the front, gathered, and the result's brought to their place."""
    axes = list(picked)
    if len(axes) == 1:
        return apply("take", x, picked[axes[0]], axis=axes[0], skip=-1)
    shapes: Any = [t.shape for t in picked.values()]
    shape = np.broadcast_shapes(*shapes)
    joined = apply("concat", *(t.to(DType.int64).expand(*shape).unsqueeze(-1) for t in picked.values()), axis=len(shape))
    others = [d for d in range(x.ndim) if d not in picked]
    front = x if axes == list(range(len(axes))) else x.permute((*axes, *others))
    y = apply("gather_nd", front, joined, batch=0)
    first = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    if not first:
        return y
    n = len(shape)
    return y.permute((*range(n, n + first), *range(n), *range(n + first, y.ndim)))


def _take_slice(x: Tensor, axis: int, k: slice) -> Tensor:
    if k == slice(None):
        return x
    start, stop, step = k.indices(x.shape[axis])  # type: ignore[arg-type]
    length = max(0, -(-(stop - start) // step))
    if step > 0:
        return apply("slice", x, axis=axis, start=start if length else 0, length=length, step=step)
    forward = apply("slice", x, axis=axis, start=start + (length - 1) * step if length else 0, length=length, step=-step)
    return apply("flip", forward, axes=(axis,))


def _take_one(x: Tensor, axis: int, k: int) -> Tensor:
    n: Any = x.shape[axis]
    if not -n <= k < n:
        raise BoundError(f"index {k} of dimension {axis} of {x.spec}")
    one = apply("slice", x, axis=axis, start=k % n, length=1, step=1)
    return one.reshape(*one.shape[:axis], *one.shape[axis + 1 :])
