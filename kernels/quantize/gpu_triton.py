"""quantize_linear, dequantize_linear and byte_table on a device."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..copy.gpu_triton_convert import nearest
from ..copy.gpu_triton_places import block_of
from ..copy.strides import wide
from ..launch import Call, ceil_div, count, row

BLOCK = 1024


@triton.jit
def _quantize(x, scale, zero, q, elements, channels, inner, EACH: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """The clamp comes first, on floats: infinity has a sign there. A true division: one by the reciprocal is another number now and then."""
    LEAST: tl.constexpr = 0 if q.dtype.element_ty == tl.uint8 else -128
    i = block_of(BLOCK, WIDE)
    channel = (i // inner) % channels if EACH else i * 0
    z = tl.load(zero + channel, mask=i < elements, other=0).to(tl.int32)
    low, high = (LEAST - z).to(tl.float32), (LEAST + 255 - z).to(tl.float32)
    quotient = nearest(tl.div_rn(tl.load(x + i, mask=i < elements, other=0.0), tl.load(scale + channel, mask=i < elements, other=1.0)))
    inside = tl.where(quotient < low, low, tl.where(quotient > high, high, quotient))
    level = tl.where(inside == inside, inside, 0.0).to(tl.int32) + z
    tl.store(q + i, level.to(q.dtype.element_ty), mask=i < elements)


@triton.jit
def _dequantize(q, scale, zero, x, elements, channels, inner, EACH: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    i = block_of(BLOCK, WIDE)
    channel = (i // inner) % channels if EACH else i * 0
    level = tl.load(q + i, mask=i < elements, other=0)
    if zero is not None:
        z = tl.load(zero + channel, mask=i < elements, other=0)
        if q.dtype.element_ty == tl.int32:      # 33 bits
            number = (level.to(tl.int64) - z.to(tl.int64)).to(tl.float32)
        else:
            number = (level.to(tl.int32) - z.to(tl.int32)).to(tl.float32)
    else:
        number = level.to(tl.float32)
    tl.store(x + i, number * tl.load(scale + channel, mask=i < elements, other=0.0), mask=i < elements)


@triton.jit
def _byte_table(x, table, y, elements, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    i = block_of(BLOCK, WIDE)
    at = tl.load(x + i, mask=i < elements, other=0).to(tl.int32)
    tl.store(y + i, tl.load(table + at), mask=i < elements)


def _run(call: Call, kernel: Any, zero: Any) -> None:
    x, scale, (y,), axis = call.inputs[0], call.inputs[1], call.outputs, call.attrs["axis"]
    each, n = len(scale.shape) == 1, count(x.shape)
    axis = axis % len(x.shape) if each else 0
    channels, inner = (x.shape[axis], count(x.shape[axis + 1 :])) if each else (1, 1)
    call.launch(kernel, (ceil_div(n, BLOCK),), x, scale, zero, y, n, channels, inner, EACH=each, WIDE=wide(n), BLOCK=BLOCK)


@row()
def quantize_linear(call: Call) -> None:
    _run(call, _quantize, call.inputs[2])


@row()
def dequantize_linear(call: Call) -> None:
    _run(call, _dequantize, call.inputs[2] if len(call.inputs) > 2 else None)


@row()
def byte_table(call: Call) -> None:
    (x, table), (y,), n = call.inputs, call.outputs, count(call.inputs[0].shape)
    call.launch(_byte_table, (ceil_div(n, BLOCK),), x, table, y, n, WIDE=wide(n), BLOCK=BLOCK)
