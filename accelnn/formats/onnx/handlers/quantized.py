"""Integers: QDQ pairs, the QLinear and Integer ops, com.microsoft's weights of few bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import ops
from ....core.dims import product
from ....core.dtypes import DType
from ....core.tensor import Tensor
from ..call import Call, axis_of, register
from ..values import numbers


def wide(c: Call, x: Any, rank: int, axis: int) -> Tensor:
    """Scale or zero point in the shape that broadcasts along `axis`."""
    t = c.tensor(x).float()
    if t.ndim == 0 or t.shape == (1,):
        return t.reshape(*[1] * rank) if rank else t.reshape()
    return t.reshape(*[t.shape[0] if d == axis else 1 for d in range(rank)])


def centred(c: Call, x: Any, zero: Any, axis: int) -> Tensor:
    """Integers less their zero point, as float32 (exact)."""
    t = c.tensor(x)
    whole = t.float()
    if zero is None:
        return whole
    return whole - (wide(c, zero, t.ndim, axis % t.ndim) if np.ndim(zero) or not isinstance(zero, np.ndarray) else c.tensor(zero).float())


@register("DequantizeLinear")
def _(c: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    t = c.tensor(x)
    if c.get("block_size", 0):
        raise c.refuse("blocks")
    axis = axis_of(c, c.get("axis", 1), t.ndim) if t.ndim else 0
    if t.dtype not in (DType.uint8, DType.int8, DType.int32):
        raise c.refuse(f"elements of {t.dtype.name}")
    single = getattr(scale, "shape", ()) in ((), (1,))
    return centred(c, x, zero, axis if not single else 0) * wide(c, scale, t.ndim, axis)


@register("QuantizeLinear")
def _(c: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    t = c.tensor(x)
    if c.get("block_size", 0):
        raise c.refuse("blocks")
    axis = axis_of(c, c.get("axis", 1), t.ndim) if t.ndim else 0
    c.ignore("saturate", "output_dtype")
    kind = c.tensor(zero).dtype if zero is not None else {0: DType.uint8, 2: DType.uint8, 3: DType.int8}.get(c.get("output_dtype", 0))
    if kind not in (DType.uint8, DType.int8):
        raise c.refuse("a zero point that is not uint8 or int8")
    low, high = (0.0, 255.0) if kind == DType.uint8 else (-128.0, 127.0)
    whole = ops.round(t / wide(c, scale, t.ndim, axis))
    if zero is not None:
        whole = whole + wide(c, zero, t.ndim, axis)
    return ops.clip(whole, low, high).to(kind)


@register("DynamicQuantizeLinear")
def _(c: Call, x: Any) -> Any:
    x = c.tensor(x)
    low, high = ops.minimum(x.min(), 0.0), ops.maximum(x.max(), 0.0)
    scale = (high - low) / 255.0
    zero = ops.clip(ops.round((low * -1.0) / scale), 0.0, 255.0)
    q = ops.clip(ops.round(x / scale) + zero, 0.0, 255.0)
    return q.to(DType.uint8), scale, zero.to(DType.uint8)


@register("ConvInteger")
def _(c: Call, x: Any, w: Any, x_zero: Any = None, w_zero: Any = None) -> Any:
    from .convolution import CONV, inside, window

    a, b = centred(c, x, x_zero, 1), centred(c, w, w_zero, 0)
    terms = product(b.shape[1:])
    if not isinstance(terms, int) or terms * 255 * 255 > 1 << 24:
        raise c.refuse(f"{terms} terms: their sum need not fit float32")
    strides, dilations, low, high = window(c, a, b.shape[2:])
    return CONV[a.ndim - 2](inside(a, low, high), b, None, strides, 0, dilations, int(c.get("group", 1)), True).to(DType.int32)


def _requantized(c: Call, y: Tensor, scale: Any, zero: Any) -> Tensor:
    t = c.tensor(zero)
    low, high = (0.0, 255.0) if t.dtype == DType.uint8 else (-128.0, 127.0)
    return ops.clip(ops.round(y / c.tensor(scale).reshape()) + t.float().reshape(), low, high).to(t.dtype)


@register("QLinearMatMul")
def _(c: Call, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any, y_zero: Any) -> Any:
    if any(c.tensor(s).dtype != DType.float32 for s in (a_scale, b_scale, y_scale)):
        raise c.refuse("scales that are not float32")
    x, w = centred(c, a, a_zero, -2), centred(c, b, b_zero, -1)
    return _requantized(c, (x @ w) * (wide(c, a_scale, x.ndim, x.ndim - 2) * wide(c, b_scale, w.ndim, w.ndim - 1)), y_scale, y_zero)


@register("QLinearConv")
def _(c: Call, x: Any, x_scale: Any, x_zero: Any, w: Any, w_scale: Any, w_zero: Any, y_scale: Any, y_zero: Any, bias: Any = None) -> Any:
    from .convolution import CONV, inside, window

    a, b = centred(c, x, x_zero, 1), centred(c, w, w_zero, 0)
    strides, dilations, low, high = window(c, a, b.shape[2:])
    y = CONV[a.ndim - 2](inside(a, low, high), b, None, strides, 0, dilations, int(c.get("group", 1)), True)
    if bias is not None:
        y = y + c.tensor(bias).float().reshape(1, -1, *[1] * (y.ndim - 2))
    return _requantized(c, y * (c.tensor(x_scale).reshape() * wide(c, w_scale, y.ndim, 1)), y_scale, y_zero)


@register("MatMulNBits", "com.microsoft")
def _(c: Call, x: Any, packed: Any, scales: Any, zeros: Any = None, group: Any = None, bias: Any = None) -> Any:
    c.ignore("accuracy_level")
    bits, block, k, n = (int(c.get(a)) for a in ("bits", "block_size", "K", "N"))
    arrays = [numbers(v) for v in (packed, scales)]
    if bits != 4 or any(a is None for a in arrays) or group is not None:
        raise c.refuse(f"{bits} bits, g_idx, or weights that are computed")
    q, s = (np.asarray(a) for a in arrays)
    nibbles = np.stack([q & 15, q >> 4], -1).reshape(n, -1)[:, :k].astype(np.float32)
    blocks = -(-k // block)
    offset = np.full((n, blocks), 8, np.float32)
    if zeros is not None:
        z = np.asarray(c.value(zeros, "zero points"))
        offset = (np.stack([z & 15, z >> 4], -1).reshape(n, -1)[:, :blocks]).astype(np.float32) if z.dtype == np.uint8 else z.reshape(n, blocks)
    columns = np.repeat(np.arange(blocks), block)[:k]
    w = (nibbles - offset[:, columns]) * s.reshape(n, blocks)[:, columns].astype(np.float32)
    y = c.tensor(x) @ c.tensor(w.astype(np.float32)).mT
    return y if bias is None else y + c.tensor(bias)
