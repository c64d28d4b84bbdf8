"""Products of 8-bit integers, exactly, by the kernels of u8 x s8 with int32 sums: other signs are turned into those by a shift of 128.

With w = w' + 128 for bytes and z' the shifted zero point, sum (a - za) (w - zw) = sum (a - za) w' - z' sum (a - za): the last sum is one more column."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...core.dims import product
from ...core.dtypes import DType
from ...core.graph import Spec
from ...core.lazy import file_of, made_of, read
from ...core.tensor import Tensor, apply
from ...ops.arithmetic import calculate
from ...ops.conv import GEOMETRY
from ...ops.elementwise import broadcast
from .call import Call
from .values import numbers

MOST_PRODUCTS, MOST_TAPS = 256, 32768        # matrices of a batch; terms of a sum of qconv2d


def unsigned(c: Call, x: Any, zero: Any) -> tuple[Tensor, Tensor]:
    """(uint8, its zero point uint8[])."""
    t = c.tensor(x)
    if t.dtype not in (DType.uint8, DType.int8):
        raise c.refuse(f"integers of {t.dtype.name}")
    z = c.tensor(np.zeros((), t.dtype.storage)) if zero is None else c.tensor(zero)
    return (t, z.reshape()) if t.dtype == DType.uint8 else (_shifted(c, t), _shifted(c, z).reshape())


def _shifted(c: Call, t: Tensor) -> Tensor:
    """int8 + 128 as uint8."""
    return calculate("xor", t.to(DType.uint8), c.tensor(np.asarray(128, np.uint8)))


def signed(c: Call, w: Any, zero: Any, axis: int) -> tuple[Any, Tensor | None]:
    """(int8, known numbers where they were; what is still to be taken from every weight: int32, or None). A zero point of several numbers belongs to
    `axis`. Known weights are turned here, so that they are packed once."""
    array, offset = numbers(w), np.zeros((), np.int32) if zero is None else numbers(zero)
    if array is not None and offset is not None:
        shape = [-1 if d == axis % array.ndim else 1 for d in range(array.ndim)] if offset.size > 1 else [1] * array.ndim
        others = tuple(d for d in range(array.ndim) if shape[d] == 1)
        low, high = (f(axis=others).astype(np.int32) - offset.astype(np.int32).ravel() for f in (array.min, array.max)) if array.size else (np.zeros(1),) * 2
        fits = low.min(initial=0) >= -128 and high.max(initial=0) <= 127
        read(array)
        if fits:                                                       # then the subtraction of bytes is right whatever it carries
            plain = array.dtype == np.int8 and not offset.any()        # as most files have them: they stay where they lie
            return array if plain else (array.view(np.uint8) - offset.astype(np.int64).astype(np.uint8).reshape(shape)).view(np.int8), None
        if array.dtype == np.uint8:
            raw = array

            def turned(out: np.ndarray) -> None:
                np.bitwise_xor(raw, 128, out=out.view(np.uint8))

            made = (raw ^ 128).view(np.int8) if file_of(raw) is None else made_of(raw, Spec(raw.shape, DType.int8), turned)
            return made, c.tensor(np.asarray(offset.astype(np.int32) - 128))
        return array, c.tensor(offset.astype(np.int32))
    t = c.tensor(w)
    left = None if zero is None else c.tensor(zero).to(DType.int32)
    if t.dtype == DType.uint8:
        t = calculate("xor", t, c.tensor(np.asarray(128, np.uint8))).to(DType.int8)
        high = c.tensor(np.asarray(128, np.int32))
        left = calculate("neg", high) if left is None else calculate("sub", left, high)
    elif t.dtype != DType.int8:
        raise c.refuse(f"weights of {t.dtype.name}")
    return t, left


def as_matrices(a: Tensor, b: Tensor, f: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """numpy's matmul by f of matrices: vectors become a row, or a column, and their dimension of 1 goes again."""
    row, column = a.ndim == 1, b.ndim == 1
    y = f(a.unsqueeze(0) if row else a, b.unsqueeze(1) if column else b)
    y = y.squeeze(y.ndim - 1) if column else y
    return y.squeeze(y.ndim - (1 if column else 2)) if row else y


def matmul_integer(c: Call, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Tensor:
    """int32 [..., M, N]."""
    if a_zero is not None and math.prod(c.tensor(a_zero).shape) != 1:
        raise c.refuse("a zero point for every row")
    x, zero = unsigned(c, a, a_zero)
    w, left = signed(c, b, b_zero, -1)
    return as_matrices(x, c.tensor(w), lambda p, q: _products(c, p, q, zero, left))


def _products(c: Call, a: Tensor, b: Tensor, zero: Tensor, left: Tensor | None) -> Tensor:
    batch = product(b.shape[:-2])
    if not isinstance(batch, int) or batch > MOST_PRODUCTS:
        raise c.refuse(f"{batch} matrices of integers on the right")
    if batch == 1:
        rows = a.reshape(product(a.shape[:-1]), a.shape[-1])
        y = _product(c, rows, b.reshape(*b.shape[-2:]), zero, None if left is None else left.reshape(1, -1) if left.ndim else left)
        return y.reshape(*(1,) * max(0, b.ndim - a.ndim), *a.shape[:-1], b.shape[-1])
    shape: Any = broadcast(c.op, a.shape[:-2], b.shape[:-2])
    a, b = (t.expand(*shape, *t.shape[-2:]).reshape(-1, *t.shape[-2:]) for t in (a, b))

    def one(t: Tensor, i: int) -> Tensor:
        return apply("slice", t, axis=0, start=i, length=1, step=1).reshape(*t.shape[1:])

    return ops.stack([_product(c, one(a, i), one(b, i), zero, left) for i in range(math.prod(shape))], 0).reshape(*shape, a.shape[-2], b.shape[-1])


def _ones(c: Call, n: Any) -> Tensor:
    """The scale that is not looked at for int32 results."""
    return c.tensor(np.ones(n, np.float32)) if isinstance(n, int) else c.tensor(np.ones((), np.float32)).expand(n).contiguous()


def _product(c: Call, a: Tensor, b: Tensor, zero: Tensor, left: Tensor | None) -> Tensor:
    y = apply("qmatmul", a, zero, b, _ones(c, b.shape[1]), out="int32")
    if left is None:
        return y
    depth: Any = b.shape[0]
    ones = c.tensor(np.ones((depth, 1), np.int8)) if isinstance(depth, int) else c.tensor(np.ones((), np.int8)).expand(depth, 1)
    sums = apply("qmatmul", a, zero, ones, _ones(c, 1), out="int32")
    return calculate("sub", y, calculate("mul", sums, left))


def conv_integer(c: Call, x: Any, w: Any, x_zero: Any = None, w_zero: Any = None, finish: tuple[np.ndarray, Tensor | None, Tensor] | None = None) -> Tensor:
    """int32 [N, O, ...] over one or two dimensions of space; with `finish`, scales float32[O], a bias int32[O] or None and a zero point uint8[], where
    the weights fit int8, uint8 of clamp(zero + rint((sums + bias) * scale))."""
    from .handlers.convolution import window

    t, zero = unsigned(c, x, x_zero)
    kernel, left = signed(c, w, w_zero, 0)
    n = t.ndim - 2
    c.ignore("kernel_shape")
    strides, dilations, low, high = window(c, t, kernel.shape[2:])
    groups = int(c.get("group", 1))
    taps = product(kernel.shape[1:])
    if n not in (1, 2) or not isinstance(taps, int) or taps > MOST_TAPS:
        raise c.refuse(f"sums of {taps} integers over {n} dimensions of space")
    if n == 1:
        t, kernel = t.unsqueeze(2), kernel.reshape(*kernel.shape[:2], 1, *kernel.shape[2:])
        strides, dilations, low, high = (1, *strides), (1, *dilations), [0, *low], [0, *high]
    names = (("stride_h", strides[0]), ("stride_w", strides[1]), ("dilation_h", dilations[0]), ("dilation_w", dilations[1]), ("pad_top", low[0]),
             ("pad_left", low[1]), ("pad_bottom", high[0]), ("pad_right", high[1]), ("groups", groups))  # fmt: skip
    g = {**GEOMETRY, **dict(names)}
    outputs: Any = kernel.shape[0]
    if finish is not None and left is None:
        scale, bias, out_zero = finish
        y = apply("qconv2d", t, zero, c.tensor(kernel), c.tensor(scale), bias, out_zero, out="uint8", **g)
    else:
        y = apply("qconv2d", t, zero, c.tensor(kernel), _ones(c, kernel.shape[0]), None, None, out="int32", **g)
    if left is not None:         # the sums of what a window covers: one output of every group, with weights of 1
        ones = c.tensor(np.ones((groups, *kernel.shape[1:]), np.int8))
        sums = apply("qconv2d", t, zero, ones, _ones(c, groups), None, None, out="int32", **g)
        if 1 < groups < outputs:
            sums = sums.unsqueeze(2).expand(*sums.shape[:2], outputs // groups, *sums.shape[2:]).reshape(*y.shape)
        left = left.reshape(1, outputs, 1, 1) if math.prod(left.shape) > 1 else left.reshape()
        y = calculate("sub", y, calculate("mul", sums, left))
    return y.reshape(*y.shape[:2], y.shape[3]) if n == 1 else y
