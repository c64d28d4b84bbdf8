"""Rows of heads one by one: written into a cache, and turned by their place (rotary position embedding)."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, count, power_of_two, row


@triton.jit
def _copy(x, y, s0, s1, s2, s3, n1, n2, n3, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    from_x = at // n3 // n2 // n1 * s0 + at // n3 // n2 % n1 * s1 + at // n3 % n2 * s2 + at % n3 * s3
    tl.store(y + at, tl.load(x + from_x, mask=at < n), mask=at < n)


@triton.jit
def _append(x, positions, cache, scales, sb, sg, sl, sd, sp, groups, more, rows, width, QUANTIZE: tl.constexpr, BD: tl.constexpr):
    item, l = tl.program_id(0) // more, (tl.program_id(0) % more).to(tl.int64)
    b, g = (item // groups).to(tl.int64), (item % groups).to(tl.int64)
    place = tl.load(positions + b * sp)
    inside = (place >= 0) & (place + more <= rows)  # the host cannot refuse: nothing of such an item is written
    x += b * sb + g * sg + l * sl
    to = item.to(tl.int64) * rows + place + l
    if QUANTIZE:
        most = tl.zeros((BD,), tl.float32)
        good = tl.full((BD,), 1, tl.int32)
        for d0 in range(0, width, BD):
            d = d0 + tl.arange(0, BD)
            size = tl.abs(tl.load(x + d * sd, mask=d < width, other=0.0))
            good = tl.where(size <= 3.4028234663852886e38, good, 0)
            most = tl.where(size > most, size, most)
        finite = tl.min(good, 0) == 1
        scale = tl.div_rn(tl.maximum(tl.max(most, 0), 1e-30), 127.0)
        tl.store(scales + to, tl.where(finite, scale, float("nan")), mask=inside)
        for d0 in range(0, width, BD):
            d = d0 + tl.arange(0, BD)
            value = tl.div_rn(tl.load(x + d * sd, mask=d < width, other=0.0), tl.zeros((BD,), tl.float32) + scale)
            whole = (value + 12582912.0) - 12582912.0  # 1.5 * 2^23: rounds to the nearest integer, half to even, on every target
            tl.store(cache + to * width + d, tl.where(finite, whole, 0.0).to(tl.int8), mask=inside & (d < width))
    else:
        for d0 in range(0, width, BD):
            d = d0 + tl.arange(0, BD)
            value = tl.load(x + d * sd, mask=d < width, other=0.0)
            tl.store(cache + to * width + d, value.to(cache.dtype.element_ty), mask=inside & (d < width))


@row()
def cache_append(call: Any) -> None:
    x, cache, positions = call.inputs[:3]
    pairs = list(zip((cache, *call.inputs[3:4]), call.outputs))
    for old, new in pairs:
        n = count(new.shape)
        if n and not (old.address == new.address and old.contiguous):
            shape, stride = (1,) * (4 - len(old.shape)) + old.shape, (0,) * (4 - len(old.shape)) + old.stride
            call.launch(_copy, (ceil_div(n, 1024),), old, new, *stride, *shape[1:], n, BLOCK=1024)
    batch, groups, more, width = x.shape
    if batch * groups * more:
        new, scale = call.outputs[0], call.outputs[1] if len(pairs) > 1 else None
        call.launch(_append, (batch * groups * more,), x, positions, new, scale, *x.stride, positions.stride[0], groups, more, cache.shape[2], width,
                    QUANTIZE=scale is not None, BD=power_of_two(width, most=1024), warps=1 if width <= 128 else 4)  # fmt: skip


@triton.jit
def _rotary(x, cos, sin, positions, y, sb, sh, sl, se, scb, scp, scr, ssb, ssp, ssr, spb, spl, heads, length, depth, pairs, places, rows,
            INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr, BR: tl.constexpr, BE: tl.constexpr):  # fmt: skip
    r = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    e = tl.program_id(1) * BE + tl.arange(0, BE)
    b, h, i = r // length // heads, r // length % heads, r % length
    real = r < rows
    inside = real[:, None] & (e[None, :] < depth)
    place = i
    if positions is not None:
        place = tl.load(positions + b * spb + i * spl, mask=real, other=0)
    if INTERLEAVED:
        pair, second = e // 2, e % 2 == 1
        other = tl.where(second, e - 1, e + 1)
    else:
        pair, second = tl.where(e < pairs, e, e - pairs), e >= pairs
        other = tl.where(second, e - pairs, e + pairs)
    turned = inside & (e[None, :] < 2 * pairs)
    # A place outside of the tables, which the host cannot refuse here, gives NaN.
    known = turned & ((place >= 0) & (place < places))[:, None]
    from_x = x + b * sb + h * sh + i * sl
    u = tl.load(from_x[:, None] + e[None, :] * se, mask=inside, other=0.0)
    v = tl.load(from_x[:, None] + other[None, :] * se, mask=turned, other=0.0)
    c = tl.load(cos + (b * scb + place * scp)[:, None] + pair[None, :] * scr, mask=known, other=float("nan"))
    s = tl.load(sin + (b * ssb + place * ssp)[:, None] + pair[None, :] * ssr, mask=known, other=float("nan"))
    s = tl.where(second[None, :], s, -s)
    if INVERSE:
        s = -s
    tl.store(y + r[:, None] * depth + e[None, :], tl.where(e[None, :] < 2 * pairs, u * c + v * s, u), mask=inside)


@row()
def rotary(call: Any) -> None:
    x, cos, sin, positions = (*call.inputs, None)[:4]
    batch, heads, length, depth = x.shape
    rows, be = batch * heads * length, power_of_two(depth, most=256)
    br = max(1, 1024 // be)

    def steps(table: Any) -> tuple[int, ...]:
        return (0 if table.shape[0] == 1 else table.stride[0], *table.stride[1:])

    call.launch(_rotary, (ceil_div(rows, br), ceil_div(depth, be)), x, cos, sin, positions, call.outputs[0], *x.stride, *steps(cos), *steps(sin),
                *((0, 0) if positions is None else positions.stride), heads, length, depth, cos.shape[2], cos.shape[1], rows,
                INTERLEAVED=bool(call.attrs["interleaved"]), INVERSE=bool(call.attrs["inverse"]), BR=br, BE=be)  # fmt: skip
