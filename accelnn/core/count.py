"""Sums of integers and of float64."""

from __future__ import annotations

from .dtypes import DType
from .tensor import Tensor, apply, as_tensor


def count(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    """The sum of integers, or of truths, as int64 and exact; of float64 in float64. The end of a running sum, for which there is a kernel."""
    x = x if x.dtype == DType.float64 else x.to(DType.int64)
    for axis in reversed(axes):
        n = x.shape[axis]
        if isinstance(n, int) and n == 0:
            x = apply("expand", as_tensor(0, x.dtype), shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
        else:
            x = apply("slice", apply("cumsum", x, axis=axis, exclusive=False, reverse=False), axis=axis, start=n - 1, length=1, step=1)
        x = x if keepdim else x.reshape(*x.shape[:axis], *x.shape[axis + 1 :])
    return x
