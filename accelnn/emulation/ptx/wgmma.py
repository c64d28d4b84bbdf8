"""wgmma: a warpgroup's matrix product out of shared memory, through descriptors.

The product is computed when it is issued. That it is asynchronous is kept as two checks: shared memory that it reads may not be written, and its result
may not be touched, before a wgmma.wait_group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .machine import Decoder, Machine, Mask, Step, instruction
from .memory import Fault
from .mma import elements, left_matrix, shape_and_types
from .parser import Instruction
from .tma import read_shared, swizzled
from .values import Array, decode, is_float, number_type

SPAN = {0: 0, 1: 128, 2: 64, 3: 32}  # a descriptor's swizzle code -> bytes
WIDTH = {"f16": 2, "bf16": 2, "tf32": 4, "s8": 1, "u8": 1, "e4m3": 1, "e5m2": 1}


def tile(descriptor: int, count: int, k: int, width: int, transposed: bool) -> Array:
    """[count, k] first bytes of elements in shared memory. transposed: M (or N) runs fastest in memory."""
    start, leading, stride = ((descriptor >> bit & 0x3FFF) << 4 for bit in (0, 16, 32))
    span = SPAN[descriptor >> 62 & 3]
    if descriptor >> 49 & 7:
        raise Fault(f"wgmma: descriptor {descriptor:#x} has a base offset: not emulated")
    row, column = np.meshgrid(np.arange(count), np.arange(k), indexing="ij")
    if not transposed:
        byte = column * width
        at = start + row // 8 * stride + (row % 8 * span + byte if span else byte // 16 * leading + row % 8 * 16 + byte % 16)
    else:
        byte, line = row * width, span or 16
        at = start + byte // line * leading + column // 8 * stride + column % 8 * line + byte % line
    return swizzled(at, span)


def _load(m: Machine, descriptor: int, block: int, count: int, k: int, kind: str, transposed: bool) -> tuple[Array, Array]:
    """-> numbers [count, k], bytes that were read."""
    width = WIDTH[kind]
    at = tile(descriptor, count, k, width, transposed)
    if int(at.max()) + width > m.shared.size:
        raise Fault(f"wgmma: descriptor {descriptor:#x} reaches byte {int(at.max()) + width:#x} of {m.shared.size} bytes of shared memory")
    where = at[..., None] + np.arange(width) + block * m.shared.stride
    raw = np.ascontiguousarray(read_shared(m, where, "wgmma")).view(f"u{width}")[..., 0]
    wide: Any = np.float64 if kind in ("s8", "u8") else np.float32  # integer sums stay below 2^53
    return decode(raw, kind).astype(wide), where.reshape(-1)


def _registers(m: Machine, sources: list[Any], first: int, k: int, kind: str) -> Array:
    """[64, k] of A in registers: each warp holds 16 rows."""
    values = elements([m.full(s(m), np.uint32)[first : first + 128] for s in sources], kind)
    out: Array = left_matrix(values, k).reshape(64, k)
    return out.astype(np.float64) if kind in ("s8", "u8") else out


@instruction("wgmma")
def _wgmma(d: Decoder, one: Instruction) -> Step:
    if one.words[0] == "fence":
        return lambda m, mask: None
    if one.words[0] == "commit_group":
        return _commit
    if one.words[0] == "wait_group":
        return _wait(int(one.operands[0], 0))
    (rows, columns, k), (to, a_kind, b_kind, *_) = shape_and_types(one)
    if "sp" in one.words or a_kind not in WIDTH or rows != 64:
        raise d.fault(one, f"wgmma on {a_kind} is not emulated")
    in_registers = one.operands[1].startswith("{")
    left = d.sources(one.operands[1], "b32" if in_registers else "b64", one)
    right, scale = d.source(one.operands[2], "b64", one), d.source(one.operands[3], "pred", one)
    flags = [int(text, 0) for text in one.operands[4:]]
    signs = (flags[0], flags[1]) if is_float(a_kind) else (1, 1)
    transposed = (bool(flags[2]) if not in_registers else False, bool(flags[-1])) if a_kind in ("f16", "bf16") else (False, False)
    kind = "f16x2" if to == "f16" else to
    start, puts = d.sources(one.operands[0], kind, one), d.targets(one.operands[0], kind, one)
    slots = [d.slot(name, one) for name in d.names(one.operands[0])]

    def step(m: Machine, mask: Mask) -> None:
        here = np.ones(m.lanes, bool) if mask is None else mask
        product = np.zeros((m.lanes // 128 + 1, 64, columns), np.float32 if is_float(a_kind) else np.float64)
        busy: list[tuple[int, Array]] = []
        for first in range(0, m.lanes - 127, 128):
            if not here[first]:
                continue
            if not here[first : first + 128].all():
                raise Fault("wgmma: only some threads of a warpgroup are here")
            block = int(m.block_of[first])
            if in_registers:
                a = _registers(m, left, first, k, a_kind)
            else:
                a, read = _load(m, int(m.full(left[0](m), np.uint64)[first]), block, 64, k, a_kind, transposed[0])
                busy.append((first, read))
            b, read = _load(m, int(m.full(right(m), np.uint64)[first]), block, columns, k, b_kind, transposed[1])
            busy.append((first, read))
            product[first // 128] = (a * signs[0]) @ (b * signs[1]).T
        row, line = m.warp % 4 * 16 + m.in_warp // 4, m.in_warp % 4 * 2
        keep = m.full(scale(m), bool)
        for i, put in enumerate(puts):
            if to == "f16":
                part = np.stack([product[m.lane // 128, row + 8 * (i % 2), 8 * (i // 2) + line + e] for e in (0, 1)], -1)
                put(m, part + np.where(keep[:, None], np.asarray(start[i](m)).astype(np.float32), 0), mask)
                continue
            part = product[m.lane // 128, row + 8 * (i // 2 % 2), 8 * (i // 4) + line + i % 2]
            total = part + np.where(keep, start[i](m), 0)
            put(m, (total.astype(np.int64) if to == "s32" else total).astype(number_type(to)), mask)
        for first in range(0, m.lanes - 127, 128):
            if here[first]:
                _issue(m, first, [read for at, read in busy if at == first], slots)

    return step


@dataclass
class Flight:
    """A product that has been issued: bytes of shared memory that it reads, result registers, how many of its warps have not waited for it."""

    first: int  # lane of the warpgroup
    read: Array
    slots: frozenset[int]
    missing: int = 4


@dataclass
class Warp:
    """What one warp has issued and not waited for, with the number of its group (None: not committed)."""

    flights: list[tuple[int | None, Flight]] = field(default_factory=list)
    groups: int = 0


def warps_of(m: Machine) -> dict[int, Warp]:
    """By a warp's first lane."""
    out: dict[int, Warp] = m.state.setdefault("wgmma", {})
    return out


def _held_bit(m: Machine, first: int) -> np.uint8:
    return np.uint8(1 << (int(m.thread[first]) // 128) % 7)


def _issue(m: Machine, first: int, read: list[Array], slots: list[int]) -> None:
    flight = Flight(first, np.unique(np.concatenate(read)) if read else np.zeros(0, np.int64), frozenset(slots))
    m.shared.held[flight.read] |= _held_bit(m, first)
    m.shared.held_used = True
    for lane in range(first, first + 128, 32):
        warps_of(m).setdefault(lane, Warp()).flights.append((None, flight))


def _here(m: Machine, mask: Mask) -> list[Warp]:
    lanes = range(0, m.lanes, 32) if mask is None else np.flatnonzero(mask.reshape(-1, 32).any(1)) * 32
    return [warps_of(m).setdefault(int(lane), Warp()) for lane in lanes]


def _commit(m: Machine, mask: Mask) -> None:
    for warp in _here(m, mask):
        warp.flights = [(warp.groups if group is None else group, flight) for group, flight in warp.flights]
        warp.groups += 1


def _wait(keep: int) -> Step:
    """All but the last `keep` groups of each warp. Shared memory is free again when all four warps have waited."""

    def step(m: Machine, mask: Mask) -> None:
        landed = []
        for warp in _here(m, mask):
            left = [(group, flight) for group, flight in warp.flights if group is None or group >= warp.groups - keep]
            for group, flight in warp.flights:
                if group is not None and group < warp.groups - keep:
                    flight.missing -= 1
                    if not flight.missing:
                        landed.append(flight)
            warp.flights = left
        for flight in landed:
            m.shared.held[flight.read] &= ~_held_bit(m, flight.first)
        for first in {f.first for f in landed}:  # what others of the group, still in flight, read as well
            for lane in range(first, first + 128, 32):
                for _, flight in warps_of(m)[lane].flights:
                    m.shared.held[flight.read] |= _held_bit(m, first)

    return step
