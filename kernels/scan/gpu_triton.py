"""Running sums and products along one axis, for devices: whole axes in registers, longer ones in pieces that begin with what the pieces before them came to."""

from __future__ import annotations

import triton
import triton.language as tl

from ..launch import Call, row
from ..softmax.gpu_triton import tile
from ..tiles import tiles

IN_REGISTERS = 32768  # bytes


@triton.jit
def _scanned(v, KIND: tl.constexpr):
    if KIND == 1:
        return tl.cumprod(v, 0)
    else:
        return tl.cumsum(v, 0)


@triton.jit
def _last(v, KIND: tl.constexpr, BLOCK: tl.constexpr):
    """What all of axis 0 comes to, in the order in which a scan takes it."""
    scanned = _scanned(v, KIND)
    return tl.sum(tl.where((tl.arange(0, BLOCK) == BLOCK - 1)[:, None], scanned, tl.zeros_like(scanned)), 0)


@triton.jit
def _turned(at, place, n, inner, REVERSE: tl.constexpr):
    """Where element a of an axis stands that is walked from its end: at n - 1 - a."""
    if REVERSE:
        first = place // inner * n * inner + place % inner
        return 2 * first[None, :] + ((n - 1 + 0 * place) * inner)[None, :] - at
    else:
        return at


@triton.jit
def _cumulate(x, y, totals, places, n, inner, KIND: tl.constexpr, EXCLUSIVE: tl.constexpr, REVERSE: tl.constexpr, PIECES: tl.constexpr,
              BLOCK: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    v = _scanned(tl.load(x + _turned(at, place, n, inner, REVERSE), mask=live, other=KIND), KIND)
    piece = tl.program_id(1)
    if PIECES > 1:
        p = tl.arange(0, PIECES)
        known = (p[:, None] < piece) & (place[None, :] < places)
        before = tl.load(totals + p[:, None].to(tl.int64) * places + place[None, :], mask=known, other=KIND)
        carry = _last(before, KIND, PIECES)[None, :]
        if KIND == 1:
            v = v * carry
        else:
            v = v + carry
    if EXCLUSIVE:
        # Each sum is stored one further, so that none is computed by a subtraction.
        a = piece * BLOCK + tl.arange(0, BLOCK)
        here = live & (a[:, None] + 1 < n)
        tl.store(y + _turned(at + inner, place, n, inner, REVERSE), v, mask=here)
        tl.store(y + _turned(at, place, n, inner, REVERSE), tl.zeros_like(v) + KIND, mask=live & (a[:, None] == 0))
    else:
        tl.store(y + _turned(at, place, n, inner, REVERSE), v, mask=live)


@triton.jit
def _totals(x, totals, places, n, inner, KIND: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    v = tl.load(x + _turned(at, place, n, inner, REVERSE), mask=live, other=KIND)
    tl.store(totals + tl.program_id(1).to(tl.int64) * places + place, _last(v, KIND, BLOCK), mask=place < places)


@row()
def cumulate(call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    kind, exclusive, reverse = (int(call.attrs[k]) for k in ("kind", "exclusive", "reverse"))
    t = tiles(x.shape, call.attrs["axis"], IN_REGISTERS // x.dtype.itemsize)
    totals = None
    if t.pieces > 1:
        totals = call.scratch((t.pieces, t.places), x.dtype)
        call.launch(_totals, t.grid, x, totals, t.places, t.along, t.inner, KIND=kind, REVERSE=reverse, BLOCK=t.block, ACROSS=t.across, warps=t.warps)
    call.launch(_cumulate, t.grid, x, y, totals, t.places, t.along, t.inner, KIND=kind, EXCLUSIVE=exclusive, REVERSE=reverse, PIECES=t.row,
                BLOCK=t.block, ACROSS=t.across, warps=t.warps)  # fmt: skip
