"""x[key]: what basic indexing is in terms of ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import BoundError
from .tensor import Tensor, apply


def index(x: Tensor, key: Any) -> Tensor:
    """Basic indexing: integers, slices with a positive step, None, Ellipsis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    given = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if given > x.ndim:
        raise BoundError(f"{given} indices for {x.spec}")
    if Ellipsis in [k for k in keys if not isinstance(k, Tensor)]:
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (x.ndim - given)
    axis = 0
    for k in keys:
        if k is None:
            x = x.unsqueeze(axis)
            axis += 1
        elif isinstance(k, slice):
            x = _take_slice(x, axis, k)
            axis += 1
        elif isinstance(k, (int, np.integer)):
            x = _take_one(x, axis, int(k))
        else:
            raise BoundError(f"indexing with {type(k).__name__} is not supported; use integers, slices, None and ...")
    return x


def _take_slice(x: Tensor, axis: int, k: slice) -> Tensor:
    if k == slice(None):
        return x
    start, stop, step = k.indices(x.shape[axis])  # type: ignore[arg-type]
    if step < 1:
        raise BoundError("slices need a positive step")
    length = max(0, -(-(stop - start) // step))
    return apply("slice", x, axis=axis, start=start if length else 0, length=length, step=step)


def _take_one(x: Tensor, axis: int, k: int) -> Tensor:
    n: Any = x.shape[axis]
    if not -n <= k < n:
        raise BoundError(f"index {k} of dimension {axis} of {x.spec}")
    one = apply("slice", x, axis=axis, start=k % n, length=1, step=1)
    return one.reshape(*one.shape[:axis], *one.shape[axis + 1 :])
