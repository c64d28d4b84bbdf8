"""softmax and log_softmax along any axis, and their gradients, for devices.

One read and one write an element while an axis fits into registers (16384 elements, 8192 for gradients, which hold two operands); a second read beyond,
which few long rows find in the L2 cache."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, row
from ..tiles import Tiles, tiles

IN_REGISTERS, GRADIENT_IN_REGISTERS = 16384, 8192


@triton.jit
def tile(places, n, inner, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    """Offsets and mask of the program's tile, [BLOCK, ACROSS], and its places."""
    place = tl.program_id(0).to(tl.int64) * ACROSS + tl.arange(0, ACROSS)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    start = place // inner * n * inner + place % inner
    at = start[None, :] + c[:, None].to(tl.int64) * inner
    return at, (c[:, None] < n) & (place[None, :] < places), place


@triton.jit
def finite(top):
    """A maximum as it may be subtracted: of -inf alone it is 0, so that exponentials are 0 and not NaN."""
    return tl.where(top == float("-inf"), 0.0, top)


@triton.jit
def _softmax(x, y, places, n, inner, LOG: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, _ = tile(places, n, inner, BLOCK, ACROSS)
    v = tl.load(x + at, mask=live, other=float("-inf"))
    v = v - finite(tl.max(v, 0))[None, :]
    e = tl.exp(v)
    total = tl.sum(e, 0)[None, :]
    if LOG:
        r = v - tl.log(total)
    else:
        r = e / total
    tl.store(y + at, r, mask=live)


@triton.jit
def softmax_pieces(x, top, total, places, n, inner, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    v = tl.load(x + at, mask=live, other=float("-inf"))
    m = tl.max(v, 0)
    s = tl.sum(tl.exp(v - finite(m)[None, :]), 0)
    to = tl.program_id(1).to(tl.int64) * places + place
    tl.store(top + to, m, mask=place < places)
    tl.store(total + to, s, mask=place < places)


@triton.jit
def _softmax_join(x, y, top, total, places, n, inner, pieces, LOG: tl.constexpr, PIECES: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    p = tl.arange(0, PIECES)
    where = p[:, None].to(tl.int64) * places + place[None, :]
    known = (p[:, None] < pieces) & (place[None, :] < places)
    tops = tl.load(top + where, mask=known, other=float("-inf"))
    sums = tl.load(total + where, mask=known, other=0.0)
    m = finite(tl.max(tops, 0))[None, :]
    s = tl.sum(tl.where(known, sums * tl.exp(tops - m), 0.0), 0)[None, :]
    v = tl.load(x + at, mask=live, other=float("-inf")) - m
    if LOG:
        r = v - tl.log(s)
    else:
        r = tl.exp(v) / s
    tl.store(y + at, r, mask=live)


@triton.jit
def _shares(dy, y, live, LOG: tl.constexpr):
    """The terms of the sum that a gradient takes off."""
    if LOG:
        return dy
    return tl.where(live, dy * y, 0.0)


@triton.jit
def _slope(dy, y, total, LOG: tl.constexpr):
    if LOG:
        return dy - tl.exp(y) * total
    return y * (dy - total)


@triton.jit
def _softmax_grad(dy, y, dx, places, n, inner, LOG: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, _ = tile(places, n, inner, BLOCK, ACROSS)
    g = tl.load(dy + at, mask=live, other=0.0)
    v = tl.load(y + at, mask=live, other=0.0)
    total = tl.sum(_shares(g, v, live, LOG), 0)[None, :]
    tl.store(dx + at, _slope(g, v, total, LOG), mask=live)


@triton.jit
def _softmax_grad_pieces(dy, y, sums, places, n, inner, LOG: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    g = tl.load(dy + at, mask=live, other=0.0)
    v = g if LOG else tl.load(y + at, mask=live, other=0.0)
    tl.store(sums + tl.program_id(1).to(tl.int64) * places + place, tl.sum(_shares(g, v, live, LOG), 0), mask=place < places)


@triton.jit
def _softmax_grad_join(dy, y, dx, sums, places, n, inner, pieces, LOG: tl.constexpr, PIECES: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    p = tl.arange(0, PIECES)
    known = (p[:, None] < pieces) & (place[None, :] < places)
    total = tl.sum(tl.load(sums + p[:, None].to(tl.int64) * places + place[None, :], mask=known, other=0.0), 0)[None, :]
    g = tl.load(dy + at, mask=live, other=0.0)
    v = tl.load(y + at, mask=live, other=0.0)
    tl.store(dx + at, _slope(g, v, total, LOG), mask=live)


def _forward(call: Call, axis: int, log: int) -> None:
    (x, *_), (y,) = call.inputs, call.outputs
    t = tiles(x.shape, axis, IN_REGISTERS)
    size: dict[str, Any] = {"BLOCK": t.block, "ACROSS": t.across, "warps": t.warps}
    if t.pieces == 1:
        return call.launch(_softmax, t.grid, x, y, t.places, t.along, t.inner, LOG=log, **size)
    top, total = (call.scratch((t.pieces, t.places), x.dtype) for _ in range(2))
    call.launch(softmax_pieces, t.grid, x, top, total, t.places, t.along, t.inner, **size)
    call.launch(_softmax_join, t.grid, x, y, top, total, t.places, t.along, t.inner, t.pieces, LOG=log, PIECES=t.row, **size)


def _backward(call: Call, axis: int, log: int) -> None:
    (dy, y, *_), (dx,) = call.inputs, call.outputs
    t: Tiles = tiles(dy.shape, axis, GRADIENT_IN_REGISTERS)
    size: dict[str, Any] = {"LOG": log, "BLOCK": t.block, "ACROSS": t.across, "warps": t.warps}
    if t.pieces == 1:
        return call.launch(_softmax_grad, t.grid, dy, y, dx, t.places, t.along, t.inner, **size)
    sums = call.scratch((t.pieces, t.places), dy.dtype)
    call.launch(_softmax_grad_pieces, t.grid, dy, y, sums, t.places, t.along, t.inner, **size)
    call.launch(_softmax_grad_join, t.grid, dy, y, dx, sums, t.places, t.along, t.inner, t.pieces, PIECES=t.row, **size)


@row()
def softmax(call: Call) -> None:
    _forward(call, len(call.inputs[0].shape) - 1, 0)


@row()
def log_softmax(call: Call) -> None:
    _forward(call, len(call.inputs[0].shape) - 1, 1)


@row()
def softmax_axis(call: Call) -> None:
    _forward(call, call.attrs["axis"], int(call.attrs["log"]))


@row()
def softmax_grad(call: Call) -> None:
    _backward(call, len(call.inputs[0].shape) - 1, 0)


@row()
def log_softmax_grad(call: Call) -> None:
    _backward(call, len(call.inputs[0].shape) - 1, 1)


@row()
def softmax_axis_grad(call: Call) -> None:
    _backward(call, call.attrs["axis"], int(call.attrs["log"]))
