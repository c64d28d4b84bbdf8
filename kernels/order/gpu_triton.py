"""Places of the largest elements, the k largest, and sorted rows, for devices.

Elements become integers in their order, a NaN the largest of all. For topk the place stands in the lower half of 64 bits, so that no two are equal.
Rows that are longer than one sort are sorted in runs, of which no more than k elements go on; runs that can no longer shrink are merged: each element
finds its place by a search in the other run. int64 leaves no room for places: there an element's rank is counted over the whole row."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, power_of_two, row
from ..softmax.gpu_triton import tile
from ..tiles import tiles

IN_REGISTERS = 8192
SORTED = 512  # keys that one program sorts


@triton.jit
def _key(v):
    """int32 (int64 of int64) in the order of the elements; what is not a number is the largest."""
    if v.dtype == tl.float32:
        v = tl.where(v == 0.0, 0.0, v)
        bits = v.to(tl.int32, bitcast=True)
        return tl.where(v != v, 0x7FFFFFFF, bits ^ ((bits >> 31) & 0x7FFFFFFF))
    else:
        if v.dtype == tl.int64:
            return v
        else:
            return v.to(tl.int32)


@triton.jit
def _turned(key, TURN: tl.constexpr):
    if TURN:
        return ~key
    else:
        return key


@triton.jit
def _best(key, at, live, LAST: tl.constexpr):
    """The largest key along axis 0, and the first (LAST: last) place that has it."""
    if key.dtype == tl.int64:
        top = tl.max(tl.where(live, key, -9223372036854775807 - 1), 0)
    else:
        top = tl.max(tl.where(live, key, -2147483647 - 1), 0)
    hit = live & (key == top[None, :])
    if LAST:
        where = tl.max(tl.where(hit, at, -1), 0)
    else:
        where = tl.min(tl.where(hit, at, 9223372036854775807), 0)
    return top, where


@triton.jit
def _argmax(x, y, keys, at_places, places, n, inner, LEAST: tl.constexpr, LAST: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    c = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=live, other=0)
    key = _turned(_key(v), LEAST)
    if v.dtype == tl.float32:
        key = tl.where(v != v, 0x7FFFFFFF, key)
    top, where = _best(key, c[:, None] + tl.zeros((BLOCK, ACROSS), tl.int64), live, LAST)
    if keys is None:
        tl.store(y + place, where, mask=place < places)
    else:
        to = tl.program_id(1).to(tl.int64) * places + place
        tl.store(keys + to, top, mask=place < places)
        tl.store(at_places + to, where, mask=place < places)


@triton.jit
def _argmax_join(keys, at_places, y, places, pieces, LAST: tl.constexpr, PIECES: tl.constexpr, ACROSS: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * ACROSS + tl.arange(0, ACROSS)
    p = tl.arange(0, PIECES)
    where = p[:, None].to(tl.int64) * places + place[None, :]
    known = (p[:, None] < pieces) & (place[None, :] < places)
    _, found = _best(tl.load(keys + where, mask=known, other=0), tl.load(at_places + where, mask=known, other=0), known, LAST)
    tl.store(y + place, found, mask=place < places)


@triton.jit
def _placed(x, keys, r, c, n, inside, TURN: tl.constexpr):
    """The keys of elements c of row r with their places, from elements or made before; behind the end of the row the largest there is."""
    if keys is None:
        key = _turned(_key(tl.load(x + r * n + c, mask=inside, other=0)), TURN).to(tl.int64) << 32 | c.to(tl.int64)
    else:
        key = tl.load(keys + r * n + c, mask=inside, other=0)
    return tl.where(inside, key, 9223372036854775807)


@triton.jit
def _sort(x, keys, sorted_keys, found, n, kept, k, TURN: tl.constexpr, BLOCK: tl.constexpr, MANY: tl.constexpr):
    """Run program_id(1) of row program_id(0): from elements or keys, to its first `kept` keys or the row's first k places. A key's rank is counted:
    BLOCK comparisons each, but no exchange between threads, of which a network of 512 keys has 45 rounds."""
    r, run = tl.program_id(0).to(tl.int64), tl.program_id(1)
    i = tl.arange(0, BLOCK)
    c = run * BLOCK + i
    key = _placed(x, keys, r, c, n, c < n, TURN)
    rank = tl.zeros((BLOCK,), tl.int32)
    for begin in range(0, BLOCK, MANY):
        j = begin + tl.arange(0, MANY)
        o = run * BLOCK + j
        other = _placed(x, keys, r, o, n, o < n, TURN)
        # Equal are only the keys behind the end of a row.
        ahead = (other[None, :] < key[:, None]) | ((other[None, :] == key[:, None]) & (j[None, :] < i[:, None]))
        rank += tl.sum(ahead.to(tl.int32), 1)
    if found is None:
        tl.store(sorted_keys + (r * tl.num_programs(1) + run) * kept + rank, key, mask=rank < kept)
    else:
        tl.store(found + r * k + rank, key & 0xFFFFFFFF, mask=rank < k)


@triton.jit
def _take(x, keys, values, found, n, row, k, BLOCK: tl.constexpr):
    """The k results of a row: places from its keys, where there are any, and the elements that stand there."""
    r = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    if keys is None:
        at = tl.load(found + r * k + i, mask=i < k, other=0)
    else:
        at = tl.load(keys + r * row + i, mask=i < k, other=0) & 0xFFFFFFFF
        tl.store(found + r * k + i, at, mask=i < k)
    tl.store(values + r * k + i, tl.load(x + r * n + at, mask=i < k, other=0), mask=i < k)


@triton.jit
def _merge(keys, merged, length, row, kept, merged_row, STEPS: tl.constexpr, BLOCK: tl.constexpr):
    """Runs of `length` keys, `row` keys a row, in pairs to runs of `kept`: an element goes on as many places as there are smaller ones in the other run."""
    r = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    # A last run without another is merged with one of largest keys, so that every place of the result is written.
    inside = i < (row + 2 * length - 1) // (2 * length) * (2 * length)
    key = tl.load(keys + r * row + i, mask=i < row, other=9223372036854775807)
    run = i // length
    other = run ^ 1
    right = run & 1
    first = other * length
    low, high = tl.zeros_like(i), length + tl.zeros_like(i)
    for _ in range(STEPS):
        middle = (low + high) // 2
        open = inside & (low < high)
        there = tl.load(keys + r * row + first + middle, mask=open & (first + middle < row), other=9223372036854775807)
        # Equal are only the keys behind the end of a row: those of the left run come first.
        less = (there < key) | ((there == key) & (right == 1))
        low = tl.where(open & less, middle + 1, low)
        high = tl.where(open & (less == 0), middle, high)
    to = i % length + low
    tl.store(merged + r * merged_row + (run // 2) * kept + to, key, mask=inside & (to < kept))


@triton.jit
def _rank(x, values, found, n, k, TURN: tl.constexpr, BLOCK: tl.constexpr, MANY: tl.constexpr):
    r = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + r * n + i, mask=i < n, other=0)
    mine = _turned(_key(v), TURN)
    before = tl.zeros((BLOCK,), tl.int32)
    for begin in range(0, n, MANY):
        j = begin + tl.arange(0, MANY)
        other = _turned(_key(tl.load(x + r * n + j, mask=j < n, other=0)), TURN)
        ahead = (other[None, :] < mine[:, None]) | ((other[None, :] == mine[:, None]) & (j[None, :] < i[:, None]))
        before += tl.sum((ahead & (j[None, :] < n)).to(tl.int32), 1)
    to = (i < n) & (before < k)
    tl.store(values + r * k + before, v, mask=to)
    tl.store(found + r * k + before, i.to(tl.int64), mask=to)


@row()
def argmax(call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    least, last = int(call.attrs["least"]), int(call.attrs["last"])
    t = tiles(x.shape, call.attrs["axis"], IN_REGISTERS)
    size: dict[str, Any] = {"LEAST": least, "LAST": last, "BLOCK": t.block, "ACROSS": t.across, "warps": t.warps}
    if t.pieces == 1:
        return call.launch(_argmax, t.grid, x, y, None, None, t.places, t.along, t.inner, **size)
    dtypes = type(x.dtype)
    keys = call.scratch((t.pieces, t.places), dtypes.int64 if x.dtype == dtypes.int64 else dtypes.int32)
    at = call.scratch((t.pieces, t.places), dtypes.int64)
    call.launch(_argmax, t.grid, x, y, keys, at, t.places, t.along, t.inner, **size)
    across = power_of_two(t.places, 1, max(1024 // t.row, 1))
    call.launch(_argmax_join, (ceil_div(t.places, across),), keys, at, y, t.places, t.pieces, LAST=last, PIECES=t.row, ACROSS=across)


def _too_long(call: Call) -> str | None:
    n = call.inputs[0].shape[-1]
    return f"rows of {n} elements; at most 2^30" if n > 1 << 30 else None


@row(refuse=_too_long)
def topk(call: Call) -> None:
    x, (values, found) = call.inputs[0], call.outputs
    n, k, turn = x.shape[-1], values.shape[-1], int(call.attrs["largest"])
    rows, dtypes = count(x.shape[:-1]), type(x.dtype)
    if x.dtype == dtypes.int64:
        return call.launch(_rank, (rows, ceil_div(n, 64)), x, values, found, n, k, TURN=turn, BLOCK=64, MANY=32)
    keys, length = _sorted(call, x, found, rows, n, k, turn)
    block = power_of_two(k, 1, 1024)
    call.launch(_take, (rows, ceil_div(k, block)), x, keys, values, found, n, length, k, BLOCK=block)


def _sorted(call: Call, x: Any, found: Any, rows: int, n: int, k: int, turn: int) -> tuple[Any, int]:
    """Sorted keys, and how many a row has; None where the places are already found."""
    kept = power_of_two(k)
    keys, length, wide = None, n, type(x.dtype).int64
    while True:
        runs = ceil_div(length, SORTED)
        block = power_of_two(length, 1, SORTED)
        if runs == 1:
            call.launch(_sort, (rows, 1), x, keys, None, found, length, 0, k, TURN=turn, BLOCK=block, MANY=16, warps=8)
            return None, 0
        stay = min(kept, SORTED)
        after = call.scratch((rows, runs * stay), wide)
        call.launch(_sort, (rows, runs), x, keys, after, None, length, stay, k, TURN=turn, BLOCK=block, MANY=16, warps=8)
        keys, length = after, runs * stay
        if stay > SORTED // 2:
            break
    run = stay
    while run < length:
        longer = min(2 * run, max(kept, run))
        after_length = ceil_div(length, 2 * run) * longer
        after = call.scratch((rows, after_length), wide)
        call.launch(
            _merge,
            (rows, ceil_div(ceil_div(length, 2 * run) * 2 * run, 1024)),
            keys,
            after,
            run,
            length,
            longer,
            after_length,
            STEPS=run.bit_length(),
            BLOCK=1024,
        )
        keys, length, run = after, after_length, longer
    return keys, length
