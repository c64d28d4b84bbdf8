"""One dim sampled at other places, on devices. A first launch makes the taps of every place in float64, as the processor's rows do, in the same order of
operations, so that the nearest element is the same one; the second applies them."""

from __future__ import annotations

import struct
from typing import Any

import triton
import triton.language as tl

from ...core.dtypes import DType
from ..launch import Call, ceil_div, count, row

FAR, BLOCK = 1 << 31, 512


@triton.jit
def double(x):
    return x.to(tl.int64).to(tl.float64, bitcast=True)      # the bits of 0.0 arrive as an int32


@triton.jit
def rounded(x, zero):
    """A product that no fused multiply-add may reach into: nothing but the memory knows that `zero` is 0."""
    return (x.to(tl.int64, bitcast=True) ^ zero).to(tl.float64, bitcast=True)


@triton.jit
def far(d, a):
    return a * (d * d * d - 5.0 * (d * d) + 8.0 * d - 4.0)


@triton.jit
def near(d, a):
    return (a + 2.0) * (d * d * d) - (a + 3.0) * (d * d) + 1.0


@triton.jit
def _taps(at, weight, A, B, ratio, offset, cubic, zero, MODE: tl.constexpr, COORDINATE: tl.constexpr, NEAR: tl.constexpr, OUTSIDE: tl.constexpr,
          N: tl.constexpr):  # fmt: skip
    """at[t, b], clamped, and weight[t, b]. ratio, offset, cubic: float64, as the bits of an int64, for floats reach a kernel in 32."""
    i = tl.program_id(0) * N + tl.arange(0, N)
    b, r = i.to(tl.float64), double(ratio)
    if COORDINATE == 2:
        p = rounded(b * r, zero)
    elif COORDINATE == 3:
        p = b * (A - 1) / tl.maximum(B - 1, 1).to(tl.float64)
    else:
        p = rounded((b + 0.5) * r, zero) - 0.5
    if COORDINATE == 4:
        p = double(offset) + p
    if COORDINATE == 1 or COORDINATE == 3:
        p = tl.where(B > 1, p, 0.0)
    low = tl.floor(p)
    if MODE == 0:
        if NEAR == 0:
            first = tl.ceil(p - 0.5)
        elif NEAR == 1:
            first = tl.floor(p + 0.5)
        elif NEAR == 2:
            first = low
        else:
            first = tl.ceil(p)
        tl.store(at + i, tl.minimum(tl.maximum(first.to(tl.int32), 0), A - 1), mask=i < B)
    else:
        f = p - low
        begin = low.to(tl.int32)
        if MODE == 1:
            put(at, weight, begin, 1.0 - f, 0, i, A, B, total(begin, A, 1.0 - f, f, OUTSIDE), OUTSIDE)
            put(at, weight, begin + 1, f, 1, i, A, B, total(begin, A, 1.0 - f, f, OUTSIDE), OUTSIDE)
        else:
            a, g = double(cubic), 1.0 - f
            v, w, x, y = far(f + 1.0, a), near(f, a), near(g, a), far(g + 1.0, a)
            s = total(begin - 1, A, v, w, OUTSIDE) + total(begin + 1, A, x, y, OUTSIDE) if OUTSIDE else v + w
            put(at, weight, begin - 1, v, 0, i, A, B, s, OUTSIDE)
            put(at, weight, begin, w, 1, i, A, B, s, OUTSIDE)
            put(at, weight, begin + 1, x, 2, i, A, B, s, OUTSIDE)
            put(at, weight, begin + 2, y, 3, i, A, B, s, OUTSIDE)


@triton.jit
def total(first, A, v, w, OUTSIDE: tl.constexpr):
    """Of two neighbours' weights, those inside."""
    if OUTSIDE:
        return tl.where((first >= 0) & (first < A), v, 0.0) + tl.where((first + 1 >= 0) & (first + 1 < A), w, 0.0)
    else:
        return v


@triton.jit
def put(at, weight, to, w, t, i, A, B, whole, OUTSIDE: tl.constexpr):
    if OUTSIDE:
        w = tl.where((to >= 0) & (to < A), w, 0.0) / tl.where(i < B, whole, 1.0)
    tl.store(at + t * B + i, tl.minimum(tl.maximum(to, 0), A - 1), mask=i < B)
    tl.store(weight + t * B + i, w.to(tl.float32), mask=i < B)


@triton.jit
def _resize(x, at, weight, y, size, A, B, inner, T: tl.constexpr, WIDE: tl.constexpr, N: tl.constexpr):
    e = tl.program_id(0) * N + tl.arange(0, N)
    if WIDE:
        e = tl.program_id(0).to(tl.int64) * N + tl.arange(0, N)
    b, known = e // inner % B, e < size
    base = x + e // inner // B * A * inner + e % inner
    if T == 1:
        acc = tl.load(base + tl.load(at + b, mask=known, other=0) * inner, mask=known)
    else:
        acc = tl.zeros((N,), tl.float32)
        for t in tl.static_range(T):
            w = tl.load(weight + t * B + b, mask=known, other=0.0)
            acc += w * tl.load(base + tl.load(at + t * B + b, mask=known, other=0) * inner, mask=known, other=0.0)
    tl.store(y + e, acc, mask=known)


@triton.jit
def below(at, a, B, STEPS: tl.constexpr, N: tl.constexpr):
    """How many of the B ascending places lie below a."""
    low, high = tl.zeros((N,), tl.int32), tl.zeros((N,), tl.int32) + B
    for _ in range(STEPS):
        middle = (low + high) // 2
        less = tl.load(at + middle, mask=middle < high, other=2147483647) < a
        low, high = tl.where(less, middle + 1, low), tl.where(less, high, middle)
    return low


@triton.jit
def _reach(at, reach, A, B, T: tl.constexpr, STEPS: tl.constexpr, N: tl.constexpr):
    """reach[0, a] <= b < reach[1, a]: the results that have seen a. Places ascend with b, for every tap."""
    a = tl.program_id(0) * N + tl.arange(0, N)
    tl.store(reach + a, below(at + (T - 1) * B, a, B, STEPS, N), mask=a < A)
    tl.store(reach + A + a, below(at, a + 1, B, STEPS, N), mask=a < A)


@triton.jit
def _resize_grad(dy, at, weight, reach, dx, size, A, B, inner, T: tl.constexpr, WIDE: tl.constexpr, N: tl.constexpr):
    e = tl.program_id(0) * N + tl.arange(0, N)
    if WIDE:
        e = tl.program_id(0).to(tl.int64) * N + tl.arange(0, N)
    a, known = e // inner % A, e < size
    base = dy + e // inner // A * B * inner + e % inner
    begin, end = tl.load(reach + a, mask=known, other=0), tl.load(reach + A + a, mask=known, other=0)
    acc = tl.zeros((N,), tl.float32)
    for i in range(tl.max(end - begin, 0)):
        b = begin + i
        some = tl.load(base + b * inner, mask=b < end, other=0.0)
        for t in tl.static_range(T):
            hit = (tl.load(at + t * B + b, mask=b < end, other=-1) == a) & (b < end)
            if T == 1:
                acc += tl.where(hit, some, 0.0)
            else:
                acc += tl.where(hit, some * tl.load(weight + t * B + b, mask=hit, other=0.0), 0.0)
    tl.store(dx + e, acc, mask=known)


def bits(x: float) -> int:
    return struct.unpack("<q", struct.pack("<d", x))[0]


def taps(call: Call, a: int, b: int) -> tuple[Any, Any, int]:
    """Places and weights for a dim of a elements that became b."""
    how = call.attrs
    mode, scale = how["mode"], how["scale"]
    t = (1, 2, 4)[mode]
    at, weight = call.scratch((t, max(b, 1)), DType.int32), call.scratch((t, max(b, 1)), DType.float32)
    if b == 0:
        return at, weight, t
    ratio = 1 / scale if scale else a / max(b, 1)
    offset = a / 2 * (1 - b / ((scale * a) or b or 1))
    call.launch(_taps, (ceil_div(b, 128),), at, weight, a, b, bits(ratio), bits(offset), bits(how["cubic_a"]), 0, MODE=mode, COORDINATE=how["coordinate"],
                NEAR=how["nearest"], OUTSIDE=bool(how["outside"]), N=128)  # fmt: skip
    return at, weight, t


def sides(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    return shape[axis], count(shape[axis + 1 :])


@row()
def resize(call: Call) -> None:
    (x,), (y,), axis = call.inputs, call.outputs, call.attrs["axis"]
    (a, inner), b, size = sides(x.shape, axis), y.shape[axis], count(y.shape)
    at, weight, t = taps(call, a, b)
    wide = max(count(x.shape), size) >= FAR
    call.launch(_resize, (ceil_div(size, BLOCK),), x, at, weight, y, size, a, b, inner, T=t, WIDE=wide, N=BLOCK)


@row()
def resize_grad(call: Call) -> None:
    (dy,), (dx,), axis = call.inputs, call.outputs, call.attrs["axis"]
    (a, inner), b, size = sides(dx.shape, axis), dy.shape[axis], count(dx.shape)
    at, weight, t = taps(call, a, b)
    reach = call.scratch((2, a), DType.int32)
    call.launch(_reach, (ceil_div(a, 128),), at, reach, a, b, T=t, STEPS=b.bit_length() + 1, N=128)
    wide = max(count(dy.shape), size) >= FAR
    call.launch(_resize_grad, (ceil_div(size, BLOCK),), dy, at, weight, reach, dx, size, a, b, inner, T=t, WIDE=wide, N=BLOCK)
