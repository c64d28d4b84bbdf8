"""Slabs of planes and their sums on devices, element by element of the result."""

from __future__ import annotations

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row

FAR, BLOCK = 1 << 31, 1024


@triton.jit
def _unfold(x, y, size, C, D, P, OD, T, stride, dilation, front, WIDE: tl.constexpr, B: tl.constexpr):
    e = tl.program_id(0) * B + tl.arange(0, B)
    if WIDE:
        e = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    slab = e // P // T
    d = slab // C % OD * stride + e // P % T * dilation - front
    n, c = slab // C // OD, slab % C
    tl.store(y + e, tl.load(x + ((n * C + c) * D + d) * P + e % P, mask=(d >= 0) & (d < D) & (e < size), other=0.0), mask=e < size)


@triton.jit
def _fold(y, x, size, C, D, P, OD, T, stride, dilation, front, WIDE: tl.constexpr, B: tl.constexpr):
    e = tl.program_id(0) * B + tl.arange(0, B)
    if WIDE:
        e = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    d, c, n = e // P % D + front, e // P // D % C, e // P // D // C
    acc = tl.zeros((B,), tl.float32)
    for t in range(T):
        from_front = d - t * dilation
        i = from_front // stride
        seen = (from_front >= 0) & (i * stride == from_front) & (i < OD) & (e < size)
        acc += tl.load(y + (((n * OD + i) * C + c) * T + t) * P + e % P, mask=seen, other=0.0)
    tl.store(x + e, acc, mask=e < size)


NAMES = ("stride", "dilation", "front")


@row()
def unfold_planes(call: Call) -> None:
    (x,), (y,) = call.inputs, call.outputs
    size, wide = count(y.shape), max(count(x.shape), count(y.shape)) >= FAR
    call.launch(_unfold, (ceil_div(size, BLOCK),), x, y, size, *x.shape[1:], y.shape[1], call.attrs["kernel"], *(call.attrs[k] for k in NAMES),
                WIDE=wide, B=BLOCK)  # fmt: skip


@row()
def fold_planes(call: Call) -> None:
    (y,), (x,) = call.inputs, call.outputs
    size, wide = count(x.shape), max(count(x.shape), count(y.shape)) >= FAR
    call.launch(_fold, (ceil_div(size, BLOCK),), y, x, size, *x.shape[1:], y.shape[1], call.attrs["kernel"], *(call.attrs[k] for k in NAMES),
                WIDE=wide, B=BLOCK)  # fmt: skip
