"""Convolution, pooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .... import ops
from ....core.dims import product
from ....core.errors import UnsupportedError
from ....core.tensor import Tensor, apply
from ....ops.arithmetic import calculate
from ..call import Call, counted, measured, rank_of, register, shape_of

CONV = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}
TRANSPOSED = {1: ops.conv_transpose1d, 2: ops.conv_transpose2d, 3: ops.conv_transpose3d}
MAX = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
AVERAGE = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}
MOST_TAPS = 1024  # of windows that are summed slice by slice


def window(c: Call, x: Any, kernel: Any) -> tuple[tuple[int, ...], tuple[int, ...], list[int], list[int]]:
    """(strides, dilations, pads in front, pads behind), auto_pad resolved."""
    n = rank_of(x) - 2
    strides, dilations = c.ints("strides", (1,) * n), c.ints("dilations", (1,) * n)
    pads, auto = c.ints("pads", (0,) * 2 * n), c.get("auto_pad", "NOTSET")
    least = min((*strides, *dilations, *(k for k in kernel if isinstance(k, int))), default=0)
    if n < 1 or not len(strides) == len(dilations) == len(kernel) == n or len(pads) != 2 * n or least < 1:
        raise c.bad(f"kernel {tuple(kernel)}, strides {strides}, dilations {dilations}, pads {pads} for {n} dimensions of space")
    low, high = list(pads[:n]), list(pads[n:])
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(n):
            size = shape_of(x)[2 + i]
            if not isinstance(size, int):
                if strides[i] != 1:
                    raise c.refuse(f"auto_pad {auto} with stride {strides[i]} over a dimension of unknown size")
                total = (kernel[i] - 1) * dilations[i]
            else:
                total = max(0, (math.ceil(size / strides[i]) - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size)
            small = total // 2
            low[i], high[i] = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
    elif auto not in ("NOTSET", "VALID", ""):
        raise c.bad(f"auto_pad {auto!r}")
    elif auto == "VALID":
        low = high = [0] * n
    return strides, dilations, low, high


def inside(x: Tensor, low: list[int], high: list[int], value: float = 0.0) -> Tensor:
    """x padded over its dimensions of space, if need be."""
    if not any(low) and not any(high):
        return x
    return apply("pad", x, low=(0, 0, *low), high=(0, 0, *high), step=(), mode=0, value=value)


@register("Conv", widened=True)
def _(c: Call, x: Any, w: Any, b: Any = None) -> Any:
    x, w = c.tensor(x), c.tensor(w)
    n = x.ndim - 2
    if n not in CONV:
        raise c.refuse(f"{n} dimensions of space")
    if "kernel_shape" in c.attrs and c.ints("kernel_shape") != w.shape[2:]:
        raise c.bad(f"kernel_shape {c.ints('kernel_shape')} and weights {w.shape}")
    strides, dilations, low, high = window(c, x, w.shape[2:])
    groups, bias = int(c.get("group", 1)), None if b is None else c.tensor(b)
    if low == high:
        return CONV[n](x, w, bias, strides, tuple(low), dilations, groups)
    if n == 2:
        from ....ops.conv import GEOMETRY

        pads = {"pad_top": low[0], "pad_left": low[1], "pad_bottom": high[0], "pad_right": high[1]}
        if set(pads) <= set(GEOMETRY):
            return apply("conv2d", x, w, bias, None, **{**GEOMETRY, **pads, "stride_h": strides[0], "stride_w": strides[1], "dilation_h": dilations[0],
                                                        "dilation_w": dilations[1], "groups": groups})  # fmt: skip
    return CONV[n](inside(x, low, high), w, bias, strides, 0, dilations, groups)


@register("ConvTranspose", widened=True)
def _(c: Call, x: Any, w: Any, b: Any = None) -> Any:
    x, w = c.tensor(x), c.tensor(w)
    n = x.ndim - 2
    if n not in TRANSPOSED:
        raise c.refuse(f"{n} dimensions of space")
    kernel = w.shape[2:]
    c.ignore("kernel_shape")  # the weights have it
    strides, dilations = c.ints("strides", (1,) * n), c.ints("dilations", (1,) * n)
    pads, extra, auto = c.ints("pads", (0,) * 2 * n), c.ints("output_padding", (0,) * n), c.get("auto_pad", "NOTSET")
    low, high = list(pads[:n]), list(pads[n:])
    wanted = c.ints("output_shape")
    for i in range(n):
        full: Any = (x.shape[2 + i] - 1) * strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        target = wanted[i] if wanted else x.shape[2 + i] * strides[i] if auto in ("SAME_UPPER", "SAME_LOWER") else None
        if target is not None:
            total = full - target
            if not isinstance(total, int):
                raise c.refuse("output_shape of a dimension of unknown size")
            small = max(total, 0) // 2
            low[i], high[i] = (small, max(total, 0) - small) if auto != "SAME_LOWER" else (max(total, 0) - small, small)
            if total < 0:
                high[i] = total
    y = TRANSPOSED[n](x, w, None if b is None else c.tensor(b), strides, 0, 0, int(c.get("group", 1)), dilations)
    if any(extra) or any(low) or any(high):
        y = apply("pad", y, low=(0, 0, *(-p for p in low)), high=(0, 0, *(e - p for e, p in zip(extra, high))), step=(), mode=0, value=0.0)
        if b is not None and any(e > p for e, p in zip(extra, high)):
            raise c.refuse("output_padding beyond the kernel together with a bias")
    return y


def _ceiled(c: Call, size: Any, kernel: int, stride: int, dilation: int, low: int, high: int) -> int:
    """Extra padding behind, so that floor gives what ceil asks for; windows that would begin in it are left out."""
    if not c.get("ceil_mode", 0) or not isinstance(size, int):
        if c.get("ceil_mode", 0) and stride > 1:
            raise c.refuse("ceil_mode over a dimension of unknown size")
        return 0
    extent = (kernel - 1) * dilation + 1
    n = math.ceil((size + low + high - extent) / stride) + 1
    if (n - 1) * stride >= size + low:
        n -= 1
    return max(0, (n - 1) * stride + extent - (size + low + high))


@register("MaxPool", widened=True)
def _(c: Call, x: Any) -> Any:
    x, kernel = c.tensor(x), c.ints("kernel_shape")
    strides, dilations, low, high = window(c, x, kernel)
    c.ignore("storage_order")  # of Indices: below
    n = len(kernel)
    if n not in MAX:
        raise c.refuse(f"{n} dimensions of space")
    high = [h + _ceiled(c, x.shape[2 + i], kernel[i], strides[i], dilations[i], low[i], h) for i, h in enumerate(high)]
    if c.wants(1):
        plain = low == high and all(2 * p <= k for p, k in zip(low, kernel))
        y, places = MAX[n](x if plain else inside(x, low, high, -math.inf), kernel, strides, tuple(low) if plain else 0, dilations, False, True)
        column_first = bool(c.get("storage_order", 0))
        if not plain or column_first:
            places = _renumbered(c, places, x.shape[2:], [0] * n if plain else low, [0] * n if plain else high, column_first)
        planes: Any = x.shape[0] * x.shape[1]       # the numbers are those of all of x
        first = calculate("mul", counted(planes), measured(np.asarray(product(x.shape[2:]), object).reshape(())))
        return y, calculate("add", places, first.reshape(*x.shape[:2], *[1] * n))
    if low == high and all(2 * p <= k for p, k in zip(low, kernel)):
        return MAX[n](x, kernel, strides, tuple(low), dilations)
    return MAX[n](inside(x, low, high, -math.inf), kernel, strides, 0, dilations)


def _renumbered(c: Call, places: Tensor, shape: tuple[Any, ...], low: list[int], high: list[int], column_first: bool) -> Tensor:
    """Numbers of elements of a padded picture as numbers of the picture's, by rows or by columns."""
    if not all(isinstance(s, int) for s in shape):
        raise c.refuse("Indices with uneven padding or storage_order=1 of a dimension of unknown size")
    here = np.zeros([s + a + b for s, a, b in zip(shape, low, high)], np.int64)
    numbers = np.ravel_multi_index(tuple(np.indices(shape)), shape, order="F" if column_first else "C")
    here[tuple(slice(a, a + s) for a, s in zip(low, shape))] = numbers
    return ops.index_select(c.tensor(here.ravel()), 0, places)


@register("AveragePool", widened=True)
def _(c: Call, x: Any) -> Any:
    x, kernel = c.tensor(x), c.ints("kernel_shape")
    strides, dilations, low, high = window(c, x, kernel)
    n, counted = len(kernel), bool(c.get("count_include_pad", 0))
    if n not in AVERAGE:
        raise c.refuse(f"{n} dimensions of space")
    extra = [_ceiled(c, x.shape[2 + i], kernel[i], strides[i], dilations[i], low[i], high[i]) for i in range(n)]
    plain = low == high and not any(extra) and all(2 * p <= k for p, k in zip(low, kernel)) and max(dilations) == 1
    if plain:
        return AVERAGE[n](x, kernel, strides, tuple(low), False, counted)
    sums = _window_sums(inside(x, low, [a + b for a, b in zip(high, extra)]), kernel, strides, dilations)
    ones = np.ones((1, 1, *x.shape[2:]), np.float32) if all(isinstance(s, int) for s in x.shape[2:]) else None
    if ones is None:
        raise c.refuse("uneven padding of a dimension of unknown size")
    inner = inside(c.tensor(ones), low, high, 1.0 if counted else 0.0)
    return sums / _window_sums(inside(inner, [0] * n, extra), kernel, strides, dilations)


def _window_sums(x: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]) -> Tensor:
    """Sums over windows: one dimension after the other, as a sum of shifted slices."""
    if max(kernel) > MOST_TAPS:
        raise UnsupportedError(f"sums over windows of {kernel}: at most {MOST_TAPS} numbers in a row")
    for i, (k, s, d) in enumerate(zip(kernel, strides, dilations)):
        axis = 2 + i
        size: Any = x.shape[axis]
        length = (size - (k - 1) * d - 1) // s + 1
        total: Tensor | None = None
        for j in range(k):
            part = apply("slice", x, axis=axis, start=j * d, length=length, step=s)
            total = part if total is None else total + part
        assert total is not None
        x = total
    return x


@register("GlobalAveragePool", widened=True)
def _(c: Call, x: Any) -> Any:
    x = c.tensor(x)
    return x.mean(tuple(range(2, x.ndim)), True)


@register("GlobalMaxPool", widened=True)
def _(c: Call, x: Any) -> Any:
    x = c.tensor(x)
    return x.max(tuple(range(2, x.ndim)), True)


@register("LpPool", widened=True)
def _(c: Call, x: Any) -> Any:
    x, kernel, p = c.tensor(x), c.ints("kernel_shape"), float(c.get("p", 2))
    strides, dilations, low, high = window(c, x, kernel)
    high = [h + _ceiled(c, x.shape[2 + i], kernel[i], strides[i], dilations[i], low[i], h) for i, h in enumerate(high)]
    powers = x * x if p == 2 else apply("pow", x.abs(), c.tensor(np.asarray(p, np.float32)))
    sums = _window_sums(inside(powers, low, high), kernel, strides, dilations)
    return sums.sqrt() if p == 2 else apply("pow", sums, c.tensor(np.asarray(1 / p, np.float32)))


@register("GlobalLpPool", widened=True)
def _(c: Call, x: Any) -> Any:
    x, p = c.tensor(x), float(c.get("p", 2))
    return ops.norm(x, p, tuple(range(2, x.ndim)), True)


@register("MaxUnpool")
def _(c: Call, x: Any, index: Any, shape: Any = None) -> Any:
    x, at, kernel = c.tensor(x), c.tensor(index), c.ints("kernel_shape")
    n = len(kernel)
    strides, pads = c.ints("strides", (1,) * n), c.ints("pads", (0,) * 2 * n)
    natural = [(x.shape[2 + i] - 1) * strides[i] + kernel[i] - pads[i] - pads[n + i] for i in range(n)]
    target = natural if shape is None else c.sizes(shape, "output_shape")[2:]
    if not all(isinstance(s, int) for s in (*x.shape, *natural, *target)):
        raise c.refuse("a shape that is not known before the run")
    if min(natural) < 0:
        raise c.bad(f"kernel {kernel}, strides {strides} and pads {pads} for {x.shape}")
    zeros = c.tensor(np.zeros((), np.float32)).expand(math.prod((*x.shape[:2], *natural)))
    y = ops.scatter(zeros, 0, at.reshape(-1), x.reshape(-1)).reshape(*x.shape[:2], *natural)
    return inside(y, [0] * n, [t - m for t, m in zip(target, natural)])
