"""Tensors from nothing but a shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType, as_dtype
from ..core.errors import AttributeValueError
from ..core.tensor import Tensor, apply, as_tensor, full as filled, tensor
from .random import uniform


def full(size: Any, fill_value: float, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with fill_value everywhere: float32, or int64 if it is an integer."""
    usual = DType.int64 if isinstance(fill_value, int) and not isinstance(fill_value, bool) else DType.bool if isinstance(fill_value, bool) else DType.float32
    return filled((size,) if isinstance(size, int) else tuple(size), fill_value, usual if dtype is None else dtype, requires_grad)


def full_like(x: Tensor, fill_value: float, dtype: Any = None) -> Tensor:
    """A tensor of x's shape, and of its dtype unless another is given; the shape may be symbolic."""
    return apply("copy", as_tensor(fill_value, x.dtype if dtype is None else as_dtype(dtype)).expand(*x.shape))


def zeros_like(x: Tensor, dtype: Any = None) -> Tensor:
    return full_like(x, 0, dtype)


def ones_like(x: Tensor, dtype: Any = None) -> Tensor:
    return full_like(x, 1, dtype)


def eye(n: int, m: int | None = None, dtype: Any = DType.float32) -> Tensor:
    """Ones on the diagonal of n rows and m columns (n)."""
    return tensor(np.eye(n, m, dtype=np.float32), dtype)


def linspace(start: float, end: float, steps: int) -> Tensor:
    """float32[steps], evenly from start to end."""
    return tensor(np.linspace(start, end, steps, dtype=np.float32))


def randn(*size: Any) -> Tensor:
    """float32 from the normal distribution (Box and Muller, 1958), in a Plan too."""
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)
    u = uniform(2, *shape)
    radius, angle = ((1.0 - u[0]).log() * -2.0).sqrt(), u[1] * (2 * np.pi)
    return radius * apply("cos", angle)


def randint(low: int, high: int, size: Any) -> Tensor:
    """int64 in [low, high), numbers below 2^24."""
    if not -(1 << 24) <= low < high <= 1 << 24:
        raise AttributeValueError(f"randint: from {low} below {high}; rising numbers up to 2^24 expected")
    u = uniform(*((size,) if isinstance(size, int) else tuple(size)))
    return (apply("floor", u * float(high - low)) + float(low)).to(DType.int64)


def randperm(n: int) -> Tensor:
    """The numbers 0 to n - 1 in random order, int64."""
    return tensor(np.argsort(uniform(n).numpy(), kind="stable"))


__all__ = ["eye", "full", "full_like", "linspace", "ones_like", "randint", "randn", "randperm", "zeros_like"]
