"""Tensors from nothing but a shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core.dims import Size
from ....core.dtypes import DType
from ....core.tensor import Tensor, as_tensor
from ....ops.arithmetic import calculate
from ..call import Call, counted, register


def filled(c: Call, size: Any, value: Any) -> Tensor:
    return as_tensor(c.number(value, "the value"), c.dtype).expand(*size)


@register("aten.full")
def _(c: Call, size: Any, fill_value: Any, dtype: Any = None) -> Any:
    return filled(c, size, fill_value)


@register("aten.zeros", "aten.empty.memory_format")
def _(c: Call, size: Any, dtype: Any = None) -> Any:
    return filled(c, size, 0)


@register("aten.ones")
def _(c: Call, size: Any, dtype: Any = None) -> Any:
    return filled(c, size, 1)


@register("aten.full_like")
def _(c: Call, self: Any, fill_value: Any, dtype: Any = None) -> Any:
    return filled(c, self.shape, fill_value)


@register("aten.zeros_like", "aten.empty_like")
def _(c: Call, self: Any, dtype: Any = None) -> Any:
    return filled(c, self.shape, 0)


@register("aten.ones_like")
def _(c: Call, self: Any, dtype: Any = None) -> Any:
    return filled(c, self.shape, 1)


@register("aten.new_zeros", "aten.new_empty")
def _(c: Call, self: Any, size: Any, dtype: Any = None) -> Any:
    return filled(c, size, 0)


@register("aten.new_ones")
def _(c: Call, self: Any, size: Any, dtype: Any = None) -> Any:
    return filled(c, size, 1)


@register("aten.new_full")
def _(c: Call, self: Any, size: Any, fill_value: Any, dtype: Any = None) -> Any:
    return filled(c, size, fill_value)


@register("aten.fill.Scalar", "aten.fill.Tensor")
def _(c: Call, self: Any, value: Any) -> Any:
    return filled(c, self.shape, value)


@register("aten.scalar_tensor")
def _(c: Call, s: Any, dtype: Any = None) -> Any:
    return c.tensor(s, c.dtype)


@register("aten.arange", "aten.arange.start", "aten.arange.start_step")
def _(c: Call, end: Any, start: Any = 0, step: Any = 1, dtype: Any = None) -> Any:
    if not any(isinstance(v, Size) for v in (start, end, step)):
        return as_tensor(np.arange(start, end, step)).to(c.dtype)
    at = counted(-((start - end) // step))
    if step != 1:
        at = calculate("mul", at, c.tensor(step, DType.int64))
    if not isinstance(start, int) or start != 0:
        at = calculate("add", at, c.tensor(start, DType.int64))
    return at.to(c.dtype)


@register("aten.linspace")
def _(c: Call, start: Any, end: Any, steps: Any, dtype: Any = None) -> Any:
    return as_tensor(np.linspace(start, end, steps, dtype=np.float32)).to(c.dtype)


@register("aten.eye", "aten.eye.m")
def _(c: Call, n: Any, m: Any = None, dtype: Any = None) -> Any:
    return as_tensor(np.eye(n, m, dtype=np.float32)).to(c.dtype)
