"""What the threads of a warp do together: shuffles, votes, reductions, matrix fragments through shared memory; and instructions that change nothing here."""

from __future__ import annotations

from typing import Any

import numpy as np

from .machine import Decoder, Machine, Mask, Step, instruction
from .memory import Fault
from .moves import resolve
from .parser import Instruction
from .values import UNSIGNED, Array, size_of


@instruction("shfl")
def _shuffle(d: Decoder, one: Instruction) -> Step:
    mode = next(w for w in one.words if w in ("bfly", "up", "down", "idx"))
    names = one.operands[0].split("|")
    put, ok_put = d.target(names[0], "b32", one), d.target(names[1], "pred", one) if len(names) > 1 else None
    value = d.source(one.operands[1], "b32", one)
    by, clamp = (d.source(text, "u32", one) for text in one.operands[2:4])

    def step(m: Machine, mask: Mask) -> None:
        lane = m.in_warp
        b, c = (m.full(s(m), np.uint32).astype(np.int64) for s in (by, clamp))
        segment, limit = (c >> 8) & 31, c & 31
        most, least = (lane & segment) | (limit & ~segment), lane & segment
        where = {"bfly": lane ^ b, "down": lane + b, "up": lane - b, "idx": least | (b & ~segment & 31)}[mode]
        ok = where >= most if mode == "up" else where <= most
        source = m.lane - lane + np.where(ok, where, lane)
        if mask is not None and not mask[source][mask].all():
            raise Fault("shfl reads a lane that is not here")
        put(m, m.full(value(m), np.uint32)[source], mask)
        if ok_put is not None:
            ok_put(m, ok, mask)

    return step


def by_warp(m: Machine, values: Array, mask: Mask, neutral: Any) -> Array:
    """[warps, 32], with `neutral` where a lane takes no part."""
    filled = values if mask is None else np.where(mask, values, neutral)
    return filled.reshape(-1, 32)


@instruction("vote")
def _vote(d: Decoder, one: Instruction) -> Step:
    mode = next(w for w in one.words if w in ("all", "any", "uni", "ballot"))
    value, put = d.source(one.operands[1], "pred", one), d.target(one.operands[0], "b32" if mode == "ballot" else "pred", one)

    def step(m: Machine, mask: Mask) -> None:
        here = m.full(value(m), bool)
        every, some = by_warp(m, here, mask, True).all(1), by_warp(m, here, mask, False).any(1)
        if mode == "ballot":
            out = (by_warp(m, here, mask, False).astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(1, dtype=np.uint32)
        else:
            out = {"all": every, "any": some, "uni": every | ~some}[mode]
        put(m, np.repeat(out, 32), mask)

    return step


@instruction("match")
def _match(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    names = one.operands[0].split("|")
    put, same_put = d.target(names[0], "b32", one), d.target(names[1], "pred", one) if len(names) > 1 else None
    value = d.source(one.operands[1], kind, one)

    def step(m: Machine, mask: Mask) -> None:
        here = m.full(value(m), UNSIGNED[size_of(kind)]).reshape(-1, 32)
        active = np.ones(here.shape, bool) if mask is None else mask.reshape(-1, 32)
        equal = (here[:, :, None] == here[:, None, :]) & active[:, None, :]
        bits = (equal.astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(2, dtype=np.uint32)
        if "all" in one.words:
            same = (equal | ~active[:, None, :]).all(2)
            bits = np.where(same, bits, np.uint32(0))
            if same_put is not None:
                same_put(m, same.reshape(-1), mask)
        put(m, bits.reshape(-1), mask)

    return step


@instruction("redux")
def _redux(d: Decoder, one: Instruction) -> Step:
    kind = d.type_of(one)
    name = next(w for w in one.words if w in ("add", "min", "max", "and", "or", "xor"))
    function: Any = {"add": np.add, "min": np.minimum, "max": np.maximum, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[name]
    value, put = d.source(one.operands[1], kind, one), d.target(one.operands[0], kind, one)

    def step(m: Machine, mask: Mask) -> None:
        m.whole_warps(mask, "redux.sync")
        here = m.full(value(m), None if kind[0] == "f" else np.asarray(value(m)).dtype).reshape(-1, 32)
        put(m, np.repeat(function.reduce(here, axis=1, dtype=here.dtype), 32), mask)

    return step


@instruction("activemask")
def _activemask(d: Decoder, one: Instruction) -> Step:
    put = d.target(one.operands[0], "b32", one)

    def step(m: Machine, mask: Mask) -> None:
        here = by_warp(m, np.ones(m.lanes, bool), mask, False)
        put(m, np.repeat((here.astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(1, dtype=np.uint32), 32), mask)

    return step


@instruction("elect")
def _elect(d: Decoder, one: Instruction) -> Step:
    """The first lane that is here."""
    names = one.operands[0].split("|")
    put, chosen = d.target(names[0], "b32", one), d.target(names[1], "pred", one)

    def step(m: Machine, mask: Mask) -> None:
        here = by_warp(m, np.ones(m.lanes, bool), mask, False)
        first = np.repeat(here.argmax(1), 32)
        put(m, first.astype(np.uint32), mask)
        chosen(m, m.in_warp == first, mask)

    return step


@instruction("membar", "griddepcontrol", "setmaxnreg", "prefetch", "prefetchu", "nanosleep", "discard", "applypriority", "createpolicy", "pmevent")
def _nothing(d: Decoder, one: Instruction) -> Step:
    return lambda m, mask: None


@instruction("fence")
def _fence(d: Decoder, one: Instruction) -> Step:
    """fence.proxy.async: from here on wgmma and TMA see what the warps stored; the others order what is in order here."""
    if one.words[:2] != ["proxy", "async"] and not (one.words[0] == "proxy" and one.words[1].startswith("async")):
        return lambda m, mask: None

    def step(m: Machine, mask: Mask) -> None:
        m.shared.async_used = True
        blocks = range(len(m.blocks)) if mask is None else np.unique(m.block_of[mask])
        for block in blocks:
            warps = 0xFF if mask is None else int(np.bitwise_or.reduce(m.bit[mask & (m.block_of == block)]))
            m.shared.generic[m.shared.of(block)] &= np.uint8(~warps & 0xFF)

    return step


def _matrices(one: Instruction) -> int:
    return next(int(w[1:]) for w in one.words if w in ("x1", "x2", "x4"))


def _rows(m: Machine, addresses: Array, mask: Mask, count: int) -> tuple[Array, Array]:
    """The lanes that give row addresses, and the addresses."""
    lanes = np.flatnonzero((m.in_warp < 8 * count) & (True if mask is None else mask))
    _, at = resolve("shared", addresses[lanes])
    return lanes, at


@instruction("ldmatrix")
def _ldmatrix(d: Decoder, one: Instruction) -> Step:
    count, transposed = _matrices(one), "trans" in one.words
    if not any(w.startswith("m8n8") for w in one.words):
        raise d.fault(one, "only matrices of 8x8 are emulated")
    address, puts = d.address(one.operands[1], one), d.targets(one.operands[0], "b32", one)

    def step(m: Machine, mask: Mask) -> None:
        m.whole_warps(mask, "ldmatrix")
        lanes, at = _rows(m, address(m), mask, count)
        rows = m.shared.load(at, m.base[lanes], 2, 8, m.bit[lanes]).reshape(-1, count, 8, 8)
        if transposed:
            rows = rows.transpose(0, 1, 3, 2)
        fragments = np.ascontiguousarray(rows).view(np.uint32).reshape(-1, count, 32)  # lane 4 i + j holds row i, elements 2 j and 2 j + 1
        for i, put in enumerate(puts):
            if mask is None:
                put(m, fragments[:, i].reshape(-1), mask)
            else:
                out = np.zeros(m.lanes, np.uint32)
                out[mask] = fragments[:, i].reshape(-1)
                put(m, out, mask)

    return step


@instruction("stmatrix")
def _stmatrix(d: Decoder, one: Instruction) -> Step:
    count, transposed = _matrices(one), "trans" in one.words
    if not any(w.startswith("m8n8") for w in one.words):
        raise d.fault(one, "only matrices of 8x8 are emulated")
    address, sources = d.address(one.operands[0], one), d.sources(one.operands[1], "b32", one)

    def step(m: Machine, mask: Mask) -> None:
        m.whole_warps(mask, "stmatrix")
        lanes, at = _rows(m, address(m), mask, count)
        values = np.stack([m.full(s(m), np.uint32) for s in sources])
        if mask is not None:
            values = values[:, mask]
        rows = values.reshape(count, -1, 32).transpose(1, 0, 2).copy().view(np.uint16).reshape(-1, count, 8, 8)
        if transposed:
            rows = rows.transpose(0, 1, 3, 2)
        m.shared.store(at, m.base[lanes], np.ascontiguousarray(rows).reshape(-1, 8), m.bit[lanes])

    return step


@instruction("movmatrix")
def _movmatrix(d: Decoder, one: Instruction) -> Step:
    source, put = d.source(one.operands[1], "b32", one), d.target(one.operands[0], "b32", one)

    def step(m: Machine, mask: Mask) -> None:
        m.whole_warps(mask, "movmatrix")
        tiles = np.ascontiguousarray(m.full(source(m), np.uint32)).view(np.uint16).reshape(-1, 8, 8)
        put(m, np.ascontiguousarray(tiles.transpose(0, 2, 1)).view(np.uint32).reshape(-1), mask)

    return step
