"""Integers, bool and float64, which the ops of layers do not take: composed of `calculate`, running sums and casts that lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...core.dims import product
from ...core.dtypes import DType
from ...core.errors import DTypeError, UnsupportedError
from ...core.tensor import Tensor, apply
from ...ops.arithmetic import calculate
from .call import literal

SUMMED = {DType.bool: DType.int32, DType.int8: DType.int32, DType.uint8: DType.int32, DType.int16: DType.int32, DType.uint16: DType.int32,
          DType.uint32: DType.int64, DType.uint64: DType.int64}  # fmt: skip
ORDERED = {**SUMMED, DType.uint64: DType.int64, DType.int8: DType.int8, DType.uint8: DType.uint8}


def is_narrow(dtype: DType) -> bool:
    """A float that `pointwise` and the layers compute with."""
    return bool(dtype.is_float) and dtype != DType.float64


def summable(x: Tensor) -> Tensor:
    """In a type that has running sums. Modulo 2^bits, so that cast back they are those of x's type."""
    return x.to(SUMMED.get(x.dtype, x.dtype))


def _turned(x: Tensor) -> Tensor:
    """uint64 in the order of int64, or back: the highest bit flipped."""
    return calculate("xor", x.to(DType.int64), literal(np.asarray(-(2**63), np.int64)))


def ordered(x: Tensor, f: Callable[[Tensor], Any]) -> Any:
    """f of x in a type that can be sorted; what f gives in that type (its first result) comes back in x's."""
    kept = x.dtype
    if kept == DType.float64:
        raise DTypeError("sorting float64")
    y = f(_turned(x) if kept == DType.uint64 else x if is_narrow(kept) else x.to(ORDERED.get(kept, kept)))
    values, *rest = y if isinstance(y, tuple) else (y,)
    values = _turned(values).to(kept) if kept == DType.uint64 else values.to(kept)
    return (values, *rest) if isinstance(y, tuple) else values


def reduced(x: Tensor, dims: tuple[int, ...], keep: bool, kind: str) -> Tensor:
    """sum, prod, max or min over dims, in x's type."""
    rest = [d for d in range(x.ndim) if d not in dims]
    flat = x.permute((*rest, *dims)).reshape(*[x.shape[d] for d in rest], product(tuple(x.shape[d] for d in dims)))
    shape = [1 if d in dims else s for d, s in enumerate(x.shape) if keep or d not in dims]
    axis, n = len(rest), flat.shape[-1]
    if isinstance(n, int) and n == 0:
        return literal(_of_nothing(x.dtype, kind)).expand(*shape) if shape else literal(_of_nothing(x.dtype, kind))
    if kind in ("sum", "prod"):
        sums = (ops.cumsum if kind == "sum" else ops.cumprod)(summable(flat), axis)
        y = apply("slice", sums, axis=axis, start=n - 1, length=1, step=1).to(x.dtype)
    elif x.dtype == DType.float64:
        y = _folded(flat, kind)
    else:
        y = ordered(flat, lambda t: ops.topk(t, 1, axis, kind == "max")[0])
    return y.reshape(*shape)


def _of_nothing(dtype: DType, kind: str) -> np.ndarray:
    if kind in ("sum", "prod"):
        return np.asarray(int(kind == "prod"), dtype.storage)
    if dtype == DType.bool:
        return np.asarray(kind == "min")
    if dtype.is_float:
        return np.asarray(-np.inf if kind == "max" else np.inf, dtype.storage)
    info = np.iinfo(dtype.storage)
    return np.asarray(info.min if kind == "max" else info.max, dtype.storage)


def _folded(x: Tensor, kind: str) -> Tensor:
    """The halves of the last dimension against each other, until one element is left."""
    axis = x.ndim - 1
    while x.shape[axis] != 1:
        n: Any = x.shape[axis]
        if not isinstance(n, int):
            raise UnsupportedError(f"the {kind} of float64 over a dimension of unknown size")
        half = -(-n // 2)
        x = calculate(kind, *(apply("slice", x, axis=axis, start=s, length=half, step=1) for s in (0, n - half)))
    return x


def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    """a[..., M, K] @ b[..., K, N] by products and running sums."""
    terms = a.unsqueeze(a.ndim) * b.unsqueeze(b.ndim - 2)
    return reduced(terms, (terms.ndim - 2,), False, "sum")
