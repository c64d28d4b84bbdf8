"""mbarriers: objects in shared memory that count arrivals and bytes. A phase is complete when both are; waiters sleep until then."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .machine import Decoder, Machine, Mask, Step, instruction
from .memory import Fault
from .moves import resolve
from .parser import Instruction
from .values import Array


@dataclass
class Barrier:
    count: int  # arrivals that a phase wants
    missing: int
    bytes: int = 0  # that TMA still owes this phase
    phase: int = 0
    warps: int = 0  # that arrived in this phase, as bits
    landed: list[Array] = field(default_factory=list)  # bytes that this phase's copies write
    tried: dict[int, int] = field(default_factory=dict)  # lane -> phases it has asked for, as bits


def table(m: Machine) -> dict[tuple[int, int], Barrier]:
    out: dict[tuple[int, int], Barrier] = m.state.setdefault("mbarriers", {})
    return out


def find(m: Machine, lane: int, address: int) -> Barrier:
    found = table(m).get((int(m.block_of[lane]), address))
    if found is None:
        raise Fault(f"mbarrier at {address:#x} is used before mbarrier.init")
    return found


def settle(m: Machine, barrier: Barrier) -> None:
    """Completes the phase if nothing is missing."""
    if barrier.missing == 0 and barrier.bytes == 0:
        barrier.phase ^= 1
        barrier.tried.clear()
        barrier.missing = barrier.count
        m.state.setdefault("done", []).append((barrier, barrier.landed, barrier.warps))
        barrier.landed, barrier.warps = [], 0
        m.progress += 1


def _arrive(m: Machine, lane: int, barrier: Barrier, count: int, expected: int) -> None:
    barrier.bytes += expected
    if barrier.missing < count:
        raise Fault(f"mbarrier: {count} arrivals where {barrier.missing} of {barrier.count} are missing")
    barrier.missing -= count
    barrier.warps |= int(m.bit[lane])
    settle(m, barrier)


def acquire(m: Machine, barrier: Barrier, block: int) -> None:
    """A wait has succeeded: what arrivals released and copies wrote is there for the block's threads."""
    done = m.state.get("done", [])
    for one, landed, warps in done:
        if one is barrier:
            for at in landed:
                m.shared.flying[at] = 0
            m.shared.barrier(block, warps)
    m.state["done"] = [entry for entry in done if entry[0] is not barrier]


@instruction("mbarrier")
def _mbarrier(d: Decoder, one: Instruction) -> Step:
    verb = one.words[0]
    place = next((i for i, text in enumerate(one.operands) if text.startswith("[")), 0)
    address = d.address(one.operands[place], one)
    rest = [d.source(text, "u32", one) for text in one.operands[place + 1 :] if verb not in ("try_wait", "test_wait") or "parity" in one.words]
    if verb in ("try_wait", "test_wait"):
        return _waiter(d, one, place)
    state = d.target(one.operands[0], "b64", one) if place else None

    def step(m: Machine, mask: Mask) -> None:
        lanes = m.active(mask)
        _, at = resolve("shared", address(m)[lanes])
        values = [m.full(s(m), np.uint32)[lanes].astype(np.int64) for s in rest]
        phases = np.zeros(m.lanes, np.uint64)
        for i, lane in enumerate(lanes.tolist()):
            key = (int(m.block_of[lane]), int(at[i]))
            if verb == "init":
                if key[1] % 8 or key[1] + 8 > m.shared.size:
                    raise Fault(f"mbarrier at {key[1]:#x}: misaligned or outside of {m.shared.size} bytes of shared memory")
                table(m)[key] = Barrier(int(values[0][i]), int(values[0][i]))
                continue
            barrier = find(m, lane, key[1])
            phases[lane] = barrier.phase
            if verb == "inval":
                del table(m)[key]
            elif verb == "expect_tx":
                barrier.bytes += int(values[0][i])
            elif verb == "complete_tx":
                barrier.bytes -= int(values[0][i])
                settle(m, barrier)
            elif "expect_tx" in one.words:
                _arrive(m, lane, barrier, 1, int(values[0][i]))
            else:
                _arrive(m, lane, barrier, int(values[0][i]) if values else 1, 0)
        if state is not None:
            state(m, phases, mask)

    return step


def _waiter(d: Decoder, one: Instruction, place: int) -> Step:
    """-> a step that returns the lanes whose phase is not complete; they sleep and try again.

    A lane's first try is always told no, as hardware may at any time: code that does not ask again reads what has not come."""
    address, put = d.address(one.operands[place], one), d.target(one.operands[0], "pred", one)
    parity = d.source(one.operands[place + 1], "u32" if "parity" in one.words else "u64", one)

    def step(m: Machine, mask: Mask) -> Array:
        lanes = m.active(mask)
        _, at = resolve("shared", address(m)[lanes])
        wanted = m.full(parity(m), np.uint64)[lanes]
        done = np.zeros(m.lanes, bool)
        answers: dict[tuple[int, int, int], bool] = {}
        again = np.ones(m.lanes, bool)
        for i, lane in enumerate(lanes.tolist()):
            key = (int(m.block_of[lane]), int(at[i]), int(wanted[i]) & 1)
            barrier = find(m, lane, key[1])
            if not barrier.tried.get(lane, 0) >> key[2] & 1:
                barrier.tried[lane] = barrier.tried.get(lane, 0) | 1 << key[2]
                again[lane] = False
                continue
            if key not in answers:
                answers[key] = barrier.phase != key[2]
                if answers[key]:
                    acquire(m, barrier, key[0])
            done[lane] = answers[key]
        put(m, done, mask)
        here = np.ones(m.lanes, bool) if mask is None else mask
        return here & ~done & again

    return step  # type: ignore[return-value]
