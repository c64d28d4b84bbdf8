"""concat, pad and flip on a device. Elements are moved, not looked at: a float is its bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton
import triton.language as tl

from ..copy.gpu_triton_places import block_of
from ..copy.strides import RANK, eight, wide
from ..launch import Call, ceil_div, count, row

BLOCK, TOGETHER = 1024, 4  # inputs of concat that one launch takes


@triton.jit
def _piece(x, y, width, pitch, start, elements, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    i = block_of(BLOCK, WIDE)
    to = (i // width) * pitch + (i % width) + start
    tl.store(y + to, tl.load(x + i, mask=i < elements), mask=i < elements)


@triton.jit
def _concat(x0, x1, x2, x3, y, w0, w1, w2, w3, s0, s1, s2, s3, e0, e1, e2, e3, pitch, PIECES: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    k = tl.program_id(1)
    if k == 0:
        _piece(x0, y, w0, pitch, s0, e0, BLOCK, WIDE)
    if PIECES > 1 and k == 1:
        _piece(x1, y, w1, pitch, s1, e1, BLOCK, WIDE)
    if PIECES > 2 and k == 2:
        _piece(x2, y, w2, pitch, s2, e2, BLOCK, WIDE)
    if PIECES > 3 and k == 3:
        _piece(x3, y, w3, pitch, s3, e3, BLOCK, WIDE)


@row()
def concat(call: Call) -> None:
    """y as [outer, pitch]; each input is a stretch of its columns."""
    (y,), axis = call.outputs, call.attrs["axis"]
    outer, pitch, start = count(y.shape[:axis]), count(y.shape[axis:]), 0
    pieces = [(x, count(x.shape[axis:])) for x in call.inputs if count(x.shape)]
    for first in range(0, len(pieces), TOGETHER):
        some = pieces[first : first + TOGETHER]
        spare = TOGETHER - len(some)
        widths = [w for _, w in some]
        starts = [start + sum(widths[:k]) for k in range(len(some))]
        call.launch(_concat, (ceil_div(outer * max(widths), BLOCK), len(some)), *(x for x, _ in some), *[None] * spare, y, *widths, *[1] * spare,
                    *starts, *[0] * spare, *(outer * w for w in widths), *[0] * spare, pitch,
                    PIECES=len(some), WIDE=wide(outer * pitch), BLOCK=BLOCK)  # fmt: skip
        start += sum(widths)


@triton.jit
def _source(k, n, step, MODE: tl.constexpr, STEPPED: tl.constexpr):
    """Which of n elements stands at place k, and whether there is one."""
    there = k == k
    if MODE == 0:
        if STEPPED:
            there = (k >= 0) & (k % step == 0)
            k = k // step
        there = there & (k >= 0) & (k < n)
    elif MODE == 1:
        k = tl.where(k < 0, -k, tl.where(k >= n, 2 * (n - 1) - k, k))
    elif MODE == 2:
        k = tl.minimum(tl.maximum(k, 0), n - 1)
    else:
        k = k % n
        k = tl.where(k < 0, k + n, k)
    return k, there


@triton.jit
def _rearranged(x, y, elements, value, o0, o1, o2, o3, o4, o5, o6, o7, n0, n1, n2, n3, n4, n5, n6, n7, l0, l1, l2, l3, l4, l5, l6, l7,
                s0, s1, s2, s3, s4, s5, s6, s7, RANK: tl.constexpr, MODE: tl.constexpr, STEPPED: tl.constexpr, FLIPPED: tl.constexpr, WIDE: tl.constexpr,
                BLOCK: tl.constexpr):  # fmt: skip
    """Dimension by dimension, the fastest first: sizes in y, in x, what stands before, steps; FLIPPED: a bit for each."""
    out, sizes = (o0, o1, o2, o3, o4, o5, o6, o7), (n0, n1, n2, n3, n4, n5, n6, n7)
    low, steps = (l0, l1, l2, l3, l4, l5, l6, l7), (s0, s1, s2, s3, s4, s5, s6, s7)
    UNIT: tl.constexpr = tl.core.get_int_dtype(x.dtype.element_ty.primitive_bitwidth, True) if x.dtype.element_ty != tl.int1 else tl.int8
    source, to = x.to(tl.pointer_type(UNIT), bitcast=True), y.to(tl.pointer_type(UNIT), bitcast=True)
    i = block_of(BLOCK, WIDE)
    rest, at, pitch, there = i, i * 0, i * 0 + 1, i < elements
    for d in tl.static_range(RANK):
        k = rest % out[d]
        rest = rest // out[d]
        if (FLIPPED >> d) & 1:
            k = out[d] - 1 - k
        else:
            k, inside = _source(k - low[d], sizes[d], steps[d], MODE, STEPPED)
            there = there & inside
        at += k * pitch
        pitch *= sizes[d]
    v = tl.load(source + at, mask=there, other=0)
    tl.store(to + i, tl.where(there, v, (i * 0 + value).to(UNIT)), mask=i < elements)


def _bits(value: float, dtype: Any) -> int:
    """The memory of the dtype's nearest number as an integer; integers are truncated and saturate."""
    if dtype.name == "bfloat16":
        u = int(np.float32(value).view(np.uint32))
        return 0x7FC0 if value != value else (u + 0x7FFF + ((u >> 16) & 1)) >> 16
    storage = dtype.storage
    if storage.kind in "iu":
        ends = np.iinfo(storage)
        number = np.array(ends.max if value >= ends.max else ends.min if value <= ends.min else 0 if value != value else int(value), storage)
    else:
        with np.errstate(over="ignore"):
            number = np.array(value != 0 if storage.kind == "b" else value).astype(storage)
    return int(number.view(f"i{storage.itemsize}"))


Dims = list[tuple[int, int, int, int, bool]]  # the fastest first: sizes in y and x, low, step, flipped


def _joined(dims: Dims) -> Dims:
    """Neighbours that stay as they are, as one; a dimension that changes takes along faster ones that do not only where it is a constant's turn."""
    found: Dims = []
    for out, n, low, step, flipped in dims:
        plain = out == n and low == 0 and step == 1 and (not flipped or n == 1)
        if plain and found and found[-1] == (found[-1][1], found[-1][1], 0, 1, False):
            size = found[-1][1] * n
            found[-1] = (size, size, 0, 1, False)
        else:
            found.append((out, n, low, step, flipped and n != 1))
    return found


def _run(call: Call, dims: Dims, mode: int, value: int) -> None:
    (x,), (y,) = call.inputs, call.outputs
    dims = _joined(dims)
    n = count(y.shape)
    outs, sizes, lows, steps, flips = ([d[k] for d in dims] for k in range(5))
    call.launch(_rearranged, (ceil_div(n, BLOCK),), x, y, n, value, *eight(outs), *eight(sizes), *eight(lows, 0), *eight(steps),
                RANK=len(dims), MODE=mode, STEPPED=any(s != 1 for s in steps), FLIPPED=sum(int(f) << d for d, f in enumerate(flips)),
                WIDE=wide(n, count(x.shape)), BLOCK=BLOCK)  # fmt: skip


@row()
def pad(call: Call) -> None:
    (x,), (y,), attrs = call.inputs, call.outputs, call.attrs
    step = attrs["step"] or [1] * len(x.shape)
    _run(call, list(zip(y.shape, x.shape, attrs["low"], step, [False] * RANK))[::-1], attrs["mode"], _bits(attrs["value"], x.dtype))


@row()
def flip(call: Call) -> None:
    (x,), axes = call.inputs, call.attrs["axes"]
    _run(call, [(n, n, 0, 1, d in axes) for d, n in enumerate(x.shape)][::-1], 0, 0)
