"""Unequal int64 keys in rising order: tiles by counting who is smaller, then runs merged two by two by searching the other run. No atomics, no order that
depends on which program is first."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div

TILE, AT_ONCE = 256, 32


@triton.jit
def _tiles(keys, to, n, TILE: tl.constexpr, AT_ONCE: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * TILE
    i = first + tl.arange(0, TILE)
    mine = tl.load(keys + i, mask=i < n, other=0)
    smaller = tl.zeros([TILE], tl.int32)
    for start in range(0, TILE, AT_ONCE):
        k = first + start + tl.arange(0, AT_ONCE)
        others = tl.load(keys + k, mask=k < n, other=0)
        smaller += tl.sum(((others[None, :] < mine[:, None]) & (k < n)[None, :]).to(tl.int32), axis=1)
    tl.store(to + first + smaller, mine, mask=i < n)


@triton.jit
def _merge(keys, to, n, length, steps, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mine = tl.load(keys + i, mask=i < n, other=0)
    run = i // length
    begin = tl.minimum((run ^ 1) * length, n)
    low, high = begin, tl.minimum(begin + length, n)
    for _ in range(steps):
        middle = (low + high) // 2
        open = (low < high) & (i < n)
        smaller = tl.load(keys + middle, mask=open, other=0) < mine
        high = tl.where(open & (smaller == 0), middle, high)
        low = tl.where(open & smaller, middle + 1, low)
    tl.store(to + (run // 2) * 2 * length + i % length + (low - begin), mine, mask=i < n)


def sort(call: Call, keys: Any, spare: Any, n: int) -> Any:
    """The keys in order, in one of the two windows."""
    if n < 2:
        return keys
    call.launch(_tiles, (ceil_div(n, TILE),), keys, spare, n, TILE=TILE, AT_ONCE=AT_ONCE, warps=8)
    keys, spare, length = spare, keys, TILE
    while length < n:
        call.launch(_merge, (ceil_div(n, TILE),), keys, spare, n, length, length.bit_length(), BLOCK=TILE)
        keys, spare, length = spare, keys, 2 * length
    return keys
