"""Batch norm, its gradient, and the gradients of other norms' parameters, for devices: sums over everything but the channels of x[N, C, places].

A tile is channels across and (n, place) pairs along it; without places neighbours are channels, with many a tile is one channel. Channels are cut into
parts, whose statistics stay in scratch in double; every program of the second launch joins those of its channels in their order."""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, power_of_two, row
from ..reduce.gpu_triton import SUM, run as reduce

TILE = 4096  # elements: 16 a thread in 8 warps
PROGRAMS = 512


class Geometry(NamedTuple):
    terms: int  # (n, place) pairs
    channels: int
    places: int
    along: int  # pairs in a tile
    across: int  # channels in a tile
    parts: int
    per_part: int  # pairs

    @property
    def warps(self) -> int:
        return power_of_two(self.along * self.across // 512, 1, 8)


def geometry(batch: int, channels: int, places: int) -> Geometry:
    terms = batch * places
    across = power_of_two(channels, 1, max(TILE // power_of_two(terms, 1, TILE), 64 if places < 32 else 1))
    along = power_of_two(terms, 1, TILE // across)
    parts = max(min(PROGRAMS // ceil_div(channels, across), ceil_div(terms, 4 * along)), 1)
    per_part = max(ceil_div(ceil_div(terms, parts), along), 1) * along
    return Geometry(terms, channels, places, along, across, max(ceil_div(terms, per_part), 1), per_part)


@triton.jit
def _pairs(first, end, c, channels, places, ALONG: tl.constexpr):
    """Offsets and mask of the tile of pairs from `first` on, below `end`, and their n."""
    j = first + tl.arange(0, ALONG)
    n = j // places
    at = (n.to(tl.int64) * channels * places + j % places)[:, None] + c[None, :].to(tl.int64) * places
    return at, (j[:, None] < end) & (c[None, :] < channels), n


@triton.jit
def _channel_moments(x, means, squares, terms, channels, places, per_part, ALONG: tl.constexpr, ACROSS: tl.constexpr):
    c = tl.program_id(0) * ACROSS + tl.arange(0, ACROSS)
    begin = tl.program_id(1) * per_part
    end = tl.minimum(begin + per_part, terms)
    mean, square = tl.zeros((ACROSS,), tl.float64), tl.zeros((ACROSS,), tl.float64)
    for first in range(begin, end, ALONG):
        at, live, _ = _pairs(first, end, c, channels, places, ALONG)
        v = tl.load(x + at, mask=live, other=0.0)
        here = tl.zeros((ACROSS,), tl.float32) + tl.minimum(end - first, ALONG)
        m = tl.div_rn(tl.sum(v, 0), here)
        moved = tl.where(live, v - m[None, :], 0.0)
        shift = tl.div_rn(tl.sum(moved, 0), here)
        s = tl.sum(tl.where(live, moved * moved, 0.0), 0).to(tl.float64)
        seen, more = (first - begin).to(tl.float64), here.to(tl.float64)
        wide = shift.to(tl.float64)
        step = m.to(tl.float64) + wide - mean
        mean += step * (more / (seen + more))
        square += s - more * wide * wide + step * step * (seen * more / (seen + more))
    to = tl.program_id(1).to(tl.int64) * channels + c
    tl.store(means + to, mean, mask=c < channels)
    tl.store(squares + to, square, mask=c < channels)


@triton.jit
def _applied(x, y, scale, centre, weight, bias, c, terms, channels, places, ALONG: tl.constexpr):
    at, live, _ = _pairs(tl.program_id(1) * ALONG, terms, c, channels, places, ALONG)
    if weight is not None:
        scale = scale * tl.load(weight + c, mask=c < channels, other=0.0)
    v = (tl.load(x + at, mask=live, other=0.0) - centre[None, :]) * scale.to(tl.float32)[None, :]
    if bias is not None:
        v += tl.load(bias + c, mask=c < channels, other=0.0)[None, :]
    tl.store(y + at, v, mask=live)


@triton.jit
def _batch_norm(x, weight, bias, y, rstd, mean, var, means, squares, terms, channels, places, per_part, parts, eps,
                PARTS: tl.constexpr, ALONG: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    c = tl.program_id(0) * ACROSS + tl.arange(0, ACROSS)
    p = tl.arange(0, PARTS)
    where = p[:, None].to(tl.int64) * channels + c[None, :]
    known = (p[:, None] < parts) & (c[None, :] < channels)
    n = tl.where(p < parts, tl.minimum(terms - p * per_part, per_part), 0).to(tl.float64)[:, None]
    m = tl.load(means + where, mask=known, other=0.0)
    centre = tl.sum(tl.where(known, m * n, 0.0), 0) / terms
    apart = m - centre[None, :]
    square = tl.sum(tl.load(squares + where, mask=known, other=0.0) + tl.where(known, n * apart * apart, 0.0), 0)
    square = tl.where(square < 0.0, 0.0, square)
    scale = (1.0 / tl.sqrt(square / terms + eps)).to(tl.float32)
    _applied(x, y, scale, centre.to(tl.float32), weight, bias, c, terms, channels, places, ALONG)
    if tl.program_id(1) == 0:
        tl.store(rstd + c, scale, mask=c < channels)
        tl.store(mean + c, centre.to(tl.float32), mask=c < channels)
        tl.store(var + c, (square / (terms - 1)).to(tl.float32), mask=c < channels)


@triton.jit
def _batch_norm_infer(x, mean, var, weight, bias, y, terms, channels, places, eps, ALONG: tl.constexpr, ACROSS: tl.constexpr):
    c = tl.program_id(0) * ACROSS + tl.arange(0, ACROSS)
    # In double: rounded in float32 after every step, a scale alone would take the whole of what the contract allows.
    scale = 1.0 / tl.sqrt(tl.load(var + c, mask=c < channels, other=1.0).to(tl.float64) + eps)
    _applied(x, y, scale, tl.load(mean + c, mask=c < channels, other=0.0), weight, bias, c, terms, channels, places, ALONG)


@triton.jit
def _channel_sums(dy, x, rstd, mean, dweight, dbias, terms, channels, places, groups, per_part, ALONG: tl.constexpr, ACROSS: tl.constexpr):
    """Of every part: sums of dy z and of dy. groups: statistics [N, groups]; 0: [C]."""
    c = tl.program_id(0) * ACROSS + tl.arange(0, ACROSS)
    begin = tl.program_id(1) * per_part
    end = tl.minimum(begin + per_part, terms)
    dw, db = tl.zeros((ALONG, ACROSS), tl.float32), tl.zeros((ALONG, ACROSS), tl.float32)
    for first in range(begin, end, ALONG):
        at, live, n = _pairs(first, end, c, channels, places, ALONG)
        stat = c[None, :] + 0 * n[:, None]
        if groups > 0:
            stat = n[:, None] * groups + c[None, :] // (channels // tl.maximum(groups, 1))
        v = tl.load(x + at, mask=live, other=0.0)
        if mean is not None:
            v = tl.where(live, v - tl.load(mean + stat, mask=live, other=0.0), 0.0)
        d = tl.load(dy + at, mask=live, other=0.0)
        dw += d * (v * tl.load(rstd + stat, mask=live, other=0.0))
        db += d
    to = tl.program_id(1).to(tl.int64) * channels + c
    tl.store(dweight + to, tl.sum(dw, 0), mask=c < channels)
    if dbias is not None:
        tl.store(dbias + to, tl.sum(db, 0), mask=c < channels)


@triton.jit
def _batch_norm_grad(dy, x, rstd, mean, weight, dx, dweight, dbias, weights, biases, terms, channels, places, parts,
                     PARTS: tl.constexpr, ALONG: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    c = tl.program_id(0) * ACROSS + tl.arange(0, ACROSS)
    inside = c < channels
    p = tl.arange(0, PARTS)
    where = p[:, None].to(tl.int64) * channels + c[None, :]
    known = (p[:, None] < parts) & (c[None, :] < channels)
    dw = tl.sum(tl.load(weights + where, mask=known, other=0.0), 0)
    db = tl.sum(tl.load(biases + where, mask=known, other=0.0), 0)
    scale = tl.load(rstd + c, mask=inside, other=0.0)
    at, live, _ = _pairs(tl.program_id(1) * ALONG, terms, c, channels, places, ALONG)
    z = (tl.load(x + at, mask=live, other=0.0) - tl.load(mean + c, mask=inside, other=0.0)[None, :]) * scale[None, :]
    v = (tl.load(dy + at, mask=live, other=0.0) - (db / terms)[None, :] - z * (dw / terms)[None, :]) * scale[None, :]
    if weight is not None:
        v = v * tl.load(weight + c, mask=inside, other=0.0)[None, :]
    tl.store(dx + at, v, mask=live)
    if tl.program_id(1) == 0:
        tl.store(dweight + c, dw, mask=inside)
        tl.store(dbias + c, db, mask=inside)


def _of(x: Any) -> Geometry:
    return geometry(x.shape[0], x.shape[1], count(x.shape[2:]))


def _too_many(call: Call) -> str | None:
    x = call.inputs[0]
    pairs = x.shape[0] * count(x.shape[2:])
    return f"{pairs} elements a channel; at most 2^30" if pairs > 1 << 30 else None


def _operand(call: Call, i: int) -> Any:
    return call.inputs[i] if i < len(call.inputs) else None


@row(refuse=_too_many)
def batch_norm(call: Call) -> None:
    x, g = call.inputs[0], _of(call.inputs[0])
    size: dict[str, Any] = {"ALONG": g.along, "ACROSS": g.across, "warps": g.warps}
    means, squares = (call.scratch((g.parts, g.channels), type(x.dtype).float64) for _ in range(2))
    blocks = ceil_div(g.channels, g.across)
    call.launch(_channel_moments, (blocks, g.parts), x, means, squares, g.terms, g.channels, g.places, g.per_part, **size)
    call.launch(_batch_norm, (blocks, ceil_div(g.terms, g.along)), x, _operand(call, 1), _operand(call, 2), *call.outputs, means, squares, g.terms, g.channels,
                g.places, g.per_part, g.parts, float(call.attrs["eps"]), PARTS=power_of_two(g.parts), **size)  # fmt: skip


@row(refuse=_too_many)
def batch_norm_infer(call: Call) -> None:
    x, g = call.inputs[0], _of(call.inputs[0])
    call.launch(_batch_norm_infer, (ceil_div(g.channels, g.across), ceil_div(g.terms, g.along)), x, *(_operand(call, i) for i in range(1, 5)), call.outputs[0],
                g.terms, g.channels, g.places, float(call.attrs["eps"]), ALONG=g.along, ACROSS=g.across, warps=g.warps)  # fmt: skip


@row(refuse=_too_many)
def batch_norm_grad(call: Call) -> None:
    dy, x, rstd, mean, weight = (_operand(call, i) for i in range(5))
    g = _of(x)
    weights, biases = _partial_sums(call, g, 0, 2)
    call.launch(_batch_norm_grad, (ceil_div(g.channels, g.across), ceil_div(g.terms, g.along)), dy, x, rstd, mean, weight, *call.outputs, weights, biases,
                g.terms, g.channels, g.places, g.parts, PARTS=power_of_two(g.parts), ALONG=g.along, ACROSS=g.across, warps=g.warps)  # fmt: skip


def _partial_sums(call: Call, g: Geometry, groups: int, params: int) -> list[Any]:
    dy, x, rstd, mean = (_operand(call, i) for i in range(4))
    found = [call.scratch((g.parts, g.channels), x.dtype) for _ in range(params)]
    call.launch(_channel_sums, (ceil_div(g.channels, g.across), g.parts), dy, x, rstd, mean, *(found + [None])[:2], g.terms, g.channels, g.places, groups,
                g.per_part, ALONG=g.along, ACROSS=g.across, warps=g.warps)  # fmt: skip
    return found


def channel_sums(call: Call, batch: int, channels: int, places: int, groups: int) -> None:
    """The gradients of a norm's weight and bias, its second and third results; statistics are one for each group of each n."""
    g = geometry(batch, channels, places)
    found = _partial_sums(call, g, groups, len(call.outputs) - 1)
    for f, out in zip(found, call.outputs[1:]):
        reduce(call, SUM, f, out, [(channels, 1)], [(g.parts, channels)], channels, g.parts)
